"""Watches over what an agent is doing: states, silences, heartbeats. Pure: it is told what came, and what time it is.

What an agent that has fallen silent needs is decided here; who does it is `turns`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from axiom_sandbox.drivers.contract import Driver, Signals
from axiom_sandbox.protocol.agents import Activity, AgentState
from axiom_sandbox.protocol.channel import Patience
from axiom_sandbox.protocol.events import Event, Heartbeat, Silence, StateChanged
from axiom_sandbox.protocol.launching import Processes

_LISTED = 40
_NEVER = float("inf")
_LONGEST_LIMIT = 24 * 3600.0


@dataclass(frozen=True)
class Look:
    """What one look at the agent comes to."""

    events: tuple[Event, ...] = ()
    hung: str = ""
    """Why it has to be ended and started again; empty: it has not."""
    heartbeat_due: bool = False


class Vigil:
    """One process of an agent. Times are seconds of a clock that only goes forward; `wall_ms` is the time of day."""

    def __init__(
        self,
        driver: Driver,
        patience: Patience,
        idle_seconds: float,
        now: float,
        wall_ms: Callable[[], int],
        known: AgentState | None = None,
    ) -> None:
        self._driver, self._patience, self._idle_seconds = driver, patience, idle_seconds
        self._wall_ms = wall_ms
        self._last = self._beat = now
        self._bytes = 0
        self._heard = False
        self._level = ""
        self.state = known
        """What it is doing, since when, and what decided that; None: nobody has looked yet."""

    def heard(self, now: float, size: int, news: bool = True) -> None:
        """So many bytes came, on any way. Without `news` they break no silence: a clock that ticks on a screen."""
        self._heard = True
        self._bytes += size
        if news:
            self._last, self._level = now, ""

    @property
    def is_excused(self) -> bool:
        """Whether it may be silent: for a person, or for a vendor that has said until when."""
        return self.waits_for_a_person or self._seconds_of_limit() > 0

    @property
    def waits_for_a_person(self) -> bool:
        """Whether its silence is ours."""
        return self._driver.activity in (Activity.WAITING_FOR_APPROVAL, Activity.WAITING_FOR_INPUT)

    def look(self, now: float, running: bool = True, exit: str = "") -> Look:
        """What is to be recorded and done now."""
        silent = now - self._last
        activity = self._driver.activity or Activity.STARTING
        after = self._hung_after(activity, silent)
        events = self._silence(silent, activity, after) if running else ()
        found = self._driver.state(
            Signals(running=running, heard=self._heard, silent_seconds=silent, hung_after=after, exit=exit)
        )
        events += self._changed(found)
        hung = f"silent for {silent:.0f} s while {activity.value}" if running and silent >= after else ""
        return Look(events, hung, running and now - self._beat >= self._patience.heartbeat_seconds)

    def heartbeat(self, now: float, found: Processes, number: int) -> Heartbeat:
        """What is known of the agent; the next is due in a while."""
        tree = (
            f"{one.pid} {one.ppid} {one.state} {one.rss_kib} {one.cpu_ms} {one.command}"[:200]
            for one in found.processes[:_LISTED]
        )
        beat = Heartbeat(
            round=number,
            activity=self.state.activity if self.state else Activity.STARTING,
            processes=tuple(tree),
            count=found.count,
            cpu_ms=sum(one.cpu_ms for one in found.processes),
            rss_kib=sum(one.rss_kib for one in found.processes),
            bytes_since=self._bytes,
            silent_ms=round((now - self._last) * 1000),
        )
        self._beat, self._bytes = now, 0
        return beat

    def _seconds_of_limit(self) -> float:
        """Until the vendor lets it go on, where it has said when; not more than it may be silent in a day."""
        until = self._driver.memory.limited_until_ms
        return 0 if until is None else min(max((until - self._wall_ms()) / 1000, 0), _LONGEST_LIMIT)

    def _hung_after(self, activity: Activity, silent: float) -> float:
        """Seconds of silence that are too many, in what it is doing."""
        if not self._driver.structured:
            return self._idle_seconds
        match activity:
            case Activity.RUNNING_TOOL:
                return self._patience.tool_seconds
            case Activity.RATE_LIMITED if limit := self._seconds_of_limit():
                return max(self._patience.waiting_seconds, silent + limit + self._patience.hung_seconds)
            case Activity.RATE_LIMITED | Activity.API_UNREACHABLE:
                return self._patience.waiting_seconds
            case Activity.WAITING_FOR_APPROVAL | Activity.WAITING_FOR_INPUT | Activity.IDLE:
                return _NEVER
            case _:
                return self._patience.hung_seconds

    def _silence(self, silent: float, activity: Activity, after: float) -> tuple[Event, ...]:
        if self.waits_for_a_person:
            return ()
        patience = self._patience
        levels = (
            ("noted", patience.noted_seconds),
            ("flagged", patience.flagged_seconds),
            ("acted", after),
        )
        reached = [level for level, seconds in levels if silent >= seconds]
        if not reached or reached[-1] == self._level:
            return ()
        self._level = reached[-1]
        number = self._driver.memory.round
        return (Silence(round=number, seconds=int(silent), level=self._level, activity=activity),)

    def _changed(self, found: AgentState) -> tuple[Event, ...]:
        known = self.state
        if known and known.activity is found.activity is Activity.HUNG:
            return ()
        if known and known == found.model_copy(update={"since_ms": known.since_ms}):
            return ()
        self.state = found.model_copy(update={"since_ms": self._wall_ms()})
        return (StateChanged(round=self._driver.memory.round, state=self.state),)
