"""What is over goes, what may be referred to stays, whoever writes meanwhile."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable
from datetime import UTC, datetime, timedelta
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.evidence.runs import StoredRun, stored_run
from tests.faults.parts import IS_LONG, share
from typer.testing import CliRunner

from axiom.api.agentclass import EvidenceRetention, PictureRetention
from axiom.cli.main import app
from axiom.retaining.collecting import SAFE_AGE, Collected, Collector
from axiom.storage.blobs import BeingCollectedError, keep_blob, reference_key
from axiom.storage.folder import FolderStore
from axiom.storage.keys import blob_key
from axiom.storage.store import ConflictError, MissingError, ObjectStat, PutResult
from axiom_sandbox.protocol.identity import Identity, Role

NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def identity(uid: str) -> Identity:
    return Identity(namespace="ns", task=f"task-{uid}", task_id=uid, attempt=1, role=Role.AGENT)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_run(root: Path, uid: str, **changes: Any) -> StoredRun:
    """A complete task with references to its blobs, as a carrier leaves them."""
    run = stored_run(root, uid=uid, name=f"task-{uid}", recording=f"cast {uid}".encode(), **changes)
    for name, data in (("diff-1", run.patch), ("recording", run.recording)):
        run.put(reference_key(identity(uid), digest(data), name), b"")
    return run


async def collect(
    root: Path, now: datetime, policy: EvidenceRetention | None = None, **options: Any
) -> Collected:
    policies = {"codex": policy} if policy else {}
    return await Collector(FolderStore(root), policies, lambda: now, **options).run()


def files(root: Path, below: str = "") -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in (root / below).rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("verdict", "policy", "age", "is_over"),
    [
        ("Pass", EvidenceRetention(after_pass="24h"), 2 * DAY, True),
        ("Pass", EvidenceRetention(after_pass="72h"), 2 * DAY, False),
        ("Fail", EvidenceRetention(after_pass="24h"), 2 * DAY, False),
        ("Fail", EvidenceRetention(after_fail="1h"), 2 * DAY, True),
        ("Inconclusive", EvidenceRetention(otherwise="1h"), 2 * DAY, True),
        ("Pass", None, 1000 * DAY, False),
    ],
)
async def test_evidence_goes_by_class_and_verdict(
    tmp_path: Path, verdict: str, policy: EvidenceRetention | None, age: timedelta, is_over: bool
) -> None:
    write_run(tmp_path, "u1", verdict=verdict, completed=NOW - age)
    done = await collect(tmp_path, NOW, policy)
    assert bool(done.tasks) == is_over
    assert (files(tmp_path, "tasks") == []) == is_over


async def test_a_blob_goes_a_safe_age_after_its_last_reference(tmp_path: Path) -> None:
    policy = EvidenceRetention(after_pass="1h")
    write_run(tmp_path, "u1", verdict="Pass", completed=NOW - DAY)
    write_run(tmp_path, "u2", verdict="Fail", completed=NOW - DAY)  # has the same diff
    assert (await collect(tmp_path, NOW, policy)).candidates == 1
    assert (await collect(tmp_path, NOW + SAFE_AGE / 2, policy)).blobs == 0
    assert (await collect(tmp_path, NOW + SAFE_AGE, policy)).blobs == 1
    left = {name.rpartition("/")[2] for name in files(tmp_path, "blobs")}
    run = StoredRun(tmp_path, [], [])
    assert left == {digest(run.patch), digest(b"cast u2")}
    assert files(tmp_path, "collecting") == []


async def test_pictures_go_before_the_rest_and_at_once_where_the_task_passed(tmp_path: Path) -> None:
    policy = EvidenceRetention(pictures=PictureRetention(after="48h", until_pass=True))
    for uid, verdict, age in (("u1", "Pass", DAY), ("u2", "Fail", DAY), ("u3", "Fail", 3 * DAY)):
        write_run(tmp_path, uid, verdict=verdict, completed=NOW - age)
    both = "recordings and screenshots"
    assert sorted((await collect(tmp_path, NOW, policy)).pictures) == [
        ("ns/task-u1", both),
        ("ns/task-u3", both),
    ]
    await collect(tmp_path, NOW + SAFE_AGE, EvidenceRetention())
    left = {name.rpartition("/")[2] for name in files(tmp_path, "blobs")}
    assert digest(b"cast u2") in left
    assert not left & {digest(b"cast u1"), digest(b"cast u3")}
    assert len(files(tmp_path, "tasks/ns/u1")) > 3


@pytest.mark.parametrize(
    ("policy", "gone"),
    [
        ({"screenshots": {"after": "1h"}}, {"screenshot"}),
        ({"screenshots": {"until_pass": True}}, {"screenshot"}),
        ({"pictures": {"after": "1h"}, "screenshots": {"after": "72h"}}, {"recording"}),
        ({"pictures": {"after": "1h"}}, {"recording", "screenshot"}),
        ({"pictures": {"after": "72h"}, "screenshots": {"until_pass": True}}, {"screenshot"}),
    ],
)
async def test_screenshots_go_by_a_time_of_their_own(
    tmp_path: Path, policy: dict[str, Any], gone: set[str]
) -> None:
    run = write_run(tmp_path, "u1", verdict="Pass", completed=NOW - DAY)
    for number in range(2):
        run.put(reference_key(identity("u1"), run.blob(b"%d" % number)[-64:], f"screenshot-{number}"), b"")
    await collect(tmp_path, NOW, EvidenceRetention.model_validate(policy, by_name=True))
    kept = {name.split(".")[-1] for name in files(tmp_path, "tasks/ns/u1/attempts/1/agent/blobs")}
    kept.discard("diff-1")
    assert {"recording", "screenshot-0", "screenshot-1"} - kept == {
        name for name in ("recording", "screenshot-0", "screenshot-1") if name.split("-")[0] in gone
    }


async def test_what_evidence_of_an_earlier_version_names_is_kept(tmp_path: Path) -> None:
    run = stored_run(tmp_path, recording=b"cast")
    for days in (0, 2, 4):
        await collect(tmp_path, NOW + days * DAY)
    assert (tmp_path / blob_key(digest(run.patch))).is_file()
    assert (tmp_path / blob_key(digest(b"cast"))).is_file()


async def test_a_dry_run_changes_nothing_and_tells_the_same(tmp_path: Path) -> None:
    policy = EvidenceRetention(after_pass="1h")
    write_run(tmp_path, "u1", verdict="Pass", completed=NOW - DAY)
    before = files(tmp_path)
    dry = await collect(tmp_path, NOW, policy, dry=True)
    assert files(tmp_path) == before
    wet = await collect(tmp_path, NOW, policy)
    assert (dry.tasks, dry.objects) == (wet.tasks, wet.objects)


async def test_an_outcome_that_cannot_be_read_keeps_its_task(tmp_path: Path) -> None:
    write_run(tmp_path, "u1", verdict="Pass", completed=NOW - DAY)
    outcome = tmp_path / "tasks/ns/u1/outcome.json"
    outcome.write_bytes(b"{}")
    done = await collect(tmp_path, NOW, EvidenceRetention(after_pass="1h", otherwise="1h"))
    assert done.unreadable
    assert outcome.is_file()


def test_the_command_tells_what_it_would_do(tmp_path: Path) -> None:
    write_run(tmp_path / "store", "u1", verdict="Pass", completed=datetime.now(UTC) - DAY)
    spec = {"command": ["a", "$(AXIOM_PROMPT)"], "retention": {"afterPass": "1h"}}
    body = {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "AgentClass",
        "metadata": {"name": "codex"},
        "spec": spec,
    }
    (tmp_path / "class.yaml").write_text(json.dumps(body))
    words = ["gc", str(tmp_path), "--class", str(tmp_path / "class.yaml")]
    dry = CliRunner().invoke(app, [*words, "--dry-run"])
    assert dry.exit_code == 0
    assert "would be deleted: evidence of ns/task-u1 (complete for 1.0 days, kept for 0.0 days)" in dry.stdout
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["tasks"]
    assert files(tmp_path / "store", "tasks") == []


# --- against writers that come at any moment ----------------------------------------------------------------------


class Tick:
    """One operation of storage: whoever drives the coroutine decides when it goes on."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class SteppedStore:
    """A store in memory whose every operation happens at once, some time after it was asked for."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def put(self, key: str, source: Path | bytes, *, content_type: str = "") -> PutResult:
        await Tick()
        assert isinstance(source, bytes)
        if key not in self.objects:
            self.objects[key] = source
            return PutResult.CREATED
        if self.objects[key] != source:
            raise ConflictError(key, "", "")
        return PutResult.ALREADY_THERE

    async def get(self, key: str) -> bytes:
        await Tick()
        if key not in self.objects:
            raise MissingError(key)
        return self.objects[key]

    async def fetch(self, key: str, target: Path) -> ObjectStat:
        raise NotImplementedError

    async def stat(self, key: str) -> ObjectStat | None:
        raise NotImplementedError

    async def size(self, key: str) -> int | None:
        raise NotImplementedError

    async def exists(self, key: str) -> bool:
        await Tick()
        return key in self.objects

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """Page by page: what changes meanwhile may be seen or not."""
        await Tick()
        last = ""
        while page := sorted(key for key in self.objects if key.startswith(prefix) and key > last)[:2]:
            for key in page:
                yield key
            last = page[-1]
            await Tick()

    async def delete(self, key: str) -> None:
        await Tick()
        self.objects.pop(key, None)


BLOBS = (b"one", b"two")


class Connection(SteppedStore):
    """One process's way to the store. Once it is cut, nothing of what the process still does arrives."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def cut(self, work: Coroutine[None, None, Any]) -> None:
        self.objects = {}
        try:
            while True:
                work.send(None)
        except (StopIteration, MissingError):
            pass


Keep = Callable[..., Coroutine[None, None, None]]


class Schedule:
    """Collectors that are about to delete two blobs, and writers who come meanwhile: one order of their operations."""

    def __init__(self, seed: int, keep: Keep, collector: type[Collector]) -> None:
        self.chance, self.keep, self.collector = random.Random(seed), keep, collector
        self.store, self.now = SteppedStore(), NOW
        self.store.objects = {blob_key(digest(blob)): blob for blob in BLOBS}
        drive(Collector(self.store, {}, lambda: NOW).run())
        self.now += SAFE_AGE
        self.kept: dict[str, set[str]] = {}
        """By blob, the tasks that were told that it is stored."""
        self.running: dict[Coroutine[None, None, Any], Connection] = {}

    def play(self) -> str:
        """All of it; what was lost, or nothing."""
        waiting = ["collect", *self.chance.choices(["collect", "write", "write"], k=4)]
        self.chance.shuffle(waiting)
        while waiting or self.running:
            if waiting and (not self.running or self.chance.random() < 0.15):
                self._start(waiting.pop())
            work = self.chance.choice(list(self.running))
            if self.chance.random() < 0.02:
                self.running.pop(work).cut(work)
                continue
            for _ in range(self.chance.choice((1, 2, 3, 5, 30))):
                if not _one_step(work):
                    del self.running[work]
                    break
                if lost := self._lost():
                    self._end()
                    return lost
            if self.kept and self.chance.random() < 0.03:
                self._forget()
        self.now += SAFE_AGE
        drive(Collector(self.store, {}, lambda: self.now).run())
        return self._lost()

    def _start(self, what: str) -> None:
        connection = Connection(self.store.objects)
        if what == "collect":
            work: Coroutine[None, None, Any] = self.collector(connection, {}, lambda: self.now).run()
        else:
            uid = f"u{self.chance.randrange(10**9)}"
            work = self._write(connection, uid, self.chance.choice(BLOBS))
        self.running[work] = connection
        if not _one_step(work):
            del self.running[work]

    async def _write(self, connection: Connection, uid: str, blob: bytes) -> None:
        while True:
            try:
                await self.keep(connection, identity(uid), "b", digest(blob), blob)
            except BeingCollectedError:
                continue
            if connection.objects is self.store.objects:
                self.kept.setdefault(digest(blob), set()).add(uid)
            return

    def _forget(self) -> None:
        held = self.chance.choice(sorted(self.kept))
        if owners := sorted(self.kept[held]):
            uid = self.chance.choice(owners)
            self.kept[held].discard(uid)
            self.store.objects.pop(reference_key(identity(uid), held, "b"), None)

    def _lost(self) -> str:
        for held, owners in self.kept.items():
            if owners and blob_key(held) not in self.store.objects:
                return f"{sorted(owners)} were told that {held} is stored"
        return ""

    def _end(self) -> None:
        for work, connection in self.running.items():
            connection.cut(work)


SCHEDULES = share(range(20_000)) if IS_LONG else range(1_000)


def first_loss(
    schedules: Iterable[int], keep: Keep = keep_blob, collector: type[Collector] = Collector
) -> str:
    """Of so many schedules, the first in which something is lost."""
    for seed in schedules:
        if lost := Schedule(seed, keep, collector).play():
            return f"schedule {seed}: {lost}"
    return ""


def test_whatever_the_order_what_was_told_to_be_stored_stays() -> None:
    assert first_loss(SCHEDULES) == ""


async def never_looks_for_claims(store: Any, who: Identity, name: str, held: str, blob: bytes) -> None:
    await store.put(reference_key(who, held, name), b"")
    await store.put(blob_key(held), blob)


async def does_not_look_whether_it_is_there(
    store: Any, who: Identity, name: str, held: str, blob: bytes
) -> None:
    await store.put(reference_key(who, held, name), b"")
    await store.put(blob_key(held), blob)
    if await store.exists(f"collecting/claims/{held}"):
        raise BeingCollectedError(held)


async def refers_to_it_last(store: Any, who: Identity, name: str, held: str, blob: bytes) -> None:
    while True:
        await store.put(blob_key(held), blob)
        if await store.exists(f"collecting/claims/{held}"):
            raise BeingCollectedError(held)
        if await store.exists(blob_key(held)):
            break
    await store.put(reference_key(who, held, name), b"")


class LooksOnce(Collector):
    """Believes what it saw before it laid its claims."""

    async def _unreferenced(self) -> set[str]:
        if not hasattr(self, "seen"):
            self.seen = await super()._unreferenced()
        return self.seen


class LaysNoClaims(Collector):
    """Deletes without saying so before."""

    async def _lay_claim(self, digest: str) -> bool:
        return True


class TakesClaimsBackFirst(Collector):
    """Deletes when nobody can see it any more."""

    async def _delete_blobs(self, ripe: set[str]) -> None:
        store, late = self._store, list[str]()

        class Later(Connection):
            async def delete(self, key: str) -> None:
                if key.startswith("blobs/"):
                    late.append(key)
                else:
                    await super().delete(key)

        self._store = Later(store.objects)  # type: ignore[attr-defined]
        await super()._delete_blobs(ripe)
        self._store = store
        for key in late:
            await store.delete(key)


@pytest.mark.parametrize(
    ("keep", "collector"),
    [
        (never_looks_for_claims, Collector),
        (does_not_look_whether_it_is_there, Collector),
        (refers_to_it_last, Collector),
        (keep_blob, LooksOnce),
        (keep_blob, LaysNoClaims),
        (keep_blob, TakesClaimsBackFirst),
    ],
)
def test_the_schedules_find_each_way_to_do_it_wrong(keep: Keep, collector: type[Collector]) -> None:
    assert first_loss(range(20_000), keep, collector)


def drive(work: Coroutine[None, None, Any], until: Callable[[], bool] = lambda: False) -> bool:
    """Lets it go on; True once it has ended."""
    while not until():
        try:
            work.send(None)
        except StopIteration:
            return True
    return False


def test_a_writer_is_safe_at_every_moment_of_a_collector_that_is_about_to_delete_its_blob() -> None:
    """All orders of the writer's operations among the collector's."""
    held = digest(b"one")
    before = SteppedStore()
    before.objects = {blob_key(held): b"one"}
    assert drive(Collector(before, {}, lambda: NOW).run())
    operations = _operations(dict(before.objects))
    for moments in combinations_with_replacement(range(operations + 2), 4):
        store = SteppedStore()
        store.objects = dict(before.objects)
        collecting = Collector(store, {}, lambda: NOW + SAFE_AGE).run()
        writing = _until_kept(store)
        assert _one_step(writing), "its first operation is asked for"
        waiting, is_over, is_kept = list(moments), False, False
        for moment in range(operations + 2):
            while waiting and waiting[0] == moment:
                waiting.pop(0)
                is_kept = is_kept or not _one_step(writing)
            is_over = is_over or not _one_step(collecting)
        assert is_over or drive(collecting)
        assert is_kept or drive(writing)
        assert blob_key(held) in store.objects, moments


def _operations(objects: dict[str, bytes]) -> int:
    store = SteppedStore()
    store.objects = objects
    work, count = Collector(store, {}, lambda: NOW + SAFE_AGE).run(), 0
    while _one_step(work):
        count += 1
    assert blob_key(digest(b"one")) not in store.objects, "it would be deleted"
    return count


def _one_step(work: Coroutine[None, None, Any]) -> bool:
    try:
        work.send(None)
    except StopIteration:
        return False
    return True


async def _until_kept(store: SteppedStore) -> None:
    while True:
        try:
            return await keep_blob(store, identity("u1"), "b", digest(b"one"), b"one")
        except BeingCollectedError:
            continue


def test_a_collector_that_slept_for_long_deletes_nothing_any_more() -> None:
    store, now = SteppedStore(), NOW
    store.objects = {blob_key(digest(b"one")): b"one"}
    assert drive(Collector(store, {}, lambda: now).run())
    now += SAFE_AGE
    late = Collector(store, {}, lambda: now).run()
    assert not drive(late, lambda: any(key.startswith("collecting/claims/") for key in store.objects))
    now += 2 * SAFE_AGE
    assert drive(Collector(store, {}, lambda: now).run())
    writing = keep_blob(store, identity("u1"), "b", digest(b"one"), b"one")
    assert drive(writing)
    assert drive(late)
    assert blob_key(digest(b"one")) in store.objects
