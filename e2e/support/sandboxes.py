"""Sandbox pods without operator and gateway: the test creates them, and speaks with their trusted side itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axiom.api.agentclass import AgentClassSpec
from axiom.api.agenttask import Resources
from axiom.channel import Channel, ChannelError, pod_context
from axiom.manifests.pods import (
    CHANNEL_PORT,
    SUPERVISOR,
    Owner,
    PodInput,
    certificate_of,
    pod_name,
    sandbox_pod,
)
from axiom.manifests.pods import Images as PodImages
from axiom_sandbox.protocol.channel import (
    AgentProgram,
    Command,
    CommandEnvelope,
    Envelope,
    Limits,
    SandboxState,
    StartAgent,
)
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.snapshots.archives import ArchiveInfo, pack
from e2e.support.authority import Authority
from e2e.support.images import Images
from e2e.support.kubernetes import Kubectl, Object

_PATIENCE_SECONDS = 180
_LIFE_SECONDS = 600
COMMAND = ("/agent", "$(AXIOM_PROMPT)")


@dataclass
class SandboxPod:
    """One pod and the way to its trusted side."""

    kubectl: Kubectl
    authority: Authority
    identity: Identity
    created: Object
    pod: Object
    """As the API server showed it last."""

    @property
    def name(self) -> str:
        return pod_name(self.identity)

    @property
    def address(self) -> str:
        return str(self.pod["status"]["podIP"])

    @property
    def certificate(self) -> str:
        certificate = certificate_of(self.pod)
        assert certificate
        return certificate

    @asynccontextmanager
    async def attach(self) -> AsyncIterator[Channel]:
        """A channel to the trusted side, once it answers."""
        context = pod_context(self.certificate, self.authority.client)
        async with Channel.over_tls(self.address, CHANNEL_PORT, context) as channel:
            await answering(channel)
            yield channel

    def refresh(self) -> Object:
        """The pod as it is now."""
        found = self.kubectl.get("pod", self.name)
        assert found, f"pod {self.name} is gone"
        self.pod = found
        return found

    def status(self, container: str) -> Object:
        """A container's status, after a look."""
        status = self.refresh()["status"]
        found = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
        return next(item for item in found if item["name"] == container)

    def kill_supervisor(self) -> None:
        """SIGKILL to the supervisor from outside its namespaces; works where the node is this machine."""
        kill_supervisor_of(self.refresh())

    def delete(self) -> float:
        """Deletes the pod; the seconds until it was gone."""
        begun = time.monotonic()
        self.kubectl.delete("pod", self.name)
        return time.monotonic() - begun


def kill_supervisor_of(pod: Object) -> None:
    """As `SandboxPod.kill_supervisor`, of any pod as it is now."""
    status = next(one for one in pod["status"]["initContainerStatuses"] if one["name"] == SUPERVISOR)
    os.kill(min(_processes_of(str(status["containerID"]).removeprefix("containerd://"))), signal.SIGKILL)


@dataclass(frozen=True)
class SandboxPods:
    """Makes pods in one namespace, for one task that does not exist: a ConfigMap owns them in its place."""

    kubectl: Kubectl
    images: Images
    authority: Authority
    agent_class: AgentClassSpec
    owner: Object
    resources: Resources = field(default_factory=Resources)
    browser: str = ""
    """Image of what photographs pages."""

    @classmethod
    def of(
        cls,
        kubectl: Kubectl,
        images: Images,
        authority: Authority,
        agent_class: AgentClassSpec,
        resources: Resources | None = None,
    ) -> SandboxPods:
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "task"}}
        created = kubectl.create(owner)
        return cls(kubectl, images, authority, agent_class, created, resources or Resources())

    def create(self, role: Role = Role.AGENT, attempt: int = 1, **fields: Any) -> SandboxPod:
        """Creates a pod and waits until its trusted side can be spoken with. Raises ClusterError."""
        pod = self.begin(role, attempt, **fields)
        pod.pod = self.kubectl.wait_for("pod", pod.name, _is_reachable)
        return pod

    def begin(self, role: Role = Role.AGENT, attempt: int = 1, **fields: Any) -> SandboxPod:
        """Creates a pod, and does not wait."""
        uid = self.owner["metadata"]["uid"]
        verifies = int(role is Role.VERIFIER)
        identity = Identity(
            namespace=self.kubectl.namespace,
            task="one-pod",
            task_id=uid,
            attempt=attempt,
            role=role,
            round=verifies,
            trial=verifies,
        )
        spec = PodInput(
            identity=identity,
            owner=Owner(uid=uid, name="task", kind="ConfigMap", api_version="v1"),
            agent_class=self.agent_class,
            resources=self.resources,
            images=PodImages(self.images.sandbox, self.images.verifier, self.browser),
            client_ca=self.authority.ca,
            seconds_left=_LIFE_SECONDS,
            **fields,
        )
        created = self.kubectl.create(sandbox_pod(spec))
        return SandboxPod(self.kubectl, self.authority, identity, created, created)


def _is_reachable(pod: Object) -> bool:
    return bool(certificate_of(pod) and pod["status"].get("podIP"))


def _processes_of(container: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if container in (folder / "cgroup").read_text():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    assert found, f"no process of container {container} on this machine"
    return found


async def answering(channel: Channel) -> SandboxState:
    """The state, as soon as the trusted side answers at all: it may just be starting."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return await channel.state(timeout=0)
        except ChannelError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.02)


async def reached(channel: Channel, wanted: Callable[[SandboxState], bool]) -> SandboxState:
    """The first state that is wanted. Fails when the sandbox does, or after three minutes."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        state = await channel.state(timeout=0)
        while not wanted(state):
            assert state.failure is None, state.failure
            state = await channel.state(state.revision)
    return state


async def seal(channel: Channel, state: SandboxState) -> None:
    """Confirms everything, as a gateway does after it copied it."""
    for number in range(state.ledger.sealed + 1, state.ledger.segments + 1):
        await channel.confirm_segment(number)
    for blob in state.blobs:
        await channel.confirm_blob(blob.digest)


async def give(channel: Channel, command: Command) -> None:
    """Sends a command."""
    await channel.send(CommandEnvelope(key=command.kind, command=command))


def start_agent(prompt: str, command: tuple[str, ...] = COMMAND, **given: int) -> StartAgent:
    """The command that begins round 1; `given` are limits."""
    usual = {"idle_seconds": _LIFE_SECONDS, "storage_bytes": 1 << 30, "processes": 256}
    limits = Limits(deadline_ms=int((time.time() + _LIFE_SECONDS) * 1000), **{**usual, **given})
    envelope = Envelope(prompt=prompt, criteria=(), limits=limits, agent_class="plain", max_rounds=1)
    return StartAgent(envelope=envelope, program=AgentProgram(command=command), prompt=prompt)


def base_archive(folder: Path, files: dict[str, str]) -> tuple[Path, ArchiveInfo]:
    """A base archive of these files under `folder`."""
    tree, archive = folder / "tree", folder / "base.tar.zst"
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(content)
    return archive, pack(tree, archive)
