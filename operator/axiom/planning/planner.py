"""`plan`: what is to be done next for one task. Level-triggered, so it may be asked at any moment and any number of times.

The order of the checks is the order of importance: deletion and completion first, then whether the task can be worked on
at all, then the sandbox of the present attempt, then the round. A status write is always alone in its plan: what depends
on it is planned once it can be observed. That fences: an attempt's number stands in the status before its sandbox
exists, and the status says `Running` before the agent starts.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from axiom.api.agenttask import AgentTaskStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.api.envelopes import envelope_of
from axiom.api.profile import to_text
from axiom.planning.actions import Action, DeleteTask, Wait, WriteStatus
from axiom.planning.attempts import is_lost, stale, with_sandbox, without_sandbox
from axiom.planning.checkpoints import fork_of, with_checkpoints
from axiom.planning.concluding import conclude, outcome
from axiom.planning.going_on import (
    broken_point,
    is_leaving,
    resume,
    roll_back,
    suspend,
    take_what_was_asked_for,
    tell_checkpoints,
    until_left,
)
from axiom.planning.observed import Observed, Trouble
from axiom.planning.outcomes import outcome_of_rounds
from axiom.planning.pausing import stand_still
from axiom.planning.present import Present
from axiom.planning.pushing import push_accepted
from axiom.planning.reviewing import review
from axiom.planning.rounds import judge_without_sandbox, judged, verify_without_agent
from axiom.planning.sources import Never, NotYet, Result, result_of
from axiom.planning.spending import summed_up, told_known, usage_known
from axiom.planning.statuses import has_reason, is_true, parse_time, rfc3339, with_condition
from axiom.planning.steps import RETRY_SECONDS, delete, next_attempt, write_if_new
from axiom.planning.working import with_vitals, without_questions
from axiom_sandbox.protocol.channel import SUPERSEDED
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.quantities import parse_duration


def plan(observed: Observed, now: datetime) -> tuple[Action, ...]:
    """What to do next. An empty plan means: nothing until something changes."""
    status = observed.task.status
    if is_true(status, ConditionType.COMPLETE):
        return _after_completion(observed, now)
    if observed.refusal and status.attempt == 0:
        return _refuse(observed, observed.refusal, now)
    if status.attempt == 0:
        return _accept(observed, now)
    present = Present(observed, now, status)
    actions = tuple(_with_what_is_known(observed, action) for action in _work_on(present))
    writes = any(isinstance(action, WriteStatus) for action in actions)
    return actions if writes else (*stale(present, actions), *actions)


def _with_what_is_known(observed: Observed, action: Action) -> Action:
    """Usage and checkpoints are written with what is written anyway, never for themselves."""
    if not isinstance(action, WriteStatus):
        return action
    used = usage_known(observed)
    is_over = is_true(action.status, ConditionType.COMPLETE)
    agent = observed.sandbox(Role.AGENT, action.status.attempt)
    status = with_vitals(without_questions(with_checkpoints(action.status, agent)), agent)
    usage = summed_up(used, told_known(observed), keep=not is_over)
    return WriteStatus(status.model_copy(update={"usage": usage}))


def _after_completion(observed: Observed, now: datetime) -> tuple[Action, ...]:
    if reviewed := review(observed, now):
        return (WriteStatus(reviewed),)
    if pushing := push_accepted(Present(observed, now, observed.task.status)):
        return pushing
    deletions = tuple(delete(view) for view in observed.sandboxes if view.deletable)
    ttl, ended = observed.task.spec.retention.ttl_after_complete, observed.task.status.completion_time
    if not ttl or not ended:
        return deletions
    left = (parse_time(ended) + parse_duration(ttl) - now).total_seconds()
    return (*deletions, Wait(left, "retention.ttlAfterComplete") if left > 0 else DeleteTask())


def _refuse(observed: Observed, trouble: Trouble, now: datetime) -> tuple[Action, ...]:
    status = observed.task.status.model_copy(
        update={"observed_generation": observed.generation, "message": trouble.message}
    )
    status = with_condition(status, now, ConditionType.ACCEPTED, False, trouble.reason, trouble.message)
    return write_if_new(observed, status) or (Wait(RETRY_SECONDS, trouble.message),)


def _accept(observed: Observed, now: datetime) -> tuple[Action, ...]:
    """A task that works on another's result begins when that is there: until then its deadline does not count."""
    source = observed.task.spec.workspace.task
    if source and not observed.task.status.workspace.digest:
        match result_of(source, observed.source, observed.task.name):
            case NotYet(why):
                return _refuse(observed, Trouble(Reason.WAITING_FOR_TASK, why), now)
            case Never(why):
                return (WriteStatus(_ended_before_it_began(observed, now, why)),)
            case Result():
                pass
    accepted = _accepted(observed, now)
    fork = observed.task.spec.workspace.checkpoint
    if fork and accepted.forked_from is None:
        match fork_of(fork, observed.source, observed.task.name):
            case NotYet(why):
                return _refuse(observed, Trouble(Reason.WAITING_FOR_TASK, why), now)
            case Never(why):
                return (WriteStatus(_ended_before_it_began(observed, now, why)),)
            case (point, base):
                workspace = accepted.workspace.model_copy(update={"digest": base, "revision": point.digest})
                update = {"workspace": workspace, "restored": point, "forked_from": point}
                accepted = accepted.model_copy(update=update)
    return (WriteStatus(accepted),)


def _ended_before_it_began(observed: Observed, now: datetime, why: str) -> AgentTaskStatus:
    status = observed.task.status.model_copy(
        update={
            "observed_generation": observed.generation,
            "message": why,
            "completion_time": rfc3339(now),
        }
    )
    status = with_condition(status, now, ConditionType.ACCEPTED, False, Reason.WORKSPACE_FAILED, why)
    return with_condition(status, now, ConditionType.COMPLETE, True, Reason.WORKSPACE_FAILED, why)


def _accepted(observed: Observed, now: datetime) -> AgentTaskStatus:
    status = observed.task.status.model_copy(
        update={
            "observed_generation": observed.generation,
            "attempt": 1,
            "round": 1,
            "message": "",
            "accepted_time": rfc3339(now),
            "profile_criteria": to_text(observed.profile_criteria),
            "envelope": envelope_of(observed.task.spec),
        }
    )
    status = with_condition(
        status, now, ConditionType.ACCEPTED, True, Reason.ACCEPTED, "the task will be worked on"
    )
    return with_condition(
        status, now, ConditionType.SANDBOX_READY, False, Reason.CREATING, "creating the sandbox"
    )


def _work_on(present: Present) -> tuple[Action, ...]:
    """The checks, most important first."""
    verdict = judged(present)
    if verdict is not None:
        final = outcome_of_rounds(verdict.rounds, present.spec.limits.max_rounds)
        if final is None:
            return (WriteStatus(verdict),)
        # Written with the outcome: until then the verifier stays, and says the same again.
        return conclude(replace(present, status=verdict), final)
    if found := outcome(present):
        return conclude(present, found)
    if still := stand_still(present):
        return still
    if present.spec.suspend:
        return suspend(present)
    if rolling := roll_back(present):
        return rolling
    if has_reason(present.status, ConditionType.SANDBOX_READY, Reason.SUSPENDED):
        return resume(present)
    if present.is_superseded:
        return next_attempt(present, SUPERSEDED)
    if present.has_left:
        return judge_without_sandbox(present)
    if present.agent is None:
        return verify_without_agent(present) or without_sandbox(present)
    if broken := broken_point(present):
        return broken
    if is_leaving(present.agent):
        return until_left(present.agent)
    if is_lost(present, present.agent):
        return verify_without_agent(present) or next_attempt(
            present, present.loss.message, present.loss.reason
        )
    return tell_checkpoints(present) or (
        *take_what_was_asked_for(present, present.agent),
        *with_sandbox(present, present.agent),
    )
