"""The result as a branch: pushed between the verdict and the outcome, which waits for it and is not changed by it."""

from __future__ import annotations

from datetime import timedelta

from axiom.api.agenttask import AgentTaskStatus, Decision, PushWhen, ResultStatus, RoundStatus
from axiom.api.conditions import Condition, ConditionType, Reason
from axiom.planning.actions import Action, CreateSandbox, Wait, WriteStatus
from axiom.planning.observed import Presence, SandboxView
from axiom.planning.outcomes import Outcome
from axiom.planning.present import Present
from axiom.planning.statuses import condition, has_reason, parse_time, with_condition
from axiom.storage.keys import blob_key
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.verdicts import Verdict

PUSH_TIMEOUT = timedelta(minutes=30)
"""From the verdict on; then the task completes without its branch."""
_LOOK_SECONDS = 5.0
_LONGEST_FAILURE = 3000


def push(present: Present, outcome: Outcome) -> tuple[Action, ...] | None:
    """What the outcome has to wait for; None once a branch is pushed, has failed, or was never asked for."""
    last = _to_push(present, outcome)
    if last is None:
        return None
    begun = condition(present.status, ConditionType.PUSHED)
    if begun is None:
        status = with_condition(
            present.status,
            present.now,
            ConditionType.PUSHED,
            None,
            Reason.PUSHING,
            "the branch is being pushed",
        )
        return (WriteStatus(status),)
    pusher = _pusher(present)
    left = (parse_time(begun.last_transition_time) + PUSH_TIMEOUT - present.now).total_seconds()
    if not present.status.workspace.revision:
        return None
    if left <= 0 or (pusher and (_is_pushed(pusher) or _failure(pusher))):
        return None
    if pusher is None and not present.observed.creation_refused:
        return (CreateSandbox(_identity(present), present.status.workspace.digest, last.changes),)
    return (Wait(min(left, _LOOK_SECONDS), "the branch is being pushed"),)


def push_accepted(present: Present) -> tuple[Action, ...]:
    """A person accepted a result that was not pushed for its verdict alone: it becomes a branch like one that passed. Where a
    push has failed, an acceptance after that has it tried once more.

    The verdict, and the outcome, stay as they are; empty: there is nothing to push, or it was done.
    """
    status = present.status
    last, begun = status.rounds[-1] if status.rounds else None, condition(status, ConditionType.PUSHED)
    if not present.spec.result.push or not last or not last.changes or not begun:
        return ()
    if begun.reason is not Reason.PUSHING:
        return (WriteStatus(_begun(present, last)),) if _is_asked_for(status, last, begun) else ()
    pusher = _pusher(present)
    left = (parse_time(begun.last_transition_time) + PUSH_TIMEOUT - present.now).total_seconds()
    is_over = left <= 0 or not status.workspace.revision
    if not is_over and not (pusher and (_is_pushed(pusher) or _failure(pusher))):
        if pusher is None and not present.observed.creation_refused:
            return (CreateSandbox(_identity(present), status.workspace.digest, last.changes),)
        return (Wait(min(left, _LOOK_SECONDS), "the branch is being pushed"),)
    return (WriteStatus(_with_branch(present, status, status.result or _left_by(last))),)


def _is_asked_for(status: AgentTaskStatus, last: RoundStatus, begun: Condition) -> bool:
    """Whether a person's decision has the branch pushed now."""
    review = status.review
    if review is None or review.decision is not Decision.ACCEPT:
        return False
    match begun.reason:
        case Reason.NOT_PUSHED:
            return begun.message == _why_not(status.verdict, last)
        case Reason.PUSH_FAILED:
            return parse_time(review.time) > parse_time(begun.last_transition_time)
        case _:
            return False


def _begun(present: Present, last: RoundStatus) -> AgentTaskStatus:
    status, review = present.status, present.status.review
    assert review is not None
    result = status.result or _left_by(last)
    if has_reason(status, ConditionType.PUSHED, Reason.PUSH_FAILED):
        result = result.model_copy(update={"pushes": result.pushes + 1})
    told = f"accepted by {review.by}: the branch is being pushed"
    status = status.model_copy(update={"result": result})
    return with_condition(status, present.now, ConditionType.PUSHED, None, Reason.PUSHING, told)


def with_result(present: Present, status: AgentTaskStatus, outcome: Outcome) -> AgentTaskStatus:
    """The status with what the last round left, and what became of its branch."""
    last = present.status.rounds[-1] if present.status.rounds else None
    result = _left_by(last) if last and last.changes else ResultStatus()
    status = status.model_copy(update={"result": result if result.digest else None})
    if not present.spec.result.push:
        return status
    if _to_push(present, outcome) is None:
        why = _why_not(outcome.verdict, last)
        return with_condition(status, present.now, ConditionType.PUSHED, False, Reason.NOT_PUSHED, why)
    return _with_branch(present, status, result)


def _with_branch(present: Present, status: AgentTaskStatus, result: ResultStatus) -> AgentTaskStatus:
    """The status with what came of a push that is over."""
    pusher = _pusher(present)
    found = pusher.state.pushed if pusher and pusher.state else None
    if found and found.commit:
        value, reason, message = True, Reason.BRANCH_PUSHED, f"{found.branch} is at {found.commit}"
        result = result.model_copy(update={"branch": found.branch, "commit": found.commit})
    elif found:
        value, reason, message = False, Reason.NOT_PUSHED, "the agent changed nothing"
    else:
        value, reason, message = False, Reason.PUSH_FAILED, _why_failed(present, pusher)
    status = status.model_copy(update={"result": result if result.digest else None})
    return with_condition(status, present.now, ConditionType.PUSHED, value, reason, message)


def _to_push(present: Present, outcome: Outcome) -> RoundStatus | None:
    """The round whose changes are to be pushed."""
    wanted, last = present.spec.result.push, present.status.rounds[-1] if present.status.rounds else None
    if wanted is None or last is None or last.verdict is None or not last.changes:
        return None
    return last if wanted.when is PushWhen.ALWAYS or outcome.verdict is Verdict.PASS else None


def _left_by(last: RoundStatus) -> ResultStatus:
    return ResultStatus(patch=last.diff, archive=blob_key(last.changes), digest=last.changes)


def _identity(present: Present) -> Identity:
    """Of the pusher of the present try."""
    result = present.status.result
    trial = result.pushes if result else 0
    return present.observed.identity(Role.PUSHER, present.status.attempt, trial=trial)


def _pusher(present: Present) -> SandboxView | None:
    wanted = _identity(present)
    return present.observed.sandbox(wanted.role, wanted.attempt, trial=wanted.trial)


def _is_pushed(pusher: SandboxView) -> bool:
    return bool(pusher.state and pusher.state.pushed)


def _failure(pusher: SandboxView) -> str:
    if pusher.state and pusher.state.failure:
        return pusher.state.failure.message
    return "the pusher's pod was lost" if pusher.presence is Presence.GONE else ""


def _why_failed(present: Present, pusher: SandboxView | None) -> str:
    """What happened, and the way back: nothing is lost."""
    if not present.status.workspace.revision:
        return "the commit that the task began with was lost with the fetcher's pod; the patch is in object storage"
    again = f"once that is mended, `axiom review {present.task.name} --accept` has it tried again"
    if pusher and (failed := _failure(pusher)):
        return f"{failed[:_LONGEST_FAILURE]}; {again}"
    trouble = pusher.trouble.message if pusher and pusher.trouble else present.observed.creation_refused
    return f"not pushed within {PUSH_TIMEOUT}: {trouble or 'the server was slow'}; {again}"


def _why_not(verdict: Verdict | None, last: RoundStatus | None) -> str:
    if last is None or last.verdict is None or not last.changes:
        return "there is no result that was judged"
    return f"the verdict is {verdict.value if verdict else 'none'}, and result.push.when is Pass"
