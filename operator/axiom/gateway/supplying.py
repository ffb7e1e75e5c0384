"""Where a pod's inputs come from on a cluster: the task itself, a ConfigMap, a one-shot pod, or object storage."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from axiom.api.agenttask import AgentTask
from axiom.channel import Channel, ChannelError
from axiom.cluster.api import Api
from axiom.cluster.errors import NotFoundError
from axiom.cluster.resources import CONFIG_MAPS, Object
from axiom.gateway.carrying import Archive
from axiom.gateway.packing import PlainFile, WorkspaceError, config_map_files, inline_files, pack_files
from axiom.gateway.room import Room
from axiom.manifests.naming import BASE_ANNOTATION, CHANGES_ANNOTATION, CONDUCT_ANNOTATION
from axiom.storage.blobs import keep_blob, reference_key
from axiom.storage.encrypted import seen_by
from axiom.storage.keys import blob_key, input_key
from axiom.storage.store import MissingError, ObjectStore
from axiom_sandbox.protocol.checkpoints import Manifest
from axiom_sandbox.protocol.criteria import Criterion, HiddenArchive
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.snapshots.archives import digest_of
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.supervising.restoring import RestoreError, read_manifest


class PodSupply:
    """The inputs of one pod."""

    def __init__(
        self,
        pod: Object,
        identity: Identity,
        api: Api,
        store: ObjectStore,
        scratch: Path,
        task: Callable[[], AgentTask | None],
        supplier: Callable[[Role], Channel | None],
        room: Room,
    ) -> None:
        """`task` gives the task if it is known, `supplier` the channel to the one-shot pod of the same attempt, `room`
        is that of `scratch`."""
        self._room = room
        self._pod, self._identity, self._api = pod, identity, api
        self._store = seen_by(store, identity.namespace)
        self._scratch, self._task, self._supplier = scratch, task, supplier

    async def base(self) -> Archive | None:
        """By the pod's annotation, else by the task. Raises WorkspaceError, ApiError, StorageError, ChannelError."""
        task = self._task()
        if digest := self._annotation(BASE_ANNOTATION):
            return await self._kept(task, await self._stored(digest, "the base of the task"))
        if task is None:
            return None
        if task.status.workspace.digest:
            return await self._kept(
                task, await self._stored(task.status.workspace.digest, "the base of the task")
            )
        if fork := await self._stored_fork(task):
            return await self._kept(
                task, await self._stored(fork.workspace.base, "the base of the checkpoint")
            )
        if self._identity.role is Role.COPIER:
            return await self._given(task)
        if role := task.spec.workspace.supplier:
            return await self._supplied(role)
        return await self._packed(await self._files(task))

    async def _stored_fork(self, task: AgentTask | None) -> Manifest | None:
        """The checkpoint that the task names in object storage; None: it names none. Raises WorkspaceError, StorageError.

        A digest alone would let a namespace name another's: the reference says whose it is.
        """
        source = task.spec.workspace.checkpoint if task else None
        if task is None or source is None or source.stored is None:
            return None
        stored = source.stored
        taken = Identity(
            namespace=task.namespace,
            task=source.task,
            task_id=stored.uid,
            attempt=stored.attempt,
            role=Role.AGENT,
        )
        field = "spec.workspace.checkpoint.stored"
        reference = reference_key(taken, stored.digest, f"checkpoint-{source.number}")
        if await self._store.size(reference) is None:
            raise WorkspaceError(
                f"{field}: among the evidence of namespace {task.namespace!r} there is no checkpoint {source.number} of attempt"
                f" {stored.attempt} of a task {stored.uid} with this digest; see axiom checkpoints {source.task} --from"
            )
        try:
            return read_manifest(await self._store.get(blob_key(stored.digest)))
        except (MissingError, RestoreError) as error:
            raise WorkspaceError(f"{field}: checkpoint {source.number} cannot be read: {error}") from error

    async def _kept(self, task: AgentTask | None, base: Archive) -> Archive:
        """The base of a task that was forked is another task's, whose evidence may go sooner."""
        if task and task.spec.workspace.checkpoint and self._identity.role is Role.AGENT:
            await keep_blob(self._store, self._identity, "workspace", base.digest, base.path)
        return base

    async def changes(self) -> Archive | None:
        """By the pod's annotation. Raises WorkspaceError, StorageError."""
        digest = self._annotation(CHANGES_ANNOTATION)
        return await self._stored(digest, "the agent's changes") if digest else None

    async def conduct(self) -> Archive | None:
        """By the pod's annotation. Raises WorkspaceError, StorageError."""
        digest = self._annotation(CONDUCT_ANNOTATION)
        return await self._stored(digest, "what the agent did") if digest else None

    async def checkpoint_part(self, digest: str, what: str) -> Archive:
        """From object storage. Of another task's checkpoint, whose evidence may go sooner than this one's, it is kept.

        Raises WorkspaceError, StorageError.
        """
        if what == "manifest":
            await self._stored_fork(self._task())
        part = await self._fetch(blob_key(digest), self._scratch / f"{digest}.part")
        task = self._task()
        if task and task.status.restored and task.status.restored.task:
            name = f"checkpoint-0-{what}"
            await keep_blob(self._store, self._identity, name, part.digest, part.path)
        return part

    def hidden_criteria(self) -> tuple[str, ...]:
        """Those that bring an archive: ConfigMaps and Secrets are mounted by the pod itself."""
        task = self._task()
        if task is None or self._identity.role is not Role.VERIFIER:
            return ()
        return tuple(criterion.name for criterion in task.criteria if _hidden_archive(criterion))

    async def hidden(self, criterion: str) -> Archive | None:
        """What somebody put into object storage, as it is. Raises WorkspaceError, StorageError."""
        task = self._task()
        for found in task.criteria if task else ():
            if found.name == criterion and (archive := _hidden_archive(found)):
                assert task is not None
                return await self._input(
                    task, archive.key, f"criteria[{criterion}].{found.bringing_field}.archive"
                )
        return None

    async def _given(self, task: AgentTask) -> Archive | None:
        """What somebody put into object storage for this task, as it is: it is read by the copier's pod alone."""
        source = task.spec.workspace.archive
        if source is None:
            return None
        return await self._input(task, source.key, "spec.workspace.archive")

    async def _input(self, task: AgentTask, name: str, field: str) -> Archive:
        key, target = input_key(task.namespace, name), self._scratch / "given.input"
        try:
            return await self._fetch(key, target)
        except MissingError as error:
            raise WorkspaceError(
                f"{field}: there is no {key} in the bucket; upload it, and the task goes on"
            ) from error

    async def _supplied(self, role: Role) -> Archive | None:
        """What the one-shot pod has, once it is in object storage."""
        channel = self._supplier(role)
        if channel is None:
            return None
        try:
            async with channel:
                state = await channel.state(timeout=0)
        except ChannelError:
            return None  # it is not up yet, or gone: the operator makes another
        ready = [blob for blob in state.blobs if blob.name == "workspace" and blob.sealed]
        return await self._stored(ready[0].digest, "the workspace") if ready else None

    async def _files(self, task: AgentTask) -> list[PlainFile]:
        source = task.spec.workspace.config_map
        if source is None:
            return inline_files(task.spec.workspace.files)
        try:
            return config_map_files(await self._api.get(CONFIG_MAPS, task.namespace, source.name))
        except NotFoundError as error:
            raise WorkspaceError(
                f"spec.workspace.configMap: there is no ConfigMap {source.name!r} in namespace"
                f" {task.namespace!r}; create it, and the task goes on"
            ) from error

    async def _packed(self, files: list[PlainFile]) -> Archive:
        archive, folder = self._scratch / "base.tar.zst", self._scratch / "files"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            await asyncio.to_thread(pack_files, files, folder, archive)
        except (SnapshotError, OSError) as error:
            raise WorkspaceError(f"spec.workspace cannot be packed: {error}") from error
        digest = await asyncio.to_thread(digest_of, archive)
        await keep_blob(self._store, self._identity, "workspace", digest, archive)
        return Archive(archive, digest, archive.unlink)

    async def _stored(self, digest: str, what: str) -> Archive:
        target = self._scratch / f"{digest}.input"
        try:
            return await self._fetch(blob_key(digest), target)
        except MissingError as error:
            raise WorkspaceError(f"{what} ({digest}) is not in object storage") from error

    async def _fetch(self, key: str, target: Path) -> Archive:
        """A copy of an object, as soon as there is room for it. Raises MissingError, StorageError."""
        size = await self._store.size(key)
        if size is None:
            raise MissingError(key)
        await self._room.enter(size)

        def let_go() -> None:
            target.unlink(missing_ok=True)
            self._room.leave(size)

        try:
            found = await self._store.fetch(key, target)
        except BaseException:
            let_go()
            raise
        return Archive(target, found.sha256, let_go)

    def _annotation(self, name: str) -> str:
        return str((self._pod["metadata"].get("annotations") or {}).get(name) or "")


def _hidden_archive(criterion: Criterion) -> HiddenArchive | None:
    return criterion.brings.archive if criterion.brings else None
