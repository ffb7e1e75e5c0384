"""Carrying for pods: inputs by every source, evidence out, troubles told and mended."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import kopf
import pytest
import zstandard
from tests.axiom.evidence.runs import manifest_of
from tests.fakes.api_server import FakeApiServer, fake_api_server
from tests.fakes.trusted_side import FakeTrustedSide, fake_trusted_side

from axiom.channel import Channel
from axiom.cluster.api import Api
from axiom.cluster.resources import Object, uid_of
from axiom.evidence.outcomes import decode_outcome
from axiom.evidence.reviews import decode_review
from axiom.gateway.metrics import Metrics
from axiom.gateway.packing import PlainFile, WorkspaceError, config_map_files, pack_files
from axiom.gateway.service import Gateway
from axiom.manifests.naming import annotations_of, labels_of
from axiom.storage.blobs import keep_blob
from axiom.storage.folder import FolderStore
from axiom.storage.keys import blob_key, outcome_key, review_key, segment_key
from axiom.storage.store import UnavailableError
from axiom_sandbox.ledger.records import ORIGIN, decode, encode
from axiom_sandbox.protocol.channel import SUPERSEDED, LedgerHead, Phase
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.snapshots.archives import digest_of, read_tree

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
FILES = {"files": [{"path": "a.txt", "content": "hello\n"}]}


@dataclass
class World:
    """A gateway without its watches."""

    server: FakeApiServer
    gateway: Gateway
    store: FolderStore
    metrics: Metrics
    folder: Path
    stack: AsyncExitStack
    sides: dict[str, FakeTrustedSide]
    task_id: str = "11111111-2222-3333-4444-555555555555"

    def look(self) -> None:
        """What the watches would bring."""
        for cache in (self.gateway.tasks, self.gateway.pods):
            cache.sync(self.server.all(cache.resource.plural), cache.uids)

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Looks until something holds."""
        async with asyncio.timeout(60):
            while not is_so():
                self.look()
                await asyncio.sleep(0.005)

    def make_task(
        self, workspace: dict[str, Any], digest: str = "", criteria: tuple[dict[str, Any], ...] = ()
    ) -> None:
        self.server.add(
            "agenttasks",
            {
                "apiVersion": "axiom.dev/v1alpha1",
                "kind": "AgentTask",
                "metadata": {"name": "t", "namespace": "ns", "uid": self.task_id},
                "spec": {
                    "agentClassName": "c",
                    "prompt": "do",
                    "workspace": workspace,
                    "criteria": [{"name": "f", "files": {"expect": [{"path": "x"}]}}, *criteria],
                },
                "status": {"attempt": 1, "workspace": {"digest": digest}},
            },
        )

    async def make_pod(
        self, role: Role, phase: Phase, base: str = "", changes: str = "", conduct: str = ""
    ) -> FakeTrustedSide:
        is_verifier = role is Role.VERIFIER
        owner = Identity(
            namespace="ns", task="t", task_id=self.task_id, attempt=1, role=role,
            round=int(is_verifier), trial=int(is_verifier),
        )  # fmt: skip
        folder = self.folder / uuid.uuid4().hex[:6]
        folder.mkdir()
        side = await self.stack.enter_async_context(fake_trusted_side(folder, owner, phase))
        told = {"name": "certificate", "state": {"terminated": {"exitCode": 0, "message": CERTIFICATE}}}
        pod = self.server.add(
            "pods",
            {
                "metadata": {
                    "name": f"p-{owner.slot}",
                    "namespace": "ns",
                    "labels": labels_of(owner),
                    "annotations": annotations_of(owner, base, changes, conduct),
                },
                "status": {"phase": "Running", "podIP": "10.0.0.9", "containerStatuses": [told]},
            },
        )
        self.sides[uid_of(pod)] = side
        return side


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(fake_api_server())
        api = await stack.enter_async_context(Api("test", lambda: kopf.ConnectionInfo(server=server.url)))
        sides: dict[str, FakeTrustedSide] = {}

        def connect(pod: Object) -> Channel:
            side = sides.get(uid_of(pod))
            return side.channel() if side else Channel.over_unix(tmp_path / "nobody")

        store, metrics = FolderStore(tmp_path / "store"), Metrics()
        gateway = Gateway(api, store, connect, tmp_path / "scratch", metrics)
        stack.push_async_callback(gateway.close)
        yield World(server, gateway, store, metrics, tmp_path, stack, sides)


def unpacked(archive: bytes, folder: Path) -> dict[str, int]:
    file = folder / "archive"
    file.write_bytes(archive)
    return {path: entry.size for path, entry in read_tree(file).entries.items()}


async def test_inline_files_become_the_base_and_lie_in_storage(world: World) -> None:
    world.make_task(FILES)
    side = await world.make_pod(Role.AGENT, Phase.WAITING_FOR_WORKSPACE)
    await world.until(lambda: side.workspace)
    assert unpacked(side.workspace, world.folder) == {"a.txt": 6}
    assert await world.store.get(blob_key(side.state.workspace)) == side.workspace


async def test_a_missing_config_map_is_told_until_it_appears(world: World) -> None:
    world.make_task({"configMap": {"name": "base"}})
    side = await world.make_pod(Role.AGENT, Phase.WAITING_FOR_WORKSPACE)
    await world.until(lambda: side.troubles)
    assert "there is no ConfigMap 'base'" in side.state.trouble

    data = {"data": {"a": "1"}, "binaryData": {"b": base64.b64encode(b"\0\1").decode()}}
    world.server.add("configmaps", {"metadata": {"name": "base", "namespace": "ns"}, **data})

    await world.until(lambda: side.workspace)
    assert unpacked(side.workspace, world.folder) == {"a": 1, "b": 2}
    assert len(side.troubles) == 1


async def test_a_git_workspace_comes_from_the_fetchers_pod_once_it_is_sealed(world: World) -> None:
    world.make_task({"git": {"url": "https://git.example/x.git", "revision": "main"}})
    side = await world.make_pod(Role.AGENT, Phase.WAITING_FOR_WORKSPACE)
    fetcher = await world.make_pod(Role.FETCHER, Phase.RUNNING)
    archive = world.folder / "fetched"
    pack_files([PlainFile("f", b"x")], world.folder / "tree", archive)

    digest = fetcher.offer_blob("workspace", archive.read_bytes())

    await world.until(lambda: side.workspace)
    assert side.state.workspace == digest
    assert f"blob {digest}" in fetcher.sealed


async def test_a_copier_gets_the_archive_of_its_own_namespace_and_the_agent_what_comes_of_it(
    world: World,
) -> None:
    world.make_task({"archive": {"key": "team/base.tar"}})
    copier = await world.make_pod(Role.COPIER, Phase.WAITING_FOR_WORKSPACE)
    side = await world.make_pod(Role.AGENT, Phase.WAITING_FOR_WORKSPACE)
    await world.until(lambda: copier.troubles)
    assert copier.troubles == [
        "spec.workspace.archive: there is no inputs/ns/team/base.tar in the bucket; upload it, and the task goes on"
    ]

    await world.store.put("inputs/ns/team/base.tar", b"a tar")
    await world.until(lambda: copier.workspace)
    assert (copier.workspace, copier.state.workspace) == (b"a tar", _digest(b"a tar"))

    digest = copier.offer_blob("workspace", b"base")
    await world.until(lambda: side.workspace)
    assert side.state.workspace == digest


def _hidden_tests(name: str, **source: Any) -> dict[str, Any]:
    return {"name": name, "tests": {"failToPass": ["test_a.py"], "hidden": source}}


async def test_a_verifier_gets_hidden_tests_from_storage_before_the_changes_and_nobody_else_does(
    world: World,
) -> None:
    for data in (b"base", b"changes"):
        await world.store.put(blob_key(_digest(data)), data)
    criteria = (
        _hidden_tests("unseen", archive={"key": "team/unseen.tar"}),
        _hidden_tests("mounted", secret={"name": "s"}),
    )
    world.make_task(FILES, _digest(b"base"), criteria)
    agent = await world.make_pod(Role.AGENT, Phase.WAITING_FOR_WORKSPACE)
    await world.until(lambda: agent.workspace)
    verifier = await world.make_pod(Role.VERIFIER, Phase.READY, _digest(b"base"), _digest(b"changes"))
    await world.until(lambda: verifier.troubles)
    assert verifier.troubles == [
        "criteria[unseen].tests.hidden.archive: there is no inputs/ns/team/unseen.tar in the bucket; upload it, and the"
        " task goes on"
    ]
    assert not verifier.changes

    await world.store.put("inputs/ns/team/unseen.tar", b"a tar")
    await world.until(lambda: verifier.changes)
    assert verifier.hidden == {"unseen": b"a tar"}
    assert (agent.hidden, agent.changes, verifier.state.trouble) == ({}, b"", "")


async def test_a_verifier_gets_what_the_agent_did_before_the_changes(world: World) -> None:
    for data in (b"base", b"changes", b"conduct"):
        await world.store.put(blob_key(_digest(data)), data)
    world.make_task(FILES, _digest(b"base"))
    digests = [_digest(data) for data in (b"base", b"changes", b"conduct")]
    verifier = await world.make_pod(Role.VERIFIER, Phase.READY, *digests)
    await world.until(lambda: verifier.changes)
    assert verifier.conduct == b"conduct"


async def test_a_copier_of_a_result_gets_base_and_changes(world: World) -> None:
    for data in (b"base", b"changes"):
        await world.store.put(blob_key(_digest(data)), data)
    world.make_task({"task": {"name": "first"}})
    side = await world.make_pod(
        Role.COPIER, Phase.WAITING_FOR_WORKSPACE, _digest(b"base"), _digest(b"changes")
    )
    await world.until(lambda: side.changes)
    assert (side.workspace, side.changes) == (b"base", b"changes")


async def test_a_later_attempt_gets_the_very_same_base_from_storage(world: World) -> None:
    await world.store.put(blob_key(digest := _digest(b"base")), b"base")
    world.make_task(FILES, digest=digest)
    side = await world.make_pod(Role.AGENT, Phase.WAITING_FOR_WORKSPACE)
    await world.until(lambda: side.workspace)
    assert side.workspace == b"base"


async def test_a_verifier_gets_base_and_changes_by_its_annotations(world: World) -> None:
    for data in (b"base", b"changes"):
        await world.store.put(blob_key(_digest(data)), data)
    side = await world.make_pod(
        Role.VERIFIER, Phase.WAITING_FOR_WORKSPACE, _digest(b"base"), _digest(b"changes")
    )
    await world.until(lambda: side.changes)
    assert (side.workspace, side.changes) == (b"base", b"changes")


async def test_a_base_that_storage_does_not_have_is_told(world: World) -> None:
    side = await world.make_pod(Role.VERIFIER, Phase.WAITING_FOR_WORKSPACE, "0" * 64, "1" * 64)
    await world.until(lambda: side.troubles)
    assert "not in object storage" in side.troubles[0]


async def test_evidence_is_sealed_once_and_the_carrier_ends(world: World) -> None:
    side = await world.make_pod(Role.AGENT, Phase.RUNNING)
    side.offer_segment(b"one")
    digest = side.offer_blob("recording", b"cast")
    await world.until(lambda: len(side.sealed) == 2)
    side.offer_segment(b"two")
    side.update(phase=Phase.STOPPED, ledger=LedgerHead(records=2, segments=2, sealed=1, closed=True))

    await world.until(lambda: all(task.done() for task in world.gateway._carrying.values()))

    owner = side.state.identity
    assert [await world.store.get(segment_key(owner, n)) for n in (1, 2)] == [b"one", b"two"]
    assert await world.store.get(blob_key(digest)) == b"cast"
    assert 'axiom_gateway_objects_sealed_total{kind="segment"} 2.0' in world.metrics.render().decode()
    assert list((world.folder / "scratch").iterdir()) == []


@pytest.mark.parametrize("is_old", [False, True], ids=["now", "a sandbox that knows nothing of it"])
async def test_storage_that_is_away_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    put, failures = world.store.put, [UnavailableError("away"), UnavailableError("away")]

    async def flaky(key: str, source: Path | bytes, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return await put(key, source, **more)

    monkeypatch.setattr(world.store, "put", flaky)
    side = await world.make_pod(Role.AGENT, Phase.RUNNING)
    side.is_old = is_old
    side.offer_segment(b"one")
    await world.until(lambda: side.sealed)
    await world.until(lambda: not side.state.storage_trouble)
    assert 'axiom_gateway_errors_total{kind="UnavailableError"} 2.0' in world.metrics.render().decode()
    assert side.troubles == ([] if is_old else ["away", ""]), "the sandbox is told, once, and that it is over"


async def test_a_pod_that_is_gone_is_no_longer_carried_for(world: World) -> None:
    await world.make_pod(Role.AGENT, Phase.RUNNING)
    await world.until(lambda: world.gateway._carrying)
    [carrying] = world.gateway._carrying.values()
    world.server.remove("pods", "ns", "p-agent")
    await world.until(carrying.done)
    assert world.gateway._carrying == {}


async def test_pods_that_are_not_sandboxes_are_left_alone(world: World) -> None:
    world.server.add("pods", {"metadata": {"name": "x", "namespace": "ns"}, "status": {"phase": "Running"}})
    world.look()
    assert world.gateway._carrying == {}
    assert world.gateway.task("ns", "none") is None


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    for name in ("one", "two"):
        pack_files([PlainFile("d/a", b"x", executable=True)], tmp_path / f"{name}.files", tmp_path / name)
    assert digest_of(tmp_path / "one") == digest_of(tmp_path / "two")


def test_files_in_each_others_way_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"spec\.workspace\.files: 'a/b'"):
        pack_files([PlainFile("a", b""), PlainFile("a/b", b"")], tmp_path / "f", tmp_path / "out")


def test_binary_data_that_is_none_is_refused() -> None:
    with pytest.raises(WorkspaceError, match="no base64"):
        config_map_files({"binaryData": {"x": "%"}})


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def ledger_of(attempt: int, *events: str) -> bytes:
    owner = Identity(namespace="ns", task="t", task_id=World.task_id, attempt=attempt, role=Role.AGENT)
    data, prev = b"", ORIGIN
    for seq, event in enumerate(events, 1):
        line, prev = encode(
            seq=seq,
            time=datetime(2026, 11, 21, tzinfo=UTC),
            identity=owner,
            event=event,
            payload={},
            prev=prev,
        )
        data += line + b"\n"
    return zstandard.compress(data)


async def stored_events(world: World, attempt: int = 1) -> list[str]:
    owner = Identity(namespace="ns", task="t", task_id=World.task_id, attempt=attempt, role=Role.AGENT)
    lines: list[bytes] = []
    async for key in world.store.list(f"{owner.prefix}/ledger/"):
        lines += zstandard.decompress(await world.store.get(key), 1 << 20).splitlines()
    return [decode(line).event for line in lines]


@pytest.mark.parametrize("how", ["deleted", "failed"])
async def test_the_ledger_of_a_pod_that_is_lost_ends_in_what_is_missing(world: World, how: str) -> None:
    world.make_task(FILES, digest="d" * 64)
    side = await world.make_pod(Role.AGENT, Phase.RUNNING)
    side.offer_segment(ledger_of(1, "sandbox_started", "stdout"))
    await world.until(lambda: side.sealed)
    side.update(ledger=side.state.ledger.model_copy(update={"records": 5}))
    [uid] = world.sides
    await world.until(lambda: world.gateway._seen[uid].ledger.records == 5)

    if how == "deleted":
        world.server.remove("pods", "ns", "p-agent")
    else:
        status = {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}
        world.server.change(
            "pods", "ns", "p-agent", status={**world.server.all("pods")[0]["status"], **status}
        )
    async with asyncio.timeout(60):
        while (await stored_events(world))[-1] != "closed":
            world.look()
            await asyncio.sleep(0.01)

    assert await stored_events(world) == ["sandbox_started", "stdout", "gap", "closed"]


async def test_the_ledger_of_a_pod_that_went_while_no_gateway_looked_is_ended_too(world: World) -> None:
    world.make_task(FILES, digest="d" * 64)
    task = world.server.get("agenttasks", "ns", "t")
    assert task is not None
    world.server.change("agenttasks", "ns", "t", status={"attempt": 2, "lostAttempts": 1})
    owner = Identity(namespace="ns", task="t", task_id=World.task_id, attempt=1, role=Role.AGENT)
    await world.store.put(segment_key(owner, 1), ledger_of(1, "sandbox_started", "stdout"))
    world.look()

    world.gateway.close_lost()

    async with asyncio.timeout(60):
        while (await stored_events(world))[-1] != "closed":
            await asyncio.sleep(0.01)
    assert await stored_events(world) == ["sandbox_started", "stdout", "gap", "closed"]
    assert await stored_events(world, 2) == []


async def test_a_pod_whose_evidence_is_stored_leaves_its_ledger_as_it_is(world: World) -> None:
    world.make_task(FILES, digest="d" * 64)
    side = await world.make_pod(Role.AGENT, Phase.STOPPED)
    side.offer_segment(ledger_of(1, "sandbox_started", "closed"))
    side.update(ledger=side.state.ledger.model_copy(update={"records": 2, "closed": True}))
    [uid] = world.sides
    await world.until(lambda: uid in world.gateway._carrying and world.gateway._carrying[uid].done())
    world.server.remove("pods", "ns", "p-agent")
    world.look()
    assert not world.gateway._closing
    assert await stored_events(world) == ["sandbox_started", "closed"]


async def test_a_sandbox_whose_place_in_storage_is_taken_is_told_once(world: World) -> None:
    world.make_task(FILES, digest="d" * 64)
    owner = Identity(namespace="ns", task="t", task_id=World.task_id, attempt=1, role=Role.AGENT)
    await world.store.put(segment_key(owner, 1), b"an earlier pod's")
    side = await world.make_pod(Role.AGENT, Phase.RUNNING)
    side.offer_segment(b"this pod's")
    errors = world.metrics.errors.labels("ConflictError")
    await world.until(lambda: errors._value.get() > 2)
    assert side.troubles == [SUPERSEDED]
    assert not side.sealed


async def test_outcome_and_decision_lie_beside_the_evidence_also_when_the_task_is_deleted(
    world: World,
) -> None:
    world.make_task(FILES)
    key = outcome_key("ns", world.task_id)
    world.look()
    complete = {
        "type": "Complete", "status": "True", "reason": "Passed", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    status = {"attempt": 1, "verdict": "Pass", "conditions": [complete]}
    world.server.change("agenttasks", "ns", "t", status=status)
    world.look()
    await world.until(lambda: (world.folder / "store" / key).is_file())
    decided = {"decision": "Reject", "by": "jane", "why": "no", "time": "2026-01-02T00:00:00.000Z"}
    world.server.change("agenttasks", "ns", "t", status={**status, "review": decided})
    world.look()
    world.server.remove("agenttasks", "ns", "t")
    review = review_key("ns", world.task_id, decided["time"])
    await world.until(lambda: (world.folder / "store" / review).is_file())
    assert decode_review(await world.store.get(review)).by == "jane"
    assert decode_outcome(await world.store.get(key)).status.verdict == "Pass"


async def test_a_decision_on_a_task_that_is_deleted_before_the_operator_sees_it_is_kept_by_the_time_of_its_change(
    world: World,
) -> None:
    world.make_task(FILES)
    complete = {"type": "Complete", "status": "True", "reason": "Failed", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00.000Z"}  # fmt: skip
    status = {"attempt": 1, "verdict": "Fail", "conditions": [complete]}
    world.server.change("agenttasks", "ns", "t", status=status)
    world.look()
    task = world.server.get("agenttasks", "ns", "t")
    assert task is not None
    review = {"decision": "Accept", "by": "jane", "why": "it will do"}
    changes = [
        {"manager": "kubectl", "time": "2026-01-01T00:00:00Z"},
        {"manager": "axiom-review", "time": "2026-01-02T00:00:00Z"},
        {"manager": "axiom-operator", "time": "2026-01-03T00:00:00Z", "subresource": "status"},
    ]
    metadata = {**task["metadata"], "managedFields": changes}
    world.server.change("agenttasks", "ns", "t", spec={**task["spec"], "review": review}, metadata=metadata)
    world.look()
    key = review_key("ns", world.task_id, "2026-01-02T00:00:00Z")
    assert not (world.folder / "store" / key).is_file(), "while the task is there, the operator says when"
    world.server.remove("agenttasks", "ns", "t")
    await world.until(lambda: (world.folder / "store" / key).is_file())
    kept = decode_review(await world.store.get(key))
    assert (kept.decision.value, kept.by, kept.why) == ("Accept", "jane", "it will do")


async def stored_checkpoint(world: World, namespace: str = "ns") -> dict[str, Any]:
    """A checkpoint of a task that is gone, with its base, as a gateway stored it; what names it in a task."""
    owner = Identity(namespace=namespace, task="gone", task_id="u-9", attempt=2, role=Role.AGENT)
    archive = world.folder / f"base-of-{namespace}"
    pack_files([PlainFile("base.txt", b"the base\n")], world.folder / f"files-of-{namespace}", archive)
    base = digest_of(archive)
    content = manifest_of(owner, base).model_dump_json().encode()
    digest = sha256(content).hexdigest()
    await keep_blob(world.store, owner, "workspace", base, archive)
    await keep_blob(world.store, owner, "checkpoint-4", digest, content)
    return {"task": "gone", "number": 4, "stored": {"uid": "u-9", "attempt": 2, "digest": digest}}


async def test_a_task_that_is_forked_from_storage_gets_the_base_of_its_checkpoint_and_keeps_it(
    world: World,
) -> None:
    world.make_task({"checkpoint": await stored_checkpoint(world)})
    side = await world.make_pod(Role.AGENT, Phase.WAITING_FOR_WORKSPACE)
    await world.until(lambda: side.workspace)
    assert unpacked(side.workspace, world.folder) == {"base.txt": 9}
    kept = [key async for key in world.store.list(f"tasks/ns/{world.task_id}/attempts/1/agent/blobs/")]
    assert [key.rpartition(".")[2] for key in kept] == ["workspace"], "the other's evidence may go sooner"


@pytest.mark.parametrize(
    "change", [{"uid": "u-8"}, {"attempt": 1}, {"digest": "0" * 64}], ids=["task", "attempt", "digest"]
)
async def test_a_checkpoint_that_is_not_in_storage_as_it_is_named_is_told(
    world: World, change: dict[str, Any]
) -> None:
    source = await stored_checkpoint(world)
    world.make_task({"checkpoint": {**source, "stored": {**source["stored"], **change}}})
    side = await world.make_pod(Role.AGENT, Phase.WAITING_FOR_WORKSPACE)
    await world.until(lambda: side.troubles)
    assert "among the evidence of namespace 'ns' there is no checkpoint 4" in side.troubles[0]
    assert not side.workspace


async def test_a_checkpoint_of_another_namespace_is_none_whoever_knows_its_digest(world: World) -> None:
    world.make_task({"checkpoint": await stored_checkpoint(world, "elsewhere")})
    side = await world.make_pod(Role.AGENT, Phase.WAITING_FOR_WORKSPACE)
    await world.until(lambda: side.troubles)
    assert "among the evidence of namespace 'ns' there is no checkpoint 4" in side.troubles[0]
    assert not side.workspace
