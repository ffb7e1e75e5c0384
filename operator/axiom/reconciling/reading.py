"""From the raw objects of the API server to what the planner is told of task and class. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from axiom.api.agentclass import AgentClass, budget_fault, capability_fault, judge_fault
from axiom.api.agenttask import (
    AgentTask,
    AgentTaskSpec,
    AgentTaskStatus,
    Decision,
    Limits,
    Retention,
    VerificationSpec,
    Workspace,
)
from axiom.api.conditions import Reason
from axiom.api.envelopes import envelope_of
from axiom.api.loading import RefusedError, parse_class, parse_profile, parse_task
from axiom.api.profile import ProfileError, added
from axiom.cluster.resources import Object, name_of, namespace_of, uid_of
from axiom.planning.observed import Trouble
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.verdicts import Verdict


def read_task(item: Object) -> tuple[AgentTask, Trouble | None]:
    """The task, and why it cannot be carried out: then its spec is an empty stand-in, its status is its own.

    Raises RefusedError when not even the status can be read.
    """
    try:
        return parse_task(_own_fields(item)), None
    except RefusedError as error:
        faults = "; ".join(str(problem) for problem in error.problems)
        status = AgentTaskStatus.model_validate(item.get("status") or {})
        stand_in = AgentTaskSpec.model_construct(
            agent_class_name="", prompt="", workspace=Workspace(), criteria=[], limits=Limits(),
            verification=VerificationSpec(), suspend=False, priority=0, retention=Retention(),
            force=False, review=None,
        )  # fmt: skip
        task = AgentTask.model_construct(metadata=dict(item["metadata"]), spec=stand_in, status=status)
        return task, Trouble(Reason.INVALID_SPEC, faults)


def read_class(name: str, item: Object | None) -> tuple[AgentClass | None, Trouble | None]:
    """The class of this name, and why it cannot be used on a cluster."""
    if item is None:
        cure = "create it, and the task goes on"
        return None, Trouble(Reason.CLASS_NOT_FOUND, f"there is no AgentClass {name!r}; {cure}")
    try:
        found = parse_class(_own_fields(item))
    except RefusedError as error:
        faults = "; ".join(str(problem) for problem in error.problems)
        return None, Trouble(Reason.CLASS_INVALID, f"AgentClass {name!r}: {faults}")
    if not found.spec.image:
        message = f"AgentClass {name!r} names no image, and without one there is no pod; set spec.image"
        return None, Trouble(Reason.CLASS_INVALID, message)
    return found, None


def read_profiles(task: AgentTask, items: Iterable[Object]) -> tuple[tuple[Criterion, ...], Trouble | None]:
    """What the profiles of the task's namespace add to its criteria, and why they cannot be used."""
    wanted = set(task.spec.verification.profiles)
    named = (item for item in items if name_of(item) in wanted and namespace_of(item) == task.namespace)
    try:
        found = [parse_profile(_own_fields(item), f"VerificationProfile {name_of(item)!r}") for item in named]
        return tuple(added(task.spec.criteria, task.spec.verification.profiles, found)), None
    except (RefusedError, ProfileError) as error:
        return (), Trouble(Reason.PROFILE_INVALID, str(error).replace("\n", "; "))


def read_together(task: AgentTask, agent_class: AgentClass | None) -> Trouble | None:
    """Why this class cannot carry out this task, each of them being right by itself."""
    if agent_class is None:
        return None
    fault = budget_fault(agent_class, task.spec.limits.budget is not None)
    if fault:
        return Trouble(Reason.PRICES_MISSING, fault)
    beyond = capability_fault(agent_class, task.spec)
    if beyond:
        return Trouble(Reason.CAPABILITY_BEYOND_CLASS, beyond)
    unjudged = judge_fault(agent_class, task.spec.criteria)
    return Trouble(Reason.JUDGE_MISSING, unjudged) if unjudged else None


def read_twin(task: AgentTask, items: Iterable[Object]) -> Trouble | None:
    """Why this task, which nobody has begun, would be a repetition."""
    envelope = envelope_of(task.spec)
    if not envelope or task.spec.force or task.status.attempt:
        return None
    for item in items:
        status = item.get("status") or {}
        if status.get("envelope") != envelope or namespace_of(item) != task.namespace:
            continue
        accepted = (status.get("review") or {}).get("decision") == Decision.ACCEPT
        if status.get("verdict") == Verdict.FAIL and not accepted and uid_of(item) != task.uid:
            message = (
                f"the task {name_of(item)!r} asked for the same, word for word, and failed; change this one, or set"
                " spec.force: true, and it goes on"
            )
            return Trouble(Reason.SAME_AS_FAILED, message)
    return None


def _own_fields(item: Object) -> dict[str, object]:
    return {key: item[key] for key in ("apiVersion", "kind", "metadata", "spec", "status") if key in item}
