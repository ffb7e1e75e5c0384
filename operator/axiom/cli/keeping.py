"""What `axiom checkpoint`, `checkpoints`, `rollback` and `fork` do once their options are read."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from axiom.api.agenttask import AgentTask, CheckpointStatus
from axiom.api.conditions import ConditionType
from axiom.api.loading import RefusedError, parse_task
from axiom.cli.pruning import open_store
from axiom.cli.reading import readable
from axiom.cli.showing import ExitCode
from axiom.cluster.api import Api
from axiom.cluster.errors import ApiError, LoginError
from axiom.cluster.kubeconfig import log_in
from axiom.cluster.resources import AGENT_TASKS
from axiom.evidence.harmless import one_line
from axiom.evidence.outcomes import decode_outcome
from axiom.evidence.segments import EvidenceError
from axiom.manifests.naming import CHECKPOINT_ANNOTATION
from axiom.planning.statuses import is_true
from axiom.running.checkpoints import Found, find_all
from axiom.storage.keys import outcome_key
from axiom.storage.store import MissingError, StorageError
from axiom_sandbox.protocol.checkpoints import Why

_WAIT_SECONDS = 180.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """Where the task is."""

    cluster: bool
    namespace: str
    where: str
    context: str | None
    kubeconfig: Path | None
    gateway: str = ""
    token_file: Path | None = None
    gateway_ca: Path | None = None


def list_checkpoints(task: str, place: Place, *, as_json: bool) -> NoReturn:
    """Prints them, and ends the program."""
    rows = _of_cluster(task, place) if place.cluster else _of_store(task, place)
    if as_json:
        sys.stdout.writelines(json.dumps(row) + "\n" for row in rows)
    elif rows:
        table = Table("number", "run", "attempt", "round", "taken", "reason", "turn", "size", "fault")
        for row in rows:
            over = "over" if row["turnOver"] else "under way"
            cells = (
                row["number"], row["run"], row["attempt"], row["round"], row["time"], row["reason"], over,
                f"{row['size'] / 1e6:,.1f} MB", row["fault"],
            )  # fmt: skip
            table.add_row(*(Text(one_line(str(cell), 120), overflow="fold") for cell in cells))
        Console().print(table)
    else:
        typer.echo(f"{task} has no checkpoint", err=True)
    raise typer.Exit(0 if rows else 1)


def take_checkpoint(task: str, place: Place) -> None:
    """Asks for one, and waits until it stands in the status. Raises typer.Exit."""

    async def ask(api: Api, namespace: str) -> str:
        before = _task(await api.get(AGENT_TASKS, namespace, task))
        _check_runs(before, "there is nothing to keep any more")
        request = {"metadata": {"annotations": {CHECKPOINT_ANNOTATION: uuid.uuid4().hex}}}
        await api.merge(AGENT_TASKS, namespace, task, request)
        known = {one.digest for one in before.status.checkpoints}

        def taken(now: AgentTask) -> str:
            new = [one for one in now.status.checkpoints if one.digest not in known]
            asked = [one for one in new if one.reason is Why.DEMAND]
            trouble = now.status.checkpoint_trouble
            if trouble and trouble != before.status.checkpoint_trouble:
                raise _NotDoneError(f"no checkpoint could be taken: {trouble}")
            return f"checkpoint {asked[-1].number} is kept" if asked else ""

        return await _until(api, namespace, task, taken, "the checkpoint")

    _on_cluster(place, ask)


def roll_back(task: str, number: int, place: Place) -> None:
    """Sets spec.rollbackTo, anew if it stands there already, and waits until it is carried out. Raises typer.Exit."""

    async def ask(api: Api, namespace: str) -> str:
        before = _task(await api.get(AGENT_TASKS, namespace, task))
        _check_runs(before, f"fork it instead: axiom fork {task} NAME --checkpoint {number}")
        if before.spec.rollback_to == number:
            await api.merge(AGENT_TASKS, namespace, task, {"spec": {"rollbackTo": None}})
            await _until(
                api, namespace, task,
                lambda now: "" if now.status.rolled_back_to == number else "cleared", "the last rollback",
            )  # fmt: skip
        await api.merge(AGENT_TASKS, namespace, task, {"spec": {"rollbackTo": number}})

        def done(now: AgentTask) -> str:
            if now.status.rolled_back_to != number:
                return ""
            point = now.status.restored
            if now.status.attempt == before.status.attempt or point is None or point.number != number:
                raise _NotDoneError(now.status.message)
            return f"attempt {now.status.attempt} goes on from checkpoint {number}"

        return await _until(api, namespace, task, done, "the rollback")

    _on_cluster(place, ask)


def make_fork(task: str, name: str, number: int | None, prompt: str, place: Place) -> None:
    """Creates the new task. Raises typer.Exit."""

    async def ask(api: Api, namespace: str) -> str:
        if place.where:
            found, source = await _out_of_store(task, number, namespace, place.where)
        else:
            found, source = dict(await api.get(AGENT_TASKS, namespace, task)), {"task": task}
            source |= {} if number is None else {"number": number}
        await api.create(AGENT_TASKS, namespace, forked(found, name, source, prompt))
        return f"task {name} is created; follow it with kubectl get agenttask {name} -n {namespace} -w"

    _on_cluster(place, ask)


async def _out_of_store(
    task: str, number: int | None, namespace: str, where: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last task of this name of which a checkpoint is kept, as its outcome has it, and where that checkpoint lies."""
    try:
        store = open_store(where)
        there = await find_all(store, task, namespace)
        runs = [one for one in there if one.manifest.identity.task_id == there[-1].manifest.identity.task_id]
        wanted = [one for one in runs if number in (None, one.manifest.number)]
        if not wanted:
            which = f"checkpoint {number}" if number and runs else "checkpoint"
            raise _NotDoneError(
                f"no {which} of a task {task!r} of namespace {namespace!r} is kept in {where}"
            )
        identity = wanted[-1].manifest.identity
        stored = {"uid": identity.task_id, "attempt": identity.attempt, "digest": wanted[-1].digest}
        source = {"task": task, "number": wanted[-1].manifest.number, "stored": stored}
        try:
            outcome = decode_outcome(await store.get(outcome_key(namespace, identity.task_id)))
        except MissingError as error:
            raise _NotDoneError(
                f"the task {task!r} was deleted before it was complete, so what it asked for is not kept; write a task of"
                f" your own, with workspace.checkpoint: {json.dumps(source)}"
            ) from error
    except (StorageError, EvidenceError, ValueError) as error:
        raise _NotDoneError(f"{where} cannot be read: {error}") from error
    return outcome.model_dump(by_alias=True, mode="json", exclude_unset=True, exclude={"status"}), source


def forked(found: dict[str, Any], name: str, source: dict[str, Any], prompt: str) -> dict[str, Any]:
    """The new task, from the other as the cluster, or its outcome, has it. Pure."""
    left = ("suspend", "rollbackTo", "review")
    spec = {key: value for key, value in found["spec"].items() if key not in left}
    spec["workspace"] = {"checkpoint": source}
    spec.pop("result", None)  # a branch grows from a revision that is fetched, and nothing is
    if prompt:
        spec["prompt"] = prompt
    body = {
        "apiVersion": AGENT_TASKS.group_version,
        "kind": AGENT_TASKS.kind,
        "spec": spec,
    }
    return {**body, "metadata": {"name": name, "namespace": found["metadata"]["namespace"]}}


class _NotDoneError(Exception):
    """The cluster understood, and it came to nothing."""


def _of_store(task: str, place: Place) -> list[dict[str, Any]]:
    with readable():
        try:
            store = open_store(place.where)
            return [_row_of(found) for found in asyncio.run(find_all(store, task, place.namespace))]
        except StorageError as error:
            raise EvidenceError(str(error)) from error


def _of_cluster(task: str, place: Place) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    async def ask(api: Api, namespace: str) -> str:
        found = _task(await api.get(AGENT_TASKS, namespace, task))
        rows.extend(_row(one, found.uid) for one in found.status.checkpoints)
        return ""

    _on_cluster(place, ask)
    return rows


def _row(one: CheckpointStatus, uid: str) -> dict[str, Any]:
    return {"run": uid[:8], **one.model_dump(by_alias=True, mode="json")}


def _row_of(found: Found) -> dict[str, Any]:
    return _row(found.status, found.manifest.identity.task_id)


def _task(found: Any) -> AgentTask:
    return parse_task({key: found[key] for key in ("metadata", "spec", "status") if key in found})


def _check_runs(task: AgentTask, cure: str) -> None:
    if is_true(task.status, ConditionType.COMPLETE):
        raise _NotDoneError(f"{task.name} is complete; {cure}")


async def _until(api: Api, namespace: str, name: str, said: Callable[[AgentTask], str], what: str) -> str:
    until = asyncio.get_running_loop().time() + _WAIT_SECONDS
    while asyncio.get_running_loop().time() < until:
        if text := said(_task(await api.get(AGENT_TASKS, namespace, name))):
            return text
        await asyncio.sleep(_LOOK_SECONDS)
    raise _NotDoneError(
        f"{what} did not come within {_WAIT_SECONDS:.0f} s; see kubectl describe agenttask {name} -n {namespace}"
    )


def _on_cluster(place: Place, ask: Callable[[Api, str], Awaitable[str]]) -> None:
    with _leaving():
        login = log_in(place.kubeconfig, place.context)

        async def carry_out() -> str:
            async with Api("axiom-checkpoints", login.connect) as api:
                return await ask(api, place.namespace or login.namespace)

        if said := asyncio.run(carry_out()):
            typer.echo(said)


@contextmanager
def _leaving() -> Iterator[None]:
    try:
        yield
    except (ApiError, LoginError, _NotDoneError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.COULD_NOT_RUN) from error
    except RefusedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.REFUSED) from error
