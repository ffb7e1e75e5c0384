"""How long evidence is kept: by the AgentClass, by the verdict, and by the task itself. Pure.

Where nothing says how long, or the class is not known any more, everything is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from axiom.api.agentclass import EvidenceRetention
from axiom.api.agenttask import AgentTask
from axiom.planning.statuses import parse_time
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.protocol.verdicts import Verdict

PICTURES = ("recording", "screenshot")
"""Names of blobs that show what was seen begin with one of these."""


@dataclass(frozen=True)
class Fate:
    """What is over for one task."""

    evidence: bool
    """Everything of it goes."""
    pictures: bool
    """Its recordings and screenshots go."""
    why: str = ""


def fate_of(task: AgentTask, policies: Mapping[str, EvidenceRetention], now: datetime) -> Fate:
    """A task that is complete → what of it is over."""
    if not task.status.completion_time:
        return Fate(False, False)
    age = now - parse_time(task.status.completion_time)
    policy = policies.get(task.spec.agent_class_name)
    longest = _parsed(task.spec.retention.evidence) or (
        _by_verdict(policy, task.status.verdict) if policy else None
    )
    if longest is not None and age > longest:
        return Fate(True, True, f"complete for {_days(age)}, kept for {_days(longest)}")
    return Fate(False, _pictures_over(policy, task, age), f"complete for {_days(age)}")


def _by_verdict(policy: EvidenceRetention, verdict: Verdict | None) -> timedelta | None:
    match verdict:
        case Verdict.PASS:
            return _parsed(policy.after_pass)
        case Verdict.FAIL:
            return _parsed(policy.after_fail)
        case _:
            return _parsed(policy.otherwise)


def _pictures_over(policy: EvidenceRetention | None, task: AgentTask, age: timedelta) -> bool:
    if policy is None or policy.pictures is None:
        return False
    if policy.pictures.until_pass and task.status.verdict is Verdict.PASS:
        return True
    longest = _parsed(policy.pictures.after)
    return longest is not None and age > longest


def _parsed(text: str | None) -> timedelta | None:
    return parse_duration(text) if text else None


def _days(time: timedelta) -> str:
    return f"{time.total_seconds() / 86400:.1f} days"
