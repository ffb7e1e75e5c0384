"""Observe → plan → apply, on this machine: what the operator and the gateway do on a cluster."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from axiom.api.agentclass import AgentClass, has_way_out, routed
from axiom.api.agenttask import AgentTask, AgentTaskStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.backends.contract import CannotRunError, Sandbox, SandboxFactory, SandboxSpec
from axiom.backends.leftovers import PREFIX, note_elsewhere
from axiom.channel import Channel, ChannelError, CommandRefusedError
from axiom.clocks import SteadyClock
from axiom.egress.tokens import Grant, Purpose, errand_grant, mint, on_errand
from axiom.errands.envoy import Envoy, PageCache, Way
from axiom.gateway.carrying import Archive, Carrier
from axiom.manifests.resources import allowance
from axiom.planning.actions import Action, CreateSandbox, DeleteSandbox, DeleteTask, Send, Wait, WriteStatus
from axiom.planning.briefing import budget_of, deadline_of
from axiom.planning.intervening import CannotInterveneError, Wish
from axiom.planning.observed import Observed, Presence, SandboxView, Trouble
from axiom.planning.planner import plan
from axiom.planning.statuses import has_reason, is_true, parse_time
from axiom.running.intervening import intervene
from axiom.running.workspaces import Base
from axiom.storage.blobs import keep_blob
from axiom.storage.keys import blob_key
from axiom.storage.store import ObjectStore, StorageError
from axiom_sandbox.protocol.channel import SandboxState, StartAgent
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.supervising.settings import write_paths

if TYPE_CHECKING:
    from axiom.egress.accounting import Accounts

_RETRY_SECONDS = 0.2
_VERIFIER_PROCESSES = 512
"""The clean room has room for test runners, however narrow the agent's own ceiling is."""


@dataclass
class _Running:
    """A sandbox, and what is known of it."""

    sandbox: Sandbox
    channel: Channel
    following: asyncio.Task[None]
    state: SandboxState | None = None
    changed_at: float = field(default_factory=time.monotonic)
    """When its state was last seen to change."""
    trouble: Trouble | None = None


@dataclass
class _Supply:
    """The inputs of one local sandbox."""

    identity: Identity
    given: Archive
    store: ObjectStore
    digest: str
    conduct_digest: str
    folder: Path
    hidden_archives: Mapping[str, Archive]

    async def base(self) -> Archive:
        """The base of the run."""
        return self.given

    async def changes(self) -> Archive | None:
        """From object storage, by the digest that the planner gave."""
        if not self.digest:
            return None
        target = self.folder / "changes"
        await self.store.fetch(blob_key(self.digest), target)
        return Archive(target, self.digest)

    async def conduct(self) -> Archive | None:
        """From object storage, by the digest that the planner gave."""
        if not self.conduct_digest:
            return None
        target = self.folder / "conduct"
        await self.store.fetch(blob_key(self.conduct_digest), target)
        return Archive(target, self.conduct_digest)

    async def checkpoint_part(self, digest: str, what: str) -> Archive:
        """From the store, where it is kept for this run, too."""
        target = self.folder / f"{what}.part"
        found = await self.store.fetch(blob_key(digest), target)
        await keep_blob(self.store, self.identity, f"checkpoint-0-{what}", found.sha256, target)
        return Archive(target, found.sha256, target.unlink)

    def hidden_criteria(self) -> tuple[str, ...]:
        """All that have hidden tests, for a verifier."""
        return tuple(self.hidden_archives) if self.digest else ()

    async def hidden(self, criterion: str) -> Archive | None:
        """As it was found beside the task's file."""
        return self.hidden_archives.get(criterion)


@dataclass
class LocalRun:
    """One task on this machine."""

    task: AgentTask
    agent_class: AgentClass
    base: Base
    store: ObjectStore
    folder: Path
    """Keeps what is carried; whoever made it removes it."""
    make_sandbox: SandboxFactory
    credentials: dict[str, str]
    profile_criteria: tuple[Criterion, ...] = ()
    """What the task's profiles add to its criteria."""
    hidden: Mapping[str, Archive] = field(default_factory=dict)
    """Name of a criterion → its hidden tests."""
    on_status: Callable[[AgentTaskStatus], None] = lambda _: None
    get_ready: Callable[[Role], None] = lambda _: None
    """Told of a sandbox that will be wanted before long."""
    _running: dict[Identity, _Running] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _egress: Path | None = None
    _pages: PageCache = field(default_factory=PageCache)
    _accounts: Accounts | None = None
    _now: SteadyClock = field(default_factory=SteadyClock)

    def __post_init__(self) -> None:
        """The base is here already: nobody has to fetch it."""
        status = self.task.status.model_copy(update={"workspace": self.base.status})
        self.task = self.task.model_copy(update={"status": status})

    async def run(self) -> AgentTaskStatus:
        """From the task to its outcome. Raises CannotRunError. Leaves no process, whatever happens."""
        async with AsyncExitStack() as stack:
            if has_way_out(self.agent_class.spec) or self._needs_judges:
                await self._open_egress(stack)
            stack.push_async_callback(self._stop_all)
            while not is_true(self.task.status, ConditionType.COMPLETE):
                self._changed.clear()
                self._raise_failures()
                await self._step()
        return self.task.status

    @property
    def _needs_judges(self) -> bool:
        criteria = (*self.task.spec.criteria, *self.profile_criteria)
        return bool(self.agent_class.spec.judges) and any(criterion.judge for criterion in criteria)

    async def intervene(self, wish: Wish, by: str) -> str:
        """A person steps in; what was done. Raises CannotInterveneError, ChannelError."""
        for identity, running in self._running.items():
            if identity.role is Role.AGENT and identity.attempt == self.task.status.attempt:
                return await intervene(running.channel, wish, by)
        raise CannotInterveneError("no agent is at work")

    def _raise_failures(self) -> None:
        for running in self._running.values():
            error = _failure_of(running.following)
            if isinstance(error, StorageError):
                raise CannotRunError(f"evidence cannot be stored: {error}") from error
            if error:
                raise error

    async def _open_egress(self, stack: AsyncExitStack) -> None:
        # Only here: most classes that are tried on one machine have no credential, and a run begins sooner without.
        from axiom.egress.accounting import Accounts
        from axiom.egress.destinations import narrowed
        from axiom.egress.serving import serve_unix
        from axiom.egress.settings import ProxySettings, private_upstreams

        opened = narrowed(self.agent_class.spec.egress.destinations, self.task.spec.capabilities.destinations)
        self._accounts = Accounts(lambda _: self._changed.set())
        credentials = routed(self.agent_class.spec)
        judges = [judge.credential for judge in self.agent_class.spec.judges]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX)))
        note_elsewhere(self.folder, folder)
        self._egress = folder / "egress.sock"
        hosts = frozenset(
            urlsplit(credential.route.upstream).hostname or "" for credential in [*credentials, *judges]
        )
        await stack.enter_async_context(
            serve_unix(
                self._egress,
                {
                    self.agent_class.name: credentials,
                    on_errand(self.agent_class.name, Purpose.JUDGES): judges,
                },
                self.credentials,
                self._key,
                prices={self.agent_class.name: self.agent_class.spec.prices},
                destinations={
                    self.agent_class.name: opened,
                    on_errand(self.agent_class.name, Purpose.PAGES): opened,
                },
                accounts=self._accounts,
                settings=ProxySettings(allow_private_upstreams=hosts | private_upstreams(os.environ)),
            )
        )

    async def _step(self) -> None:
        actions = plan(self._observe(), self._now())
        for action in actions:
            await self._apply(action)
        if any(isinstance(action, WriteStatus) for action in actions):
            return
        seconds = min((action.seconds for action in actions if isinstance(action, Wait)), default=30.0)
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass  # it is time to look again

    def _observe(self) -> Observed:
        views = tuple(_view(identity, running) for identity, running in self._running.items())
        used = self._accounts.usage_of(self.task.uid) if self._accounts else None
        return Observed(
            task=self.task,
            agent_class=self.agent_class,
            profile_criteria=self.profile_criteria,
            sandboxes=views,
            usage=(used,) if used else (),
        )

    async def _apply(self, action: Action) -> None:
        match action:
            case WriteStatus(status=status):
                self.task = self.task.model_copy(update={"status": status})
                self.on_status(status)
                if has_reason(status, ConditionType.RUNNING, Reason.AGENT_RUNNING):
                    self.get_ready(Role.VERIFIER)
            case CreateSandbox():
                await self._create(action)
            case Send():
                await self._send(action)
            case DeleteSandbox(identity=identity):
                await self._delete(identity)
            case Wait() | DeleteTask():
                pass

    async def _create(self, action: CreateSandbox) -> None:
        identity = action.identity
        if identity in self._running:
            return
        spec = replace(self._sandbox_spec(identity), checkpoint=action.checkpoint)
        sandbox = self.make_sandbox(spec, self._changed.set)
        if identity.role is Role.AGENT:
            await self._keep_base(identity)
        await sandbox.start()
        channel = sandbox.attach()
        following = asyncio.create_task(self._follow(action, sandbox, channel))
        following.add_done_callback(lambda _: self._changed.set())
        self._running[identity] = _Running(sandbox, channel, following)

    async def _keep_base(self, identity: Identity) -> None:
        """Checkpoints of this run are worth nothing without it. Raises CannotRunError."""
        base = self.base.archive
        try:
            await keep_blob(self.store, identity, "workspace", base.digest, base.path)
        except StorageError as error:
            raise CannotRunError(f"the base cannot be stored: {error}") from error

    def _sandbox_spec(self, identity: Identity) -> SandboxSpec:
        spec, is_agent = self.agent_class.spec, identity.role is Role.AGENT
        paths = tuple(Path(path) for path in spec.local.read_only_paths)
        # The clean room's /tmp is emptied between runs, from outside, and what is mounted in it goes with it.
        in_clean_room = tuple(path for path in paths if not path.is_relative_to("/tmp"))  # noqa: S108
        processes = spec.ceilings.processes
        allowed = allowance(self.task.spec.limits.resources, spec.ceilings)
        return SandboxSpec(
            identity=identity,
            network=spec.network.to_protocol(),
            processes=processes if is_agent else max(processes, _VERIFIER_PROCESSES),
            memory_bytes=allowed.memory,
            cpu_millis=allowed.cpu_millis,
            tmp_bytes=allowed.tmp,
            image=spec.image if is_agent else self.task.spec.verification.image,
            read_only_paths=paths if is_agent else in_clean_room,
            write_paths=write_paths(self.task.spec.capabilities.write_paths if is_agent else None),
            may_miss=spec.isolation.layers,
            egress_socket=self._egress if is_agent else None,
        )

    async def _follow(self, action: CreateSandbox, sandbox: Sandbox, channel: Channel) -> None:
        """Carries until everything is sealed, or the sandbox is gone."""
        identity = action.identity
        scratch = self.folder / f"carry-{identity.attempt}-{identity.slot}"
        scratch.mkdir(exist_ok=True)
        carrier = Carrier(
            channel,
            self.store,
            _Supply(
                identity, self.base.archive, self.store, action.changes, action.conduct, scratch, self.hidden
            ),
            scratch,
            messenger=self._envoy(identity) if identity.role is Role.VERIFIER else None,
        )

        def seen(state: SandboxState) -> None:
            running = self._running[identity]
            if running.state is None or running.state.revision != state.revision:
                running.changed_at = time.monotonic()
            running.state, running.trouble = state, None
            self._changed.set()

        while sandbox.presence is not Presence.GONE:
            try:
                await carrier.carry(seen)
            except ChannelError as error:
                self._running[identity].trouble = Trouble(Reason.SUPERVISOR_UNREACHABLE, str(error))
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _send(self, action: Send) -> None:
        running = self._running.get(action.identity)
        if running is None:
            return
        envelope = action.envelope
        if isinstance(envelope.command, StartAgent):
            command = envelope.command.model_copy(update={"token": self._token(action.identity)})
            envelope = envelope.model_copy(update={"command": command})
        try:
            sent_ms = int(self._now().timestamp() * 1000)
            await running.channel.send(envelope.model_copy(update={"sent_ms": sent_ms}))
        except ChannelError as error:
            refused = isinstance(error, CommandRefusedError)
            reason = Reason.INTERNAL_ERROR if refused else Reason.SUPERVISOR_UNREACHABLE
            running.trouble = Trouble(reason, str(error))
            await asyncio.sleep(_RETRY_SECONDS)
            self._changed.set()

    def _envoy(self, identity: Identity) -> Envoy | None:
        if self._egress is None:
            return None

        def token(purpose: Purpose) -> str:
            grant = errand_grant(identity, self.agent_class.name, purpose, self._now().timestamp())
            return mint(self._key, grant)

        return Envoy(Way("http://egress", self._egress), token, self._pages)

    def _token(self, identity: Identity) -> str:
        deadline = deadline_of(self.task, parse_time(self.task.status.accepted_time or ""))
        grant = Grant(
            task_id=identity.task_id,
            namespace=identity.namespace,
            task=identity.task,
            attempt=identity.attempt,
            agent_class=self.agent_class.name,
            address="",
            expires=int(deadline.timestamp()),
            budget=budget_of(self.task),
        )
        return mint(self._key, grant)

    async def _delete(self, identity: Identity) -> None:
        running = self._running.get(identity)
        if running is None:
            return
        running.following.cancel()
        await asyncio.gather(running.following, return_exceptions=True)
        await running.channel.close()
        await running.sandbox.stop()

    async def _stop_all(self) -> None:
        await asyncio.gather(*(self._delete(identity) for identity in list(self._running)))


def _view(identity: Identity, running: _Running) -> SandboxView:
    presence, trouble = running.sandbox.presence, running.trouble
    if presence is Presence.GONE and (why := running.sandbox.diagnosis()):
        trouble = Trouble(Reason.LOST, why)
    quiet = time.monotonic() - running.changed_at
    return SandboxView(identity, presence, identity.agent_id, trouble, running.state, quiet)


def _failure_of(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None
