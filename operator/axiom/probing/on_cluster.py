"""The probe in a pod of a class: a task whose workspace never comes, so that its agent never starts.

Only the operator makes sandbox pods, and network policies and admission know them by what it gives them: a pod of anybody
else's would show another isolation. The task is removed afterwards, and its pod with it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from axiom.api.agenttask import AgentTaskStatus
from axiom.api.conditions import ConditionStatus, ConditionType
from axiom.backends.contract import CannotRunError
from axiom.cluster.api import Api
from axiom.cluster.errors import ApiError
from axiom.cluster.resources import AGENT_TASKS, Object, uid_of
from axiom.probing.report import Report
from axiom_sandbox.protocol.channel import LayerFound
from axiom_sandbox.protocol.launching import Assertion, Layer

_LOOK_SECONDS = 1.0


@dataclass
class ClusterProbe:
    """One probe of one class in one namespace."""

    api: Api
    agent_class: str
    namespace: str
    say: Callable[[str], None]
    patience_seconds: float = 600
    """How long pulling the class's image and scheduling may take."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self) -> Report:
        """Raises CannotRunError when the pod does not come as far as the probe."""
        name = f"probe-{self.agent_class[:40]}-{secrets.token_hex(4)}"
        try:
            task = await self.api.create(AGENT_TASKS, self.namespace, self._task(name))
        except ApiError as error:
            raise CannotRunError(f"no task for the probe can be created: {error}") from error
        try:
            return await self._until_probed(name)
        except ApiError as error:
            raise CannotRunError(f"the probe's task {name} cannot be followed: {error}") from error
        finally:
            try:
                await self.api.delete(AGENT_TASKS, self.namespace, name, uid_of(task))
            except ApiError as error:
                cure = f"kubectl delete agenttask {name} -n {self.namespace}"
                self.say(f"the probe's task could not be removed ({error}); remove it: {cure}")

    def _task(self, name: str) -> Object:
        return {
            "apiVersion": "axiom.dev/v1alpha1",
            "kind": "AgentTask",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "agentClassName": self.agent_class,
                "prompt": "Do nothing: this is a probe of the sandbox.",
                # a name that nobody can foresee, so that it stays without an answer
                "workspace": {"configMap": {"name": f"never-{secrets.token_hex(16)}"}},
                "criteria": [{"name": "nothing-changed", "diff": {}}],
                "limits": {"deadline": f"{int(self.patience_seconds)}s", "maxRounds": 1},
            },
        }

    async def _until_probed(self, name: str) -> Report:
        told = ""
        for _ in range(int(self.patience_seconds / _LOOK_SECONDS)):
            found = await self.api.get(AGENT_TASKS, self.namespace, name)
            status = AgentTaskStatus.model_validate(found.get("status") or {})
            if status.isolation:
                return self._report(status)
            refusal = _trouble_of(status)
            if refusal != told:
                told = refusal
                self.say(told)
            if _is_over(status):
                break
            await self.sleep(_LOOK_SECONDS)
        raise CannotRunError(f"no pod of AgentClass {self.agent_class!r} came as far as the probe: {told}")

    def _report(self, status: AgentTaskStatus) -> Report:
        isolation = status.isolation
        assert isolation is not None
        layers = tuple(LayerFound(name=one.name, tried=one.tried, held=one.held) for one in isolation.layers)
        return Report(
            where=f"a pod of AgentClass {self.agent_class}, namespace {self.namespace}",
            passed=not isolation.failed and bool(layers),
            layers=layers,
            missing=tuple(isolation.missing),
            assertions=tuple(
                Assertion(name=one, layer=Layer(one.partition(".")[0]), ok=False) for one in isolation.failed
            ),
        )


def _trouble_of(status: AgentTaskStatus) -> str:
    """The last condition that says why it does not go on."""
    kinds = (ConditionType.ACCEPTED, ConditionType.SANDBOX_READY, ConditionType.COMPLETE)
    waiting = [
        one for one in status.conditions if one.type in kinds and one.status is not ConditionStatus.TRUE
    ]
    return f"{waiting[-1].reason}: {waiting[-1].message}" if waiting else status.message or status.state.value


def _is_over(status: AgentTaskStatus) -> bool:
    return any(
        one.type is ConditionType.COMPLETE and one.status is ConditionStatus.TRUE for one in status.conditions
    )
