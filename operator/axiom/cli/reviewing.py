"""What `axiom review` does: a decision is written into the task, under the name by which the cluster knows the person."""

from __future__ import annotations

import asyncio
import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from axiom.api.agenttask import AgentTask, Decision, Review, ReviewStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.api.loading import RefusedError, parse_task
from axiom.benching.keeping import keep_decision
from axiom.cli.review import Judged
from axiom.cli.sheets import sheet
from axiom.cli.showing import ExitCode
from axiom.cluster import errors
from axiom.cluster.api import Api
from axiom.cluster.kubeconfig import log_in
from axiom.cluster.resources import AGENT_TASKS, SELF_REVIEWS, Object
from axiom.planning.statuses import has_reason, is_true, rfc3339
from axiom.running.places import default_state
from axiom.running.results import kept_outcome, last_run, note_review
from axiom.storage.folder import FolderStore
from axiom.storage.store import StorageError

_USER_AGENT = "axiom-review"


class _CannotError(Exception):
    """The decision cannot be recorded. The message is for a person."""


def decide(judged: Judged) -> None:
    """Records a decision and says so, or shows what there is to decide on."""
    try:
        print(_here(judged) if judged.local else asyncio.run(_on_cluster(judged)))  # noqa: T201 - what was asked for
    except (_CannotError, RefusedError, errors.RefusedError, errors.NotFoundError) as error:
        _end(str(error), ExitCode.REFUSED)
    except (errors.ApiError, errors.LoginError) as error:
        _end(f"the cluster cannot be asked: {error}", ExitCode.COULD_NOT_RUN)


def _end(message: str, code: ExitCode) -> NoReturn:
    print(f"axiom review: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


def _here(judged: Judged) -> str:
    state = judged.state or default_state()
    runs = state / "runs"
    if not judged.decision:
        return _shown_here(state, judged.task)
    decided = {
        "decision": judged.decision,
        "by": getpass.getuser(),
        "why": judged.why,
        "time": rfc3339(datetime.now(UTC)),
    }
    if (path := note_review(runs, judged.task, decided)) is None:
        raise _CannotError(f"no run of a task {judged.task!r} is kept below {runs}")
    return f"{judged.task}: {judged.decision}, recorded in {path}{asyncio.run(_kept_here(state, judged.task, decided))}"


async def _kept_here(state: Path, name: str, decided: dict[str, str]) -> str:
    """Keeps the decision beside the run's evidence, too; what there is to say of it."""
    last, review = last_run(state / "runs", name), ReviewStatus.model_validate(decided)
    assert last is not None, "it was noted there"
    try:
        task = kept_outcome(state, last)
        known = task.model_copy(update={"status": task.status.model_copy(update={"review": review})})
        cases = await keep_decision(FolderStore(state / "store"), known)
    except (OSError, ValueError, StorageError) as error:
        return f" alone ({error})"
    return f"; cases for `axiom judge-bench --kept {state}`: {cases}" if cases else ""


def _shown_here(state: Path, name: str) -> str:
    if (last := last_run(state / "runs", name)) is None:
        raise _CannotError(f"no run of a task {name!r} is kept below {state / 'runs'}")
    try:
        return sheet(kept_outcome(state, last))  # what was decided before is in its result.json
    except (OSError, ValueError) as error:
        raise _CannotError(str(error)) from error


async def _on_cluster(judged: Judged) -> str:
    login = log_in(judged.kubeconfig, judged.context)
    namespace = judged.namespace or login.namespace
    async with Api(_USER_AGENT, login.connect) as api:
        found = parse_task(_own_fields(await api.get(AGENT_TASKS, namespace, judged.task)))
        if not judged.decision:
            return sheet(found)
        if not is_true(found.status, ConditionType.COMPLETE):
            raise _CannotError(
                f"the task {judged.task!r} is not complete (it is {found.status.state.value}); wait for its end, or delete it"
            )
        review = Review(decision=Decision(judged.decision), by=await _who(api), why=judged.why)
        if found.spec.review == review and has_reason(found.status, ConditionType.PUSHED, Reason.PUSH_FAILED):
            raise _CannotError(
                "this was decided already, in these words; say in others why (--why) the branch is to be"
                " tried again"
            )
        follower = _follower(found, review) if review.decision is Decision.AGAIN else None
        patch = {"spec": {"review": review.model_dump(mode="json", by_alias=True)}}
        await api.merge(AGENT_TASKS, namespace, judged.task, patch)
        said = f"{judged.task}: {judged.decision} by {review.by}"
        push = found.spec.result.push
        if (
            review.decision is Decision.ACCEPT
            and push
            and not (found.status.result and found.status.result.branch)
        ):
            said += f"; what became of the branch {push.branch} will stand in the condition Pushed"
        if follower is None:
            return said
        try:
            await api.create(AGENT_TASKS, namespace, follower)
        except errors.ApiError as error:
            raise _CannotError(f"{said}; but the task that is to go on was not taken: {error}") from error
        return f"{said}; the task {follower['metadata']['name']} goes on from its last checkpoint"


async def _who(api: Api) -> str:
    """The name by which the API server knows whoever asks."""
    body = {"apiVersion": SELF_REVIEWS.group_version, "kind": SELF_REVIEWS.kind}
    answer = await api.create(SELF_REVIEWS, "", body)
    return str(answer["status"]["userInfo"]["username"])


def _follower(task: AgentTask, review: Review) -> Object:
    """The task that goes on: the same criteria and base, the files and the session of the last checkpoint."""
    if not task.status.checkpoints:
        raise _CannotError(
            f"the task {task.name!r} has no checkpoint to go on from (status.checkpoints); write a new task, with"
            " workspace.task if it is to begin with the result"
        )
    spec = task.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for name in ("review", "suspend", "rollbackTo"):
        spec.pop(name, None)
    if spec.get("result", {}).get("push") and not spec["result"]["push"].get("url"):
        spec.pop("result")  # a branch grows from what workspace.git fetched
    spec |= {"prompt": review.why, "workspace": {"checkpoint": {"task": task.name}}, "force": True}
    stem, _, number = task.name.rpartition("-again-")
    name = f"{stem}-again-{int(number) + 1}" if stem and number.isdigit() else f"{task.name}-again-1"
    return {
        "apiVersion": task.api_version,
        "kind": task.kind,
        "metadata": {"name": name, "namespace": task.namespace},
        "spec": spec,
    }


def _own_fields(item: Object) -> dict[str, Any]:
    return {key: item[key] for key in ("apiVersion", "kind", "metadata", "spec", "status") if key in item}
