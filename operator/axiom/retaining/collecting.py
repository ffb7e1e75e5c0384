"""Deletes from object storage what is over, and blobs to which nothing refers.

A task's objects go first, its outcome last, so that whatever ends this in between, the next run goes on. Of pictures that go
before the rest, the references go. A blob goes once two runs, a safe age apart, found no reference to it; how a writer that
comes at that very moment is safe says `storage.blobs`.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from axiom.api.agentclass import EvidenceRetention
from axiom.api.agenttask import AgentTask
from axiom.evidence.outcomes import decode_outcome
from axiom.evidence.segments import Segment, unpack
from axiom.retaining.policies import fate_of
from axiom.storage.blobs import CANDIDATES, CLAIMS, parse_reference
from axiom.storage.ciphers import UnreadableError
from axiom.storage.keys import blob_key, outcome_key, task_prefix
from axiom.storage.store import ConflictError, MissingError, PrunableStore, PutResult

SAFE_AGE = timedelta(days=1)
"""Between the first time that nothing refers to a blob, and its end."""
_OUTCOME = re.compile(r"tasks/[^/]+/[^/]+/outcome\.json")
_TASK = re.compile(r"tasks/([^/]+/[^/]+)/")
_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{2}/([0-9a-f]{64})")
_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass
class Collected:
    """What one run did, or would do."""

    tasks: list[tuple[str, str]] = field(default_factory=list)
    """`<namespace>/<name>`, and why."""
    pictures: list[tuple[str, str]] = field(default_factory=list)
    """`<namespace>/<name>` of tasks of which recordings, screenshots or both went, and which of them."""
    objects: int = 0
    """Objects of tasks that were deleted."""
    blobs: int = 0
    """Blobs that were deleted."""
    candidates: int = 0
    """Blobs without a reference whose safe age is not over."""
    unreadable: list[str] = field(default_factory=list)
    """Outcomes that could not be read: their tasks are kept."""


class Collector:
    """One run."""

    def __init__(
        self,
        store: PrunableStore,
        policies: Mapping[str, EvidenceRetention],
        now: Callable[[], datetime],
        *,
        safe_age: timedelta = SAFE_AGE,
        dry: bool = False,
    ) -> None:
        self._store, self._policies, self._now = store, policies, now
        self._safe_age, self._dry = safe_age, dry
        self._began = now()
        self._claim = json.dumps({"by": uuid.uuid4().hex, "at": self._began.isoformat()}).encode()
        self.done = Collected()

    async def run(self) -> Collected:
        """All of it. Raises StorageError; what was done is done, and the next run goes on."""
        tasks = await self._tasks()
        for task in tasks.values():
            await self._end(task)
        await self._collect_blobs()
        return self.done

    async def _tasks(self) -> dict[str, AgentTask]:
        tasks = {}
        async for key in self._store.list("tasks/"):
            if not _OUTCOME.fullmatch(key):
                continue
            try:
                tasks[key] = decode_outcome(await self._store.get(key))
            except MissingError:
                continue  # another run was faster
            except (ValueError, UnreadableError) as error:
                self.done.unreadable.append(f"{key}: {error}")
        return tasks

    async def _end(self, task: AgentTask) -> None:
        fate = fate_of(task, self._policies, self._began)
        own = f"{task.namespace}/{task.name}"
        if fate.evidence:
            self.done.tasks.append((own, fate.why))
            last = outcome_key(task.namespace, task.uid)
            async for key in self._store.list(task_prefix(task.namespace, task.uid)):
                if key != last:
                    await self._delete_object(key)
            await self._delete_object(last)
        elif fate.pictures:
            gone = [key async for key in self._pictures(task, fate.pictures)]
            for key in gone:
                await self._delete_object(key)
            if gone:
                self.done.pictures.append((own, " and ".join(f"{kind}s" for kind in fate.pictures)))

    async def _pictures(self, task: AgentTask, kinds: tuple[str, ...]) -> AsyncIterator[str]:
        async for key in self._store.list(f"{task_prefix(task.namespace, task.uid)}attempts/"):
            reference = parse_reference(key)
            if reference and reference[2].startswith(kinds):
                yield key

    async def _delete_object(self, key: str) -> None:
        self.done.objects += 1
        if not self._dry:
            await self._store.delete(key)

    # --- blobs ------------------------------------------------------------------------------------------------

    async def _collect_blobs(self) -> None:
        await self._drop_stale_claims()
        without = await self._unreferenced()
        ripe = set[str]()
        async for key in self._store.list(CANDIDATES):
            digest = key.removeprefix(CANDIDATES)
            if digest not in without:
                await self._delete_mark(key)  # something refers to it again, or it is gone
            elif self._began - await self._since(key) >= self._safe_age:
                ripe.add(digest)
        fresh = [digest for digest in without if digest not in ripe]
        self.done.candidates = len(fresh)
        if self._dry:
            self.done.blobs = len(ripe)
            return
        for digest in fresh:
            await self._note_candidate(digest)
        await self._delete_blobs(ripe)

    async def _note_candidate(self, digest: str) -> None:
        try:
            await self._store.put(
                f"{CANDIDATES}{digest}", json.dumps({"since": self._began.isoformat()}).encode()
            )
        except ConflictError:
            pass  # it is one for longer

    async def _since(self, key: str) -> datetime:
        try:
            return datetime.fromisoformat(json.loads(await self._store.get(key))["since"])
        except MissingError:
            return self._began
        except (ValueError, KeyError, TypeError):
            await self._delete_mark(key)  # not ours: its age begins anew
            return self._began

    async def _delete_blobs(self, ripe: set[str]) -> None:
        claimed = list[str]()
        try:
            for digest in sorted(ripe):
                if await self._lay_claim(digest):
                    claimed.append(digest)
            still = await self._unreferenced() if claimed else set()
            for digest in claimed:
                if digest in still and self._now() - self._began < self._safe_age / 2:
                    await self._store.delete(blob_key(digest))
                    self.done.blobs += 1
        finally:
            for digest in claimed:
                await self._store.delete(f"{CANDIDATES}{digest}")
                await self._store.delete(f"{CLAIMS}{digest}")

    async def _lay_claim(self, digest: str) -> bool:
        try:
            return await self._store.put(f"{CLAIMS}{digest}", self._claim) is PutResult.CREATED
        except ConflictError:
            return False  # another run deals with it

    async def _drop_stale_claims(self) -> None:
        """Of runs that were killed; one that only sleeps stops deleting at half that age."""
        async for key in self._store.list(CLAIMS):
            try:
                laid = datetime.fromisoformat(json.loads(await self._store.get(key))["at"])
            except MissingError:
                continue
            except (ValueError, KeyError, TypeError):
                laid = self._began - 2 * self._safe_age
            if self._began - laid > self._safe_age:
                await self._delete_mark(key)

    async def _delete_mark(self, key: str) -> None:
        if not self._dry:
            await self._store.delete(key)

    async def _unreferenced(self) -> set[str]:
        """Blobs first, references then: a blob that is stored meanwhile has its reference already."""
        blobs = {found[1] async for key in self._store.list("blobs/") if (found := _BLOB.fullmatch(key))}
        referred, with_references, others = set[str](), set[str](), dict[str, list[str]]()
        async for key in self._store.list("tasks/"):
            if reference := parse_reference(key):
                referred.add(reference[1])
                with_references.add(reference[0])
            elif task := _TASK.match(key):
                others.setdefault(task[1], []).append(key)
        for task_of, keys in others.items():
            if task_of not in with_references:  # of an earlier version: whatever its evidence names is kept
                for key in keys:
                    referred |= await self._named_in(key)
        return blobs - referred

    async def _named_in(self, key: str) -> set[str]:
        try:
            data = await self._store.get(key)
        except (MissingError, UnreadableError):
            return set()  # what is encrypted is of a version that writes references
        content, _ = unpack(Segment(key, data))
        return {digest.decode() for digest in _DIGEST.findall(content)}
