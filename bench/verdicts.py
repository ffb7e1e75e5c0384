"""From the end of an agent's turn to its verdict on this machine, beyond what the verification's own commands take."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from axiom.evidence.finding import find_here
from axiom_sandbox.ledger.records import Record, decode
from axiom_sandbox.protocol.events import AgentExited, ProcessRan, VerdictReached

ROOT = Path(__file__).parent.parent
WORK_SECONDS = 3


def spent_beyond(agent: Iterable[Record], verifier: Iterable[Record]) -> tuple[float, float]:
    """Seconds from the agent's exit to the verdict, and how many of them no command of the verification took. Pure."""
    ended = [record.time_utc for record in agent if record.event == AgentExited.event][-1]
    commands, decided = 0.0, None
    for record in verifier:
        if record.event == ProcessRan.event:
            commands += record.payload["duration_ms"] / 1000
        elif record.event == VerdictReached.event:
            decided = record.time_utc
    assert decided is not None, "every run of the bench comes to a verdict"
    whole = (decided - ended).total_seconds()
    return whole, whole - commands


def measured(times: int) -> list[tuple[float, float]]:
    """So many runs of the demo's honest task under bubblewrap; one before them is not counted.

    The demo's agent is done at once. No real one is, and what is made ready while an agent works is so in three seconds.
    """
    program, found = str(Path(sys.executable).with_name("axiom")), []
    honest = (ROOT / "examples" / "demo-honest.yaml").read_text()
    for _ in range(times + 1):
        with tempfile.TemporaryDirectory() as state:
            patient = Path(state) / "class.yaml"
            patient.write_text(honest.replace("  - |\n", f"  - |\n    sleep {WORK_SECONDS}\n"))
            demo = ("examples/demo.yaml", "--class", str(patient), "--backend", "bubblewrap")
            argv = [program, "run", *demo, "--json", "--state", state]
            subprocess.run(argv, cwd=ROOT, capture_output=True, check=True)
            [evidence] = find_here("fix-leap-year", Path(state))
            records = {
                slot: [decode(line) for line in ledger.lines()]
                for slot in ("agent", "verifier-1-1")
                if (ledger := evidence.ledger(slot)) is not None
            }
            found.append(spent_beyond(records["agent"], records["verifier-1-1"]))
    return found[1:]
