"""What a person makes of a task that is complete: recorded once, beside the verdict and not in its place. Pure."""

from __future__ import annotations

from datetime import datetime

from axiom.api.agenttask import AgentTaskStatus, ReviewStatus
from axiom.planning.observed import Observed
from axiom.planning.statuses import rfc3339, with_state


def review(observed: Observed, now: datetime) -> AgentTaskStatus | None:
    """The status with what spec.review says, if that is news. A later decision takes the place of an earlier one."""
    given, known = observed.task.spec.review, observed.task.status.review
    if given is None or (
        known and (known.decision, known.by, known.why) == (given.decision, given.by, given.why)
    ):
        return None
    found = ReviewStatus(decision=given.decision, by=given.by, why=given.why, time=rfc3339(now))
    return with_state(observed.task.status.model_copy(update={"review": found}))
