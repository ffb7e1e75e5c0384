"""What holds up a task. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from pydantic import ValidationError

from axiom.api.agenttask import AgentTaskStatus
from axiom.api.conditions import EXPECTED_REASONS, Condition, ConditionStatus, ConditionType
from axiom.cluster.resources import Object, name_of, namespace_of, uid_of
from axiom.diagnosing.findings import Fault, Finding, good, note, problem
from axiom.planning.statuses import condition, is_true, parse_time
from axiom.reconciling.views import trouble_of
from axiom_sandbox.protocol.verdicts import Verdict

ATTENTION = timedelta(seconds=15)
"""A task that nobody has looked at for longer is being neglected."""
_MOST_EVENTS = 5


def diagnose_task(
    task: Object, pods: Sequence[Object], events: Sequence[Object], now: datetime
) -> Iterator[Finding]:
    """Findings about an AgentTask (its JSON), its pods and their Events; the most telling first."""
    subject = f"AgentTask {namespace_of(task)}/{name_of(task)}"
    try:
        status = AgentTaskStatus.model_validate(task.get("status") or {})
    except ValidationError as error:
        yield note(subject, f"its status is of another version of Axiom: {error.error_count()} unknown parts")
        return
    if not status.conditions:
        yield _unseen(subject, task, now)
    elif is_true(status, ConditionType.COMPLETE):
        yield from _ended(subject, status)
    else:
        yield from _under_way(subject, status)
    said = {item.message for item in status.conditions}
    for pod in pods:
        if (trouble := trouble_of(pod)) and trouble.message not in said:
            yield problem(f"pod {name_of(pod)}", trouble.message, trouble.reason)
        yield from _container_ends(pod)
    yield from _warnings(pods, events)


def _unseen(subject: str, task: Object, now: datetime) -> Finding:
    created = parse_time(str(task["metadata"]["creationTimestamp"]))
    if now - created < ATTENTION:
        return note(subject, "has just been created")
    seconds = int((now - created).total_seconds())
    return problem(
        subject, f"nobody has looked at it in the {seconds} s since it was created", Fault.OPERATOR_AWAY
    )


def _ended(subject: str, status: AgentTaskStatus) -> Iterator[Finding]:
    ended = condition(status, ConditionType.COMPLETE)
    assert ended is not None
    if status.verdict is Verdict.PASS:
        yield good(subject, f"is over: Pass in round {status.round}")
        return
    verdict = status.verdict.value if status.verdict else "no verdict"
    yield problem(subject, f"is over: {verdict}: {ended.message or status.message}", ended.reason)
    for result in status.rounds[-1].criteria if status.rounds else ():
        if result.verdict is not Verdict.PASS:
            yield note(f"criterion {result.name}", f"{result.verdict.value}: {result.message}")


def _under_way(subject: str, status: AgentTaskStatus) -> Iterator[Finding]:
    held_up = [item for item in status.conditions if _holds_up(item)]
    for item in held_up:
        told = f"{item.type.value} is {item.status.value} since {item.last_transition_time}: {item.message}"
        yield problem(subject, told.removesuffix(": "), item.reason)
    if not held_up:
        latest = max(status.conditions, key=lambda item: item.last_transition_time)
        yield good(
            subject,
            f"is {status.state.value}, round {status.round}, attempt {status.attempt};"
            f" {latest.type.value} is {latest.reason.value} since {latest.last_transition_time}",
        )


def _holds_up(item: Condition) -> bool:
    return item.status is not ConditionStatus.TRUE and item.reason not in EXPECTED_REASONS


def _container_ends(pod: Object) -> Iterator[Finding]:
    """Containers that were ended from outside."""
    status = pod.get("status") or {}
    for item in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        for state in (item.get("state") or {}, item.get("lastState") or {}):
            reason = (state.get("terminated") or {}).get("reason")
            if reason == "OOMKilled":
                told = f"container {item['name']} was ended because it used more memory than its limit"
                yield problem(f"pod {name_of(pod)}", told, Fault.POD_IN_TROUBLE)
    if status.get("reason"):
        yield problem(
            f"pod {name_of(pod)}", f"{status['reason']}: {status.get('message', '')}", Fault.POD_IN_TROUBLE
        )


def _warnings(pods: Sequence[Object], events: Sequence[Object]) -> Iterator[Finding]:
    """What Kubernetes said of the pods lately."""
    names = {uid_of(pod): name_of(pod) for pod in pods}
    telling = [
        item
        for item in events
        if item.get("type") == "Warning" and item.get("involvedObject", {}).get("uid") in names
    ]
    telling.sort(key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime") or ""), reverse=True)
    for item in telling[:_MOST_EVENTS]:
        pod = names[item["involvedObject"]["uid"]]
        yield note(f"pod {pod}", f"Event {item.get('reason', '')}: {item.get('message', '')}")
