"""How many events a second the ledger makes durable, appended in groups. Prints one JSON object.

`python bench/ledger.py [--events N] [--group N] [--folder FOLDER]`; the folder has to be on a real disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from axiom_sandbox.ledger import Ledger, stored_lines, verify
from axiom_sandbox.protocol.events import Terminal
from axiom_sandbox.protocol.identity import Identity, Role

METHOD = (
    "one writer appends groups of Terminal events and waits for each to be durable (write, fdatasync); cutting, "
    "compressing and closing are within the time; the chain is verified afterwards"
)


async def append_all(folder: Path, events: int, group: int) -> float:
    """Append `events` events in groups; returns seconds."""
    identity = Identity(namespace="bench", task="bench", task_id="bench", attempt=1, role=Role.AGENT)
    ledger = Ledger.open(folder, identity, lambda: datetime.now(UTC))
    batch = tuple(Terminal(start=number * 80, size=80) for number in range(group))
    began = time.perf_counter()
    for _ in range(events // group):
        await ledger.append(*batch)
    await ledger.close()
    return time.perf_counter() - began


def main() -> None:
    """Run once and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--group", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        folder = Path(scratch) / "ledger"
        seconds = asyncio.run(append_all(folder, arguments.events, arguments.group))
        size = sum(len(line) + 1 for line in stored_lines(folder))
        findings = verify(stored_lines(folder), head=None)
    assert findings.intact, findings
    print(
        json.dumps(
            {
                "events_per_second": round(findings.records / seconds),
                "group_size": arguments.group,
                "bytes_per_event": round(size / findings.records),
                "method": METHOD,
            }
        )
    )


if __name__ == "__main__":
    main()
