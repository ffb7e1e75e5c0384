"""What the benchmarks make of what they measured."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.__main__ import report
from bench.cold_start import phases, written
from bench.figures import Figure, Part, Phase, milliseconds
from bench.verdicts import spent_beyond

from axiom_sandbox.ledger.records import Record

ROOT = Path(__file__).parents[2]
STEPS = (("asked", "accepted", "first"), ("accepted", "created", "second"), ("created", "ready", "third"))


def test_each_phase_begins_where_the_one_before_ended() -> None:
    found = phases(STEPS, [{"asked": 10.0, "accepted": 11.0, "created": 13.0, "ready": 16.0}])
    assert [(phase.name, phase.seconds) for phase in found] == [
        ("first", (1.0,)),
        ("second", (2.0,)),
        ("third", (3.0,)),
    ]


def test_what_was_ready_before_it_was_needed_costs_nothing() -> None:
    """Phases that overlap add up to the whole time all the same."""
    marks = {"asked": 10.0, "accepted": 14.0, "created": 13.0, "ready": 16.0}
    found = phases(STEPS, [marks])
    assert [phase.seconds for phase in found] == [(4.0,), (0.0,), (2.0,)]
    assert sum(phase.seconds[0] for phase in found) == marks["ready"] - marks["asked"]


def entry(
    verb: str, resource: str, user: str = "system:serviceaccount:axiom-bench-1:axiom-operator"
) -> dict[str, object]:
    plural, _, part = resource.partition("/")
    return {"verb": verb, "user": {"username": user}, "objectRef": {"resource": plural, "subresource": part}}


def test_only_our_writes_count_and_neither_events_nor_leases() -> None:
    entries = [
        entry("update", "agenttasks/status"),
        entry("update", "agenttasks/status"),
        entry("create", "pods"),
        entry("get", "pods"),
        entry("create", "events"),
        entry("update", "leases"),
        entry("create", "pods/binding", "system:kube-scheduler"),
    ]
    assert written(entries) == {"update agenttasks/status": 2, "create pods": 1}


def test_the_report_tells_every_figure_with_its_load_and_every_phase() -> None:
    part = Part(
        (Figure("a thing", "7 ms", "at most 9 ms", "a way"),),
        (Phase("a step", (0.1, 0.3, 0.2)),),
        "Steps",
        "0.4",
    )
    lines = report({"thing": part}).splitlines()
    assert "| a thing | 7 ms | at most 9 ms | 0.4 | a way |" in lines
    assert "## Steps" in lines
    assert "| a step | 200 | 300 |" in lines


def test_percentiles_are_of_the_measured_values() -> None:
    assert milliseconds([0.003, 0.001, 0.002]) == "p50 2 ms, p90 3 ms, max 3 ms"


def test_the_terminals_rate_is_measured_with_nothing_lost() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bench.supervising", "pump", "--bytes", "2000000"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(ran.stdout)
    assert found["bytes"] == 2_000_000
    assert found["mb_per_processor_second"] > 0


def test_what_a_verification_costs_leaves_out_its_commands() -> None:
    def record(seq: int, seconds: float, event: str, **payload: Any) -> Record:
        time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        return Record(seq, time, "a", None, "t", 1, event, payload, "", "")

    agent = [record(1, 0, "agent_exited"), record(2, 5, "agent_exited"), record(3, 6, "captured")]
    verifier = [
        record(1, 7, "process", duration_ms=1_500),
        record(2, 8, "process", duration_ms=500),
        record(3, 8.5, "verdict"),
    ]
    assert spent_beyond(agent, verifier) == (3.5, 1.5)
