"""How long evidence is kept: by the AgentClass, by the verdict, and by the task itself. Pure.

Where nothing says how long, or the class is not known any more, everything is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from axiom.api.agentclass import EvidenceRetention, PictureRetention
from axiom.api.agenttask import AgentTask
from axiom.planning.statuses import parse_time
from axiom_sandbox.protocol.pictures import SCREENSHOT
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.protocol.verdicts import Verdict

RECORDINGS, SCREENSHOTS = "recording", SCREENSHOT
"""How the names of blobs begin that show what was seen."""


@dataclass(frozen=True)
class Fate:
    """What is over for one task."""

    evidence: bool
    """Everything of it goes."""
    pictures: tuple[str, ...] = ()
    """Of what else the blobs go: RECORDINGS, SCREENSHOTS."""
    why: str = ""


def fate_of(task: AgentTask, policies: Mapping[str, EvidenceRetention], now: datetime) -> Fate:
    """A task that is complete → what of it is over."""
    if not task.status.completion_time:
        return Fate(False)
    age = now - parse_time(task.status.completion_time)
    policy = policies.get(task.spec.agent_class_name)
    longest = _parsed(task.spec.retention.evidence) or (
        _by_verdict(policy, task.status.verdict) if policy else None
    )
    if longest is not None and age > longest:
        return Fate(True, why=f"complete for {_days(age)}, kept for {_days(longest)}")
    return Fate(False, _pictures_over(policy, task, age), f"complete for {_days(age)}")


def _by_verdict(policy: EvidenceRetention, verdict: Verdict | None) -> timedelta | None:
    match verdict:
        case Verdict.PASS:
            return _parsed(policy.after_pass)
        case Verdict.FAIL:
            return _parsed(policy.after_fail)
        case _:
            return _parsed(policy.otherwise)


def _pictures_over(policy: EvidenceRetention | None, task: AgentTask, age: timedelta) -> tuple[str, ...]:
    if policy is None:
        return ()
    said = {RECORDINGS: policy.pictures, SCREENSHOTS: policy.screenshots or policy.pictures}
    return tuple(kind for kind, own in said.items() if own and _is_over(own, task, age))


def _is_over(policy: PictureRetention, task: AgentTask, age: timedelta) -> bool:
    if policy.until_pass and task.status.verdict is Verdict.PASS:
        return True
    longest = _parsed(policy.after)
    return longest is not None and age > longest


def _parsed(text: str | None) -> timedelta | None:
    return parse_duration(text) if text else None


def _days(time: timedelta) -> str:
    return f"{time.total_seconds() / 86400:.1f} days"
