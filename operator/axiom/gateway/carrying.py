"""One sandbox's data: the base and the changes go in, segments and blobs come out into object storage.

What a sandbox may forget of its ledger is read back from there first, and what it needs of that again is brought.

The same on one machine and on a cluster. Every step is safe to repeat, and by several carriers at once: the supervisor
cut the segments, so all of them copy the same bytes to the same keys.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from axiom.channel import Channel, ChannelError, CommandRefusedError
from axiom.gateway.packing import WorkspaceError
from axiom.gateway.room import Room
from axiom.storage.blobs import keep_blob
from axiom.storage.keys import segment_key
from axiom.storage.store import ConflictError, CorruptError, MissingError, ObjectStore, StorageError
from axiom_sandbox.protocol.channel import SUPERSEDED, Blob, Phase, SandboxState, StoredSegments
from axiom_sandbox.protocol.errands import Errand, Reply
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.supervising.restoring import RestoreError, read_manifest

log = logging.getLogger(__name__)

_ERRAND_SECONDS = 5
_SUPPLY_SECONDS = 5
"""Longest pause between two questions for an input that is not there yet."""
_LEAVING_AT_ONCE = 256
"""Segments."""
_KEPT_SECONDS = 600
"""Before those that stay after all are read back again."""


@dataclass(frozen=True)
class Archive:
    """An archive that lies ready on this machine."""

    path: Path
    digest: str
    """SHA-256, hexadecimal."""
    let_go: Callable[[], None] = lambda: None
    """Called once it is no longer needed: a copy for one sandbox alone may be large."""


class Supply(Protocol):
    """Where a sandbox's inputs come from. None: not known yet, ask again later.

    Raises WorkspaceError when they cannot be had as things are; that, too, may pass.
    """

    async def base(self) -> Archive | None:
        """The base archive of this sandbox's task."""

    async def changes(self) -> Archive | None:
        """The changes archive that this verifier judges."""

    async def conduct(self) -> Archive | None:
        """What the agent did, for a verifier that needs it; None: nothing is to be brought."""

    async def checkpoint_part(self, digest: str, what: str) -> Archive:
        """A part of the checkpoint that this sandbox begins from, or its manifest; it is kept for the sandbox's task, too.

        Raises MissingError, CorruptError, StorageError.
        """

    async def hidden(self, criterion: str) -> Archive | None:
        """The hidden tests of a criterion that this verifier needs, where the gateway has to bring them."""

    def hidden_criteria(self) -> tuple[str, ...]:
        """The criteria whose hidden tests the gateway has to bring to this verifier."""


class Messenger(Protocol):
    """Whoever does a verifier's errands outside."""

    async def go(self, errand: Errand) -> Reply:
        """What came of it. Never raises for what happens outside."""


class Carrier:
    """Carries for one sandbox until everything of it is sealed."""

    def __init__(
        self,
        channel: Channel,
        store: ObjectStore,
        supply: Supply,
        scratch: Path,
        on_sealed: Callable[[str], None] = lambda kind: None,
        room: Room | None = None,
        messenger: Messenger | None = None,
    ) -> None:
        """`on_sealed` is called with `segment` or `blob` for each that is in object storage now; `room` is that of `scratch`,
        shared with other carriers; without a `messenger` errands are left to others."""
        self._messenger = messenger
        self._errands: dict[str, asyncio.Task[None]] = {}
        self._room = room or Room()
        self._channel, self._store, self._supply, self._scratch = channel, store, supply, scratch
        self._on_sealed = on_sealed
        self._has_changes = self._has_checkpoint = False
        self._leave_after = 0.0
        """Of the event loop's clock."""

    async def carry(self, seen: Callable[[SandboxState], None]) -> None:
        """Follows the state and carries. Raises ChannelError when the sandbox is away, storage's errors when that is."""
        try:
            await self._carry(seen)
        finally:
            for errand in self._errands.values():
                errand.cancel()
            await asyncio.gather(*self._errands.values(), return_exceptions=True)
            self._errands.clear()

    async def _carry(self, seen: Callable[[SandboxState], None]) -> None:
        state, asked = await self._channel.state(), 0
        while True:
            seen(state)
            self._do_errands(state)
            waits = await self._step_and_tell(state)
            if all_sealed(state):
                return
            if waits:
                asked += 1
                state = await self._channel.state(
                    since=state.revision, timeout=min(1 + asked // 10, _SUPPLY_SECONDS)
                )
            else:
                state = await self._channel.state(since=state.revision)

    def _do_errands(self, state: SandboxState) -> None:
        """Each beside the carrying, as an errand may take minutes."""
        self._errands = {key: task for key, task in self._errands.items() if not task.done()}
        for identifier in state.errands if self._messenger else ():
            if identifier not in self._errands:
                self._errands[identifier] = asyncio.create_task(self._do_errand(identifier))

    async def _do_errand(self, identifier: str) -> None:
        assert self._messenger is not None
        try:
            errand = await self._channel.take_errand(identifier)
            if errand is None:
                await asyncio.sleep(_ERRAND_SECONDS)  # whoever is at it may be lost: the next look asks again
                return
            await self._channel.bring_reply(identifier, await self._messenger.go(errand))
        except ChannelError as error:
            log.info("errand %s: %s", identifier, error)

    async def _step_and_tell(self, state: SandboxState) -> bool:
        """A step; the sandbox is told when object storage fails, so that its task can say what it waits for."""
        try:
            waits = await self.step(state)
        except ConflictError:
            raise  # storage is well: another sandbox has this one's place
        except StorageError as error:
            if not state.storage_trouble:
                await self._tell_storage_trouble(error)
            raise
        if state.storage_trouble:
            await self._channel.tell_storage_trouble("")
        return waits

    async def _tell_storage_trouble(self, error: StorageError) -> None:
        try:
            await self._channel.tell_storage_trouble(str(error))
        except ChannelError as also:  # a sandbox of an older version does not listen to this
            log.info("the sandbox could not be told that storage fails: %s", also)

    async def step(self, state: SandboxState) -> bool:
        """Does everything that this state calls for. Returns whether inputs are still wanted."""
        waits = await self._supply_inputs(state)
        for number in range(state.ledger.sealed + 1, state.ledger.segments + 1):
            await self._seal_segment(state, number)
        for blob in state.blobs:
            if not blob.sealed:
                await self._seal_blob(state.identity, blob)
        await self._bring_back(state)
        await self._let_leave(state)
        return waits

    async def _supply_inputs(self, state: SandboxState) -> bool:
        try:
            return not await self._supplied(state)
        except WorkspaceError as error:
            if str(error) != state.trouble:
                await self._channel.tell_trouble(str(error))
            return True

    async def _supplied(self, state: SandboxState) -> bool:
        if state.awaits_checkpoint and not self._has_checkpoint:
            await self._push_checkpoint(state.awaits_checkpoint)
        if state.phase is Phase.WAITING_FOR_WORKSPACE:
            base = await self._supply.base()
            if base is None:
                return False
            try:
                await self._push_base(base)
            finally:
                base.let_go()
        if not self._has_changes and _takes_changes(state):
            changes = await self._supply.changes()
            if changes is None:
                return state.identity.role is Role.COPIER  # of an archive or a volume
            try:
                await self._push_hidden()
                await self._push_conduct()
                await self._channel.put_changes(changes.path, changes.digest)
            finally:
                changes.let_go()
            self._has_changes = True
        return True

    async def _push_base(self, base: Archive) -> None:
        try:
            await self._channel.put_workspace(base.path, base.digest)
        except CommandRefusedError:
            if not (await self._channel.state()).workspace:  # somebody else was quicker, or this is an error
                raise

    async def _push_checkpoint(self, digest: str) -> None:
        """Its parts first: a sandbox that has the manifest has everything. One that is not whole is given up, not waited for."""
        try:
            manifest = await self._supply.checkpoint_part(digest, "manifest")
            try:
                parts = read_manifest(manifest.path.read_bytes()).parts
                for part in parts:
                    await self._push_part(await self._supply.checkpoint_part(part.digest, part.name.value))
                await self._channel.put_checkpoint(manifest.path, digest)
            finally:
                manifest.let_go()
        except (MissingError, CorruptError, RestoreError, WorkspaceError) as error:
            await self._channel.give_up_checkpoint(str(error))
        self._has_checkpoint = True

    async def _push_part(self, part: Archive) -> None:
        try:
            await self._channel.put_checkpoint(part.path, part.digest)
        finally:
            part.let_go()

    async def _push_hidden(self) -> None:
        """Before the changes: a verifier that has these has everything."""
        for criterion in self._supply.hidden_criteria():
            if archive := await self._supply.hidden(criterion):
                try:
                    await self._channel.put_hidden(criterion, archive.path, archive.digest)
                finally:
                    archive.let_go()

    async def _push_conduct(self) -> None:
        if conduct := await self._supply.conduct():
            try:
                await self._channel.put_conduct(conduct.path, conduct.digest)
            finally:
                conduct.let_go()

    async def _seal_segment(self, state: SandboxState, number: int) -> None:
        file = self._scratch / f"segment-{number}"
        await self._channel.fetch_segment(number, file)
        try:
            await self._store.put(segment_key(state.identity, number), file)
        except ConflictError:
            if state.trouble != SUPERSEDED:
                await self._channel.tell_trouble(SUPERSEDED)
            raise
        file.unlink()
        await self._channel.confirm_segment(number)
        self._on_sealed("segment")

    async def _let_leave(self, state: SandboxState) -> None:
        """Reads back what the sandbox would forget, and tells it what came: it forgets nothing that is not as it has it."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._leave_after:
            return
        first, digests = state.ledger.left + 1, list[str]()
        last = min(state.ledger.leaving, state.ledger.sealed, state.ledger.left + _LEAVING_AT_ONCE)
        for number in range(first, last + 1):
            try:
                stored = await self._store.get(segment_key(state.identity, number))
            except MissingError as error:
                log.warning("%s: %s any more; it is stored once more", state.identity.agent_id, error)
                await self._seal_segment(state, number)
                break
            except CorruptError as error:
                log.error("%s: segment %d stays in its sandbox: %s", state.identity.agent_id, number, error)
                self._leave_after = loop.time() + _KEPT_SECONDS
                break
            digests.append(hashlib.sha256(stored).hexdigest())
        if not digests:
            return
        try:
            await self._channel.let_go_of_segments(StoredSegments(first=first, digests=tuple(digests)))
        except CommandRefusedError as error:  # also where another gateway was quicker
            log.warning("%s: %s", state.identity.agent_id, error)
            self._leave_after = loop.time() + _KEPT_SECONDS

    async def _bring_back(self, state: SandboxState) -> None:
        """What has left a sandbox, and is needed there again."""
        for number in range(state.awaits_segment or state.ledger.left + 1, state.ledger.left + 1):
            stored = await self._store.get(segment_key(state.identity, number))
            try:
                await self._channel.return_segment(number, stored)
            except CommandRefusedError as error:
                if (await self._channel.state()).awaits_segment == number:
                    raise StorageError(str(error)) from error
                return  # another gateway brings them

    async def _seal_blob(self, identity: Identity, blob: Blob) -> None:
        file = self._scratch / blob.digest
        await self._room.enter(blob.size)
        try:
            await self._channel.fetch_blob(blob.digest, file)
            await keep_blob(self._store, identity, blob.name, blob.digest, file)
        finally:
            file.unlink(missing_ok=True)
            self._room.leave(blob.size)
        await self._channel.confirm_blob(blob.digest)
        self._on_sealed("blob")


def _takes_changes(state: SandboxState) -> bool:
    match state.identity.role:
        case Role.VERIFIER | Role.PUSHER:
            return state.phase is Phase.READY
        case Role.COPIER:
            return state.phase is Phase.WAITING_FOR_WORKSPACE
        case _:
            return False


def all_sealed(state: SandboxState) -> bool:
    """The ledger is closed, and it and every blob are in object storage."""
    ledger = state.ledger
    return ledger.closed and ledger.sealed >= ledger.segments and all(blob.sealed for blob in state.blobs)
