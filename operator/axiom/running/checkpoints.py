"""The checkpoints that runs on this machine left, found in their store: also those of a run that was killed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from axiom.api.agenttask import CheckpointSource, CheckpointStatus, StartingPoint, WorkspaceStatus
from axiom.gateway.carrying import Archive
from axiom.gateway.packing import WorkspaceError
from axiom.planning.checkpoints import point_of
from axiom.planning.statuses import rfc3339
from axiom.running.workspaces import Base
from axiom.storage.encrypted import seen_by
from axiom.storage.keys import blob_key
from axiom.storage.store import CorruptError, MissingError, ObjectStore
from axiom_sandbox.protocol.checkpoints import Manifest
from axiom_sandbox.supervising.restoring import RestoreError, read_manifest

FIELD = "spec.workspace.checkpoint"
_REFERENCE = re.compile(
    r"tasks/(?P<namespace>[^/]+)/[^/]+/attempts/\d+/agent/blobs/(?P<digest>[0-9a-f]{64})\.checkpoint-(?P<number>[1-9]\d*)"
)


@dataclass(frozen=True)
class Found:
    """One checkpoint in a store."""

    digest: str
    """Of the manifest's content: encrypted, it lies under another name."""
    manifest: Manifest

    @property
    def status(self) -> CheckpointStatus:
        """What a task's status would tell of it."""
        manifest = self.manifest
        return CheckpointStatus(
            number=manifest.number,
            attempt=manifest.identity.attempt,
            round=manifest.round,
            turn_over=manifest.turn_over,
            reason=manifest.why,
            time=rfc3339(datetime.fromtimestamp(manifest.taken_ms / 1000, UTC)),
            size=sum(part.size for part in manifest.parts),
            digest=self.digest,
        )


async def find_all(store: ObjectStore, task: str, namespace: str = "") -> list[Found]:
    """All checkpoints of tasks of this name, oldest first; those that cannot be read are left out. Raises StorageError."""
    found: list[Found] = []
    async for key in store.list(f"tasks/{namespace}/" if namespace else "tasks/"):
        if not (named := _REFERENCE.fullmatch(key)):
            continue
        try:
            seen = seen_by(store, named["namespace"])
            content = await seen.get(blob_key(named["digest"]))
            manifest = read_manifest(content)
        except (MissingError, CorruptError, RestoreError):
            continue
        if manifest.identity.task == task:
            found.append(Found(hashlib.sha256(content).hexdigest(), manifest))
    return sorted(found, key=lambda one: (one.manifest.taken_ms, one.manifest.number))


async def take_up(
    source: CheckpointSource, store: ObjectStore, namespace: str, scratch: Path
) -> tuple[Base, StartingPoint]:
    """The base that a checkpoint of an earlier run differs from, and where the new run begins. Raises WorkspaceError."""
    kept = await find_all(store, source.task, namespace)
    runs = [one for one in kept if one.manifest.identity.task_id == kept[-1].manifest.identity.task_id]
    wanted = [one for one in runs if source.number in (None, one.manifest.number)]
    if not wanted:
        there = ", ".join(str(one.manifest.number) for one in runs)
        raise WorkspaceError(
            f"{FIELD}: the last run of {source.task!r} has no checkpoint {source.number}; it has {there}"
            if runs
            else f"{FIELD}: no run of a task {source.task!r} left a checkpoint here; run it first, or name its --state"
        )
    chosen = wanted[-1]
    manifest, archive = chosen.manifest, scratch / "base.tar.zst"
    try:
        stored = await store.fetch(blob_key(manifest.workspace.base), archive)
    except (MissingError, CorruptError) as error:
        raise WorkspaceError(
            f"{FIELD}: the base of checkpoint {manifest.number} is not whole: {error}"
        ) from error
    point = point_of(chosen.status).model_copy(update={"task": source.task})
    status = WorkspaceStatus(digest=stored.sha256, revision=chosen.digest)
    return Base(Archive(archive, stored.sha256), status), point
