"""The control plane's clock jumps by an hour, forward and back: no task ends by it, and none waits for ever."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.control_plane import ControlPlane
from e2e.support.evidence import check_evidence
from e2e.support.keeping import Keeper
from e2e.support.world import World, is_running

pytestmark = pytest.mark.e2e

HOUR = 3600
Jump = Callable[[int], None]
"""Sets the clock of operator and gateway so many seconds ahead of this machine's."""


@pytest.fixture
def jump(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Jump]:
    """Operator and gateway with a wall clock that can be set; the machine's own is not touched."""
    [library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    faked = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }

    def set_clock(seconds: int) -> None:
        written = clock.with_suffix(".new")
        written.write_text(f"{seconds:+d}")
        written.replace(clock)

    environment = control_plane.environment
    environment.update(faked)
    restart(control_plane)
    yield set_clock
    for name in faked:
        del environment[name]
    restart(control_plane)


def restart(control_plane: ControlPlane) -> None:
    control_plane.stop()
    for program in (control_plane.operator, control_plane.gateway):
        program.start()
    for program in (control_plane.operator, control_plane.gateway):
        program.wait_until_ready()


def test_no_task_is_ended_or_held_up_by_a_clock(
    world: World, cluster: Connection, jump: Jump, keeper: Keeper, tmp_path: Path
) -> None:
    """Tasks that run through a jump, that begin after it, and whose operator starts anew with a clock that is off."""
    began = datetime.now(UTC)
    operator = world.control_plane.operator
    world.make_class()
    tasks = {
        name: world.make_task(name, "say working", "await go.txt", "write greeting.txt hello", "exit 0")
        for name in ("through-forward", "through-back")
    }
    for name in tasks:
        world.wait(name, is_running)

    jump(HOUR)
    wait_for_offset(world, HOUR)
    world.let_go(tasks["through-forward"])
    world.make_task("begun-forward")
    statuses = {name: world.wait_complete(name, 120) for name in ("through-forward", "begun-forward")}
    keeper.kill(operator)
    operator.wait_until_ready()
    wait_for_offset(world, HOUR)

    jump(-HOUR)
    wait_for_offset(world, -HOUR)
    world.let_go(tasks["through-back"])
    world.make_task("begun-back")
    statuses |= {name: world.wait_complete(name, 120) for name in ("through-back", "begun-back")}

    assert {status["verdict"] for status in statuses.values()} == {"Pass"}
    assert {status["attempt"] for status in statuses.values()} == {1}
    for status in statuses.values():
        for moment in (status["acceptedTime"], status["completionTime"]):
            assert abs(datetime.fromisoformat(moment) - began) < timedelta(minutes=30), (
                "times are the API server's"
            )
    assert re.search(r"clock is \+3(59|60)\d s off", operator.log.read_text())
    assert keeper.exits == [(operator.module, -9)]
    for name in statuses:
        task = world.kubectl.get("agenttask", name)
        assert task
        check_evidence(cluster, world.control_plane.environment["AXIOM_S3_BUCKET"], task, tmp_path)


def wait_for_offset(world: World, seconds: int) -> None:
    """Until the operator's metrics say that the clock is off by as much."""

    def missing() -> str | None:
        lines = world.control_plane.operator.get("/metrics").splitlines()
        found = [line for line in lines if line.startswith("axiom_operator_clock_offset_seconds ")]
        if found and abs(float(found[0].split()[1]) - seconds) < 60:
            return None
        return str(found)

    wait_until(f"a clock that is {seconds:+d} s off", missing, limit_seconds=90)
