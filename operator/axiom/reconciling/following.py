"""The sandboxes of all tasks as they are known: each pod, and the last state that its trusted side gave.

One long poll for each pod. A state outlives its pod here, for as long as its task is known; after a restart of the operator
it is read again from the pod.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from axiom.channel import Channel, ChannelError
from axiom.cluster.channels import Connect, address_of
from axiom.cluster.resources import Object, uid_of
from axiom.manifests.losses import loss_of
from axiom.planning.observed import Presence, SandboxView, Trouble
from axiom.reconciling.views import is_leaving, presence_of, view_of
from axiom_sandbox.protocol.channel import Phase, SandboxState
from axiom_sandbox.protocol.identity import Identity

log = logging.getLogger(__name__)

_FIRST_RETRY, _LONGEST_RETRY = 0.1, 5.0
_COALESCE_SECONDS = 0.2
"""After an answer that only told of a longer ledger: a busy agent's records need not each be heard of."""


@dataclass
class Known:
    """One sandbox."""

    identity: Identity
    pod: Object | None
    """None once it was deleted."""
    uid: str
    state: SandboxState | None = None
    changed_at: float = 0.0
    """When its state was last seen to change, by our clock."""
    leaving_since: float | None = None
    """When it was first seen being deleted, by our clock."""
    was_asked: bool = False
    """The channel was tried since this process began."""
    silent_since: float | None = None
    silence: str = ""
    loss: Trouble | None = None
    """Why the pod ended, once it was deleted."""
    following: asyncio.Task[None] | None = field(default=None, repr=False)
    channel: Channel | None = field(default=None, repr=False)
    """Open while its trusted side is listened to."""


class Sandboxes:
    """All known sandboxes, by the UID of their task."""

    def __init__(
        self,
        connect: Connect,
        changed: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`changed` is called with a task's UID whenever one of its sandboxes shows something new."""
        self._connect, self._changed, self._clock = connect, changed, clock
        self._tasks: dict[str, dict[Identity, Known]] = {}

    def see(self, identity: Identity, pod: Object) -> None:
        """A pod as it is now."""
        slots = self._tasks.setdefault(identity.task_id, {})
        known = slots.get(identity)
        if known is None or known.uid != uid_of(pod):
            if known is not None:
                _stop(known)
            known = slots[identity] = Known(identity, pod, uid_of(pod))
        known.pod = pod
        if known.leaving_since is None and is_leaving(pod):
            known.leaving_since = self._clock()
        if known.following is None and presence_of(pod) is Presence.RUNNING:
            known.following = asyncio.create_task(self._follow(known), name=f"follow {identity.agent_id}")
        self._changed(identity.task_id)

    def lose(self, identity: Identity, uid: str) -> None:
        """A pod was deleted; what it told stays."""
        known = self._tasks.get(identity.task_id, {}).get(identity)
        if known is not None and known.uid == uid:
            known.loss, known.pod = (loss_of(known.pod) if known.pod else known.loss), None
            _stop(known)
            self._changed(identity.task_id)

    def get(self, identity: Identity) -> Known | None:
        """What is known of a sandbox."""
        return self._tasks.get(identity.task_id, {}).get(identity)

    def forget(self, identity: Identity) -> None:
        """Its slot is free again."""
        known = self._tasks.get(identity.task_id, {}).pop(identity, None)
        if known is not None:
            _stop(known)
            self._changed(identity.task_id)

    def forget_task(self, task_id: str) -> None:
        """The task is gone, and so will be its pods."""
        for known in self._tasks.pop(task_id, {}).values():
            _stop(known)

    def views(self, task_id: str) -> tuple[SandboxView, ...] | None:
        """What the planner sees; None while a pod that runs was not asked for its state yet."""
        slots = list(self._tasks.get(task_id, {}).values())
        if any(known.following and not known.was_asked for known in slots):
            return None
        return tuple(self._view(known) for known in slots)

    def __iter__(self) -> Iterator[SandboxView]:
        """Every known sandbox."""
        for slots in self._tasks.values():
            for known in slots.values():
                yield self._view(known)

    async def close(self) -> None:
        """Stops following."""
        tasks = [known.following for slots in self._tasks.values() for known in slots.values()]
        self._tasks.clear()
        for task in tasks:
            if task:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task), return_exceptions=True)

    def _view(self, known: Known) -> SandboxView:
        silent = 0.0 if known.silent_since is None else self._clock() - known.silent_since
        quiet = 0.0 if known.state is None else self._clock() - known.changed_at
        leaving = 0.0 if known.leaving_since is None else self._clock() - known.leaving_since
        return view_of(
            known.identity, known.pod, known.state, silent, known.silence, known.loss, quiet, leaving
        )

    async def _follow(self, known: Known) -> None:
        failures = 0
        while known.pod is not None:
            try:
                async with self._connect(known.pod) as channel:
                    known.channel = channel
                    try:
                        await self._poll(known, channel)
                        return
                    finally:
                        known.channel = None
            except (ChannelError, OSError, ValueError) as error:
                failures += 1
                self._note_silence(known, str(error))
            longest = min(_LONGEST_RETRY, _FIRST_RETRY * 2**failures)
            await asyncio.sleep(longest * random.uniform(0.5, 1))  # noqa: S311 - jitter

    async def _poll(self, known: Known, channel: Channel) -> None:
        """Until nothing more will change. Raises ChannelError."""
        while True:
            since = known.state.revision if known.state and known.was_asked else -1
            state = await channel.state(since)
            self._note_state(known, state)
            if _is_settled(state):
                return
            if state.revision == since:
                await asyncio.sleep(_COALESCE_SECONDS)

    def _note_state(self, known: Known, state: SandboxState) -> None:
        if known.state is None or known.state.revision != state.revision:
            known.changed_at = self._clock()
        news = state != known.state or known.silent_since is not None or not known.was_asked
        known.state, known.was_asked = state, True
        known.silent_since, known.silence = None, ""
        if news:
            self._changed(known.identity.task_id)

    def _note_silence(self, known: Known, said: str) -> None:
        first = not known.was_asked
        known.was_asked = True
        if known.silent_since is None:
            known.silent_since = self._clock()
        known.silence = said
        if first:
            log.info("%s at %s: %s", known.identity.agent_id, address_of(known.pod or {}), said)
        self._changed(known.identity.task_id)


def _stop(known: Known) -> None:
    if known.following is not None:
        known.following.cancel()
        known.following = None


def _is_settled(state: SandboxState) -> bool:
    ledger = state.ledger
    ended = state.phase in (Phase.STOPPED, Phase.FAILED) and ledger.closed
    return ended and ledger.sealed >= ledger.segments and all(blob.sealed for blob in state.blobs)
