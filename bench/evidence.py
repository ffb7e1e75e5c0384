"""What evidence costs: a single durable append, sealing beside a stream of output, storage of an hour of a terminal. One JSON object.

`python -m bench.evidence [--folder FOLDER]`; the folder has to be on a real disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import resource
import string
import sys
import tempfile
import time
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from statistics import median

from axiom_sandbox.ledger import Ledger
from axiom_sandbox.ledger.files import compress
from axiom_sandbox.protocol.events import AssistantMessage, Event, FilesChanged, Terminal
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.supervising.watching_files import FileWatch
from axiom_sandbox.terminal.seeking import pack

CAPTURES = Path(__file__).parent.parent / "tests" / "captures"
IDENTITY = Identity(namespace="bench", task="bench", task_id="bench", attempt=1, role=Role.AGENT)
APPENDS = 2_000
STREAM_MB, SECONDS = 10, 10
HOUR_MS = 3_600_000
WORD = re.compile(r"(?<![\x1b\[?;0-9A-Za-z])[A-Za-z]{3,}")
"""Of what is shown, and of no escape sequence."""
WORDS = ["".join(random.Random(n).choices(string.ascii_lowercase, k=3 + n % 10)) for n in range(5_000)]
OF_LENGTH = {size: [word for word in WORDS if len(word) == size] for size in range(3, 13)}


async def single_appends(folder: Path) -> list[float]:
    """Seconds of appends of one event each, one after the other."""
    ledger, took = Ledger.open(folder, IDENTITY, lambda: datetime.now(UTC)), []
    for number in range(APPENDS):
        began = time.perf_counter()
        await ledger.append(Terminal(start=number * 80, size=80))
        took.append(time.perf_counter() - began)
    await ledger.close()
    return took


def sealing_share() -> float:
    """Processor time of compressing what a ledger holds of 10 MB a second, as a share of that second; no disk."""
    chance, took, size = random.Random(1), 0.0, 0
    while size < STREAM_MB * SECONDS * 1_000_000:
        lines = bytearray()
        while len(lines) < 1024 * 1024:
            text = f"{' '.join(chance.choices(WORDS, k=120))} {chance.randbytes(100).hex()}"
            lines += AssistantMessage(round=1, text=text).model_dump_json().encode() + b"\n"
        began = time.process_time()
        compress(bytes(lines))
        took, size = took + time.process_time() - began, size + len(lines)
    return took / SECONDS


def hour_of(cast: bytes) -> bytes:
    """A recording, played again and again until an hour is over, with other words each time; and marks as the ledger makes them."""
    chance = random.Random(2)
    header, *lines = cast.splitlines(keepends=True)
    events = [json.loads(line) for line in lines if line.strip()]
    hour, now, seq, marked = bytearray(header), 0, 0, 0
    while now < HOUR_MS:
        for interval, code, data in events:
            if code in "xm":
                continue
            now += max(round(interval * 1000), 1)
            said = WORD.sub(lambda found: chance.choice(OF_LENGTH[min(len(found[0]), 12)]), data)
            hour += json.dumps([interval, code, said], ensure_ascii=False).encode() + b"\n"
            if now - marked > 500:
                seq, marked = seq + 1, now
                hour += json.dumps([0, "m", f"#{seq}"]).encode() + b"\n"
    return bytes(hour)


def stored_hours() -> dict[str, tuple[int, int]]:
    """By agent: bytes of an hour of its terminal as it is written, and as it is stored."""
    found = {}
    for path in sorted(CAPTURES.glob("*/terminal.cast")):
        hour, packed = hour_of(path.read_bytes()), BytesIO()
        pack(BytesIO(hour), packed)
        found[path.parent.name] = len(hour), len(packed.getvalue())
    return found


async def watching(folder: Path) -> tuple[float, float, int]:
    """Processor seconds of watching 20,000 files that rest for 5 s, of 100,000 that are created, and how many of these were listed."""
    events: list[Event] = []

    async def record(event: Event) -> int:
        events.append(event)
        return len(events)

    await asyncio.to_thread(_create, folder, "resting", 20_000)
    watch = FileWatch(folder, record)
    await watch.begin()
    began = time.process_time()
    await asyncio.sleep(5)
    resting = time.process_time() - began
    began = time.process_time()
    creating = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.evidence", "--create", folder
    )
    await creating.wait()
    await watch.settle()
    took = time.process_time() - began
    await watch.close()
    return resting, took, sum(len(event.changes) for event in events if isinstance(event, FilesChanged))


def _create(folder: Path, name: str, count: int) -> None:
    for number in range(count):
        below = folder / f"{name}-{number % 200}"
        below.mkdir(exist_ok=True)
        (below / str(number)).write_text("x" * 100)


def main() -> None:
    """Measure once and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--create", type=Path, default=None, help="only creates 100,000 files here")
    arguments = parser.parse_args()
    if arguments.create:
        _create(arguments.create, "created", 100_000)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        took = sorted(asyncio.run(single_appends(Path(scratch) / "ledger")))
        workspace = Path(scratch) / "workspace"
        workspace.mkdir()
        resting, creating, listed = asyncio.run(watching(workspace))
    print(
        json.dumps(
            {
                "append_p50_ms": median(took) * 1000,
                "append_p99_ms": took[int(0.99 * len(took))] * 1000,
                "sealing_percent": sealing_share() * 100,
                "hours": stored_hours(),
                "watch_resting_seconds": resting,
                "watch_creating_seconds": creating,
                "watch_listed": listed,
                "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
