"""Carries out actions against the API server and sandboxes. Each is safe to do twice; none is retried here."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

from axiom.api.agentclass import AgentClass, has_way_out
from axiom.api.agenttask import AgentTask
from axiom.channel import Channel
from axiom.cluster.api import Api
from axiom.cluster.channels import Connect, address_of
from axiom.cluster.errors import AlreadyExistsError, ConflictError, NotFoundError, RefusedError
from axiom.cluster.resources import AGENT_TASKS, PODS, Object, name_of, namespace_of, uid_of
from axiom.cluster.watching import Cache
from axiom.egress.tokens import Grant, mint
from axiom.manifests.hidden_tests import hidden_mounts
from axiom.manifests.naming import TASK_UID_LABEL
from axiom.manifests.network_policies import Installation
from axiom.manifests.one_shot import one_shot
from axiom.manifests.pods import (
    Egress,
    Images,
    Owner,
    PodInput,
    images_of,
    photographs,
    pod_name,
    sandbox_pod,
)
from axiom.planning.actions import CreateSandbox, DeleteSandbox, Send, WriteStatus
from axiom.planning.briefing import TOKEN_PLACEHOLDER, budget_of, deadline_of
from axiom.planning.observed import SandboxView
from axiom.planning.statuses import parse_time
from axiom.reconciling.following import Known, Sandboxes
from axiom.reconciling.isolating import NetworkCloser
from axiom_sandbox.protocol.channel import CommandEnvelope, StartAgent
from axiom_sandbox.protocol.identity import Identity, Role

log = logging.getLogger(__name__)

TOKEN_MARGIN = timedelta(hours=12)
"""How long a token outlives the deadline: clocks differ, and deadlines are moved. It counts only while its pod runs."""
_SEALED_GRACE_SECONDS = 1
"""A sandbox whose evidence is stored has nothing left to finish."""


@dataclass(frozen=True)
class Surroundings:
    """What pods and commands are made with, besides task and class."""

    images: Images
    client_ca: Callable[[], str]
    """The certificates (PEM) that a new sandbox trusts its clients by."""
    egress: Callable[[], Awaitable[Egress | None]]
    token_key: Callable[[], bytes]
    fetch_ca: str = ""
    """Authorities of git servers (PEM) besides the public ones."""
    installation: Installation | None = None
    """Whose NetworkPolicies close the namespaces of sandboxes; None where somebody else takes care of that."""


@dataclass(frozen=True)
class Subject:
    """The task that actions are about, as it was observed."""

    raw: Object
    task: AgentTask
    agent_class: AgentClass | None

    @property
    def deadline(self) -> datetime:
        """When the task's time is over."""
        return deadline_of(self.task, parse_time(self.task.status.accepted_time or ""))


class Applier:
    """One method for each kind of action. Raises ApiError and ChannelError; the caller observes again later."""

    def __init__(
        self,
        api: Api,
        pods: Cache,
        tasks: Cache,
        sandboxes: Sandboxes,
        connect: Connect,
        around: Surroundings,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        """`fence` raises where somebody else may be acting in our place; the API client asks it before each write."""
        self._api, self._pods, self._tasks = api, pods, tasks
        self._sandboxes, self._connect, self._around, self._fence = sandboxes, connect, around, fence
        self._network = NetworkCloser(api, around.installation)

    async def write_status(self, subject: Subject, action: WriteStatus) -> None:
        """Replaces the status. Raises ConflictError when the task is not what was observed."""
        status = action.status.model_dump(mode="json", by_alias=True, exclude_none=True)
        body = {**subject.raw, "status": status}
        raw = subject.raw
        self._tasks.put(
            await self._api.replace(AGENT_TASKS, namespace_of(raw), name_of(raw), body, subresource="status")
        )

    async def refresh(self, raw: Object) -> None:
        """Reads the task again. Raises ApiError."""
        try:
            found = await self._api.get(AGENT_TASKS, namespace_of(raw), name_of(raw))
        except NotFoundError:
            self._tasks.drop(uid_of(raw))
            return
        if uid_of(found) != uid_of(raw):
            self._tasks.drop(uid_of(raw))
        self._tasks.put(found)

    async def create(self, subject: Subject, action: CreateSandbox, now: datetime) -> str:
        """Creates the pod. Returns why that was refused, "" if it was not."""
        identity = action.identity
        if subject.agent_class is None:
            return "the AgentClass is gone"
        try:
            body = sandbox_pod(await self._pod_input(subject, subject.agent_class, action, now))
        except (ValueError, OSError) as error:  # OSError: the egress proxy's name leads nowhere
            return f"the pod cannot be made: {error}"
        try:
            await self._network.close(identity.namespace)
            pod = await self._api.create(PODS, identity.namespace, body)
        except AlreadyExistsError:
            pod = await self._api.get(PODS, identity.namespace, pod_name(identity))
            if pod["metadata"].get("labels", {}).get(TASK_UID_LABEL) != identity.task_id:
                return f"a pod of another task has the name {name_of(pod)}; delete it"
        except (RefusedError, NotFoundError) as error:
            return str(error)
        self._pods.put(pod)
        return ""

    async def send(self, subject: Subject, action: Send, now: datetime) -> None:
        """Sends a command, with the attempt's token put in."""
        known = self._sandboxes.get(action.identity)
        if known is None or known.pod is None:
            return
        async with self._channel(known) as channel:
            self._fence()
            envelope = self._with_token(subject, action.envelope, known.pod)
            await channel.send(envelope.model_copy(update={"sent_ms": int(now.timestamp() * 1000)}))

    async def delete(self, action: DeleteSandbox, view: SandboxView | None) -> None:
        """Deletes this very pod; the slot of one that is gone already becomes free."""
        known = self._sandboxes.get(action.identity)
        if known is None or known.pod is None:
            self._sandboxes.forget(action.identity)
            return
        if known.pod["metadata"].get("deletionTimestamp"):
            return
        pod, grace = known.pod, _SEALED_GRACE_SECONDS if view and view.sealed else None
        try:
            await self._api.delete(PODS, namespace_of(pod), name_of(pod), uid_of(pod), grace)
        except (NotFoundError, ConflictError):
            self._pods.drop(uid_of(pod))

    async def delete_all(self, subject: Subject, sealed: bool) -> None:
        """Deletes every pod of a completed task in one request."""
        task = subject.task
        grace = _SEALED_GRACE_SECONDS if sealed else None
        await self._api.delete_all(PODS, task.namespace, f"{TASK_UID_LABEL}={task.uid}", grace)

    async def delete_task(self, subject: Subject) -> None:
        """Deletes the AgentTask: its retention is over."""
        raw = subject.raw
        try:
            await self._api.delete(AGENT_TASKS, namespace_of(raw), name_of(raw), uid_of(raw))
        except (NotFoundError, ConflictError):
            self._tasks.drop(uid_of(raw))

    def images_of(self, role: Role, task: AgentTask, agent_class: AgentClass) -> dict[str, str]:
        """What a sandbox of this role would be made of now: by container, its image."""
        return images_of(role, self._around.images, agent_class.spec.image, task.spec.verification.image)

    def _channel(self, known: Known) -> AbstractAsyncContextManager[Channel]:
        """The one that listens already, or another for this moment."""
        if known.channel is not None:
            return nullcontext(known.channel)
        assert known.pod is not None
        return self._connect(known.pod)

    def _with_token(self, subject: Subject, envelope: CommandEnvelope, pod: Object) -> CommandEnvelope:
        command = envelope.command
        if not isinstance(command, StartAgent) or command.token != TOKEN_PLACEHOLDER:
            return envelope
        task = subject.task
        grant = Grant(
            task_id=task.uid,
            namespace=task.namespace,
            task=task.name,
            attempt=task.status.attempt,
            agent_class=task.spec.agent_class_name,
            address=address_of(pod),
            expires=int((subject.deadline + TOKEN_MARGIN).timestamp()),
            budget=budget_of(task),
        )
        token = mint(self._around.token_key(), grant)
        return envelope.model_copy(update={"command": command.model_copy(update={"token": token})})

    async def _pod_input(
        self, subject: Subject, agent_class: AgentClass, action: CreateSandbox, now: datetime
    ) -> PodInput:
        task, identity = subject.task, action.identity
        return PodInput(
            identity=identity,
            owner=Owner(uid=task.uid, name=task.name),
            agent_class=agent_class.spec,
            resources=task.spec.limits.resources,
            images=self._around.images,
            client_ca=self._around.client_ca(),
            seconds_left=(subject.deadline - now).total_seconds(),
            egress=await self._egress(agent_class, identity),
            base=action.base,
            changes=action.changes,
            conduct=action.conduct,
            checkpoint=action.checkpoint,
            verifier_image=task.spec.verification.image,
            capabilities=task.spec.capabilities,
            hidden=hidden_mounts(task.criteria, identity.role),
            photographs=photographs(identity.role, agent_class.spec, task.criteria),
            job=one_shot(task, identity.role, self._around.fetch_ca),
        )

    async def _egress(self, agent_class: AgentClass, identity: Identity) -> Egress | None:
        if identity.role is not Role.AGENT or not has_way_out(agent_class.spec):
            return None
        return await self._around.egress()
