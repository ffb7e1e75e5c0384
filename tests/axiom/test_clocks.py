"""Time that does not jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from axiom.clocks import SteadyClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Machine:
    """A machine whose wall clock can be set."""

    def __init__(self) -> None:
        self.wall, self.passed = NOON, 0.0

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall + timedelta(seconds=self.passed), lambda: self.passed)


def test_a_wall_clock_that_is_set_moves_nothing() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passed = 10
    machine.wall += timedelta(hours=1)
    assert clock() == NOON + timedelta(seconds=10)
    assert clock.offset_seconds() == 3600
    machine.wall -= timedelta(hours=2)
    assert clock() == NOON + timedelta(seconds=10)
    assert clock.offset_seconds() == -3600


def test_it_goes_on_from_the_time_that_it_was_set_to() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passed = 5
    clock.set(NOON - timedelta(hours=1))
    machine.passed = 7
    assert clock() == NOON - timedelta(hours=1) + timedelta(seconds=2)
    assert clock.offset_seconds() == 3600 + 5
