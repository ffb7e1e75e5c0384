"""A task on a cluster, as whoever applied it sees it: created or found again, and followed to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from axiom.api.agenttask import AgentTask, AgentTaskStatus
from axiom.api.conditions import ConditionType
from axiom.api.explaining import Problem
from axiom.api.loading import RefusedError, differing_fields, parse_task
from axiom.backends.contract import CannotRunError
from axiom.cluster import errors
from axiom.cluster.api import Api
from axiom.cluster.resources import AGENT_CLASSES, AGENT_TASKS, Object, uid_of
from axiom.planning.statuses import is_true

_LOOK_SECONDS = 1.0
_UNTAKEN_LOOKS = 20
_MISSED_LOOKS = 60
"""How often in a row the API server may be away before we stop following; the task itself does not mind."""
_NO_SUCH_KIND = ("could not find the requested resource", "page not found")


@dataclass
class RemoteRun:
    """One task in one namespace of a cluster."""

    api: Api
    task: AgentTask
    namespace: str
    on_status: Callable[[AgentTaskStatus], None]
    say: Callable[[str], None]
    """Told what is worth knowing besides the status."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self) -> AgentTask:
        """The task as it stands when it is complete.

        Raises RefusedError when the cluster does not take it, CannotRunError when it cannot be brought there or is lost.
        """
        try:
            await self._check_class()
            found = await self._found() or await self._create()
        except errors.ApiError as error:
            raise self._explained(error) from error
        return await self._follow(uid_of(found))

    async def _check_class(self) -> None:
        name = self.task.spec.agent_class_name
        try:
            await self.api.get(AGENT_CLASSES, "", name)
        except errors.NotFoundError as error:
            if _is_unknown_kind(error):
                raise
            cure = "somebody who may must create it first: kubectl apply -f CLASS.yaml"
            problem = Problem("spec.agentClassName", f"the cluster has no AgentClass {name!r}; {cure}")
            raise RefusedError(self.task.name, [problem]) from error
        except errors.RefusedError:
            return  # not everybody may read classes; the operator tells if there is none

    async def _found(self) -> Object | None:
        """The task, if it is there already, and is the same."""
        try:
            found = await self.api.get(AGENT_TASKS, self.namespace, self.task.name)
        except errors.NotFoundError as error:
            if _is_unknown_kind(error):
                raise
            return None
        fields = differing_fields(_parsed(found), self.task)
        if fields:
            cure = (
                f"differs from the task of this name that is on the cluster; give this one another name, or delete"
                f" that one first: kubectl delete agenttask {self.task.name} -n {self.namespace}"
            )
            raise RefusedError(self.task.name, [Problem(field, cure) for field in fields[:1]])
        self.say(f"the task {self.task.name} is on the cluster already; following it")
        return found

    async def _create(self) -> Object:
        body = self.task.model_dump(by_alias=True, mode="json", exclude_unset=True, exclude={"status"})
        body["metadata"] = {**self.task.metadata, "namespace": self.namespace}
        body |= {"apiVersion": self.task.api_version, "kind": self.task.kind}
        try:
            return await self.api.create(AGENT_TASKS, self.namespace, body)
        except errors.AlreadyExistsError:
            found = await self._found()  # somebody was faster
            if found is None:
                raise
            return found

    async def _follow(self, uid: str) -> AgentTask:
        missed = looks = 0
        while True:
            try:
                found = await self.api.get(AGENT_TASKS, self.namespace, self.task.name)
            except errors.NotFoundError as error:
                raise CannotRunError(f"the task {self.task.name} was deleted while it ran") from error
            except errors.ApiError as error:
                missed += 1
                if missed > _MISSED_LOOKS:
                    raise CannotRunError(
                        f"the cluster cannot be asked any more: {error}; the task goes on without us: {self.cure}"
                    ) from error
                await self.sleep(_LOOK_SECONDS)
                continue
            missed, looks = 0, looks + 1
            if uid_of(found) != uid:
                raise CannotRunError(f"the task {self.task.name} was deleted, and another has its name now")
            task = _parsed(found)
            self.on_status(task.status)
            if is_true(task.status, ConditionType.COMPLETE):
                return task
            if looks == _UNTAKEN_LOOKS and not task.status.conditions:
                self.say(
                    "no operator has taken the task yet; is one running? kubectl get pods -n axiom-system"
                )
            await self.sleep(_LOOK_SECONDS)

    @property
    def cure(self) -> str:
        """How to go on with a task that is not followed any more."""
        name = f"agenttask {self.task.name} -n {self.namespace}"
        return f"follow it with the same command, or `kubectl get {name} --watch`; end it with `kubectl delete {name}`"

    def _explained(self, error: errors.ApiError) -> Exception:
        """An answer of the API server as a sentence with a cure."""
        text = " ".join(str(error).split())
        match error:
            case errors.NotFoundError() if _is_unknown_kind(error):
                return CannotRunError(
                    "Axiom is not installed on this cluster: it knows no AgentTask; install it: helm install axiom"
                    " charts/axiom --namespace axiom-system --create-namespace"
                )
            case errors.NotFoundError() if "namespaces" in text:
                return CannotRunError(
                    f"the cluster has no namespace {self.namespace!r}; create it: kubectl create namespace"
                    f" {self.namespace}, or name another with --namespace"
                )
            case errors.RefusedError() if "is forbidden: User" in text:
                return CannotRunError(
                    f"you may not do this: {text}; ask for a role that may create and get agenttasks in"
                    f" {self.namespace}, or name another namespace with --namespace"
                )
            case errors.RefusedError():
                cure = f"the cluster refuses it: {text}; correct the task, or ask whoever made that rule"
                return RefusedError(self.task.name, [Problem("", cure)])
            case errors.UnavailableError() if text.startswith("401"):
                return CannotRunError(
                    f"the cluster does not accept your credentials ({text}); log in anew, or name another context"
                    " with --context"
                )
            case _:
                return CannotRunError(f"{text}; check the cluster and the context with `kubectl get nodes`")


def _is_unknown_kind(error: errors.NotFoundError) -> bool:
    """Not the object is missing, but the definition of what it would be."""
    return any(words in str(error) for words in _NO_SUCH_KIND)


def _parsed(found: Object) -> AgentTask:
    fields: dict[str, Any] = {
        key: found[key] for key in ("apiVersion", "kind", "metadata", "spec", "status") if key in found
    }
    return parse_task(fields, f"agenttask {found['metadata']['name']}")
