"""What people get over HTTP, and who gets it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import kopf
import pytest
from tests.axiom.evidence.checkpoints import keep_two
from tests.axiom.gateway.test_streaming import World, identity, make_task, seal, write_ledger
from tests.fakes.api_server import FakeApiServer, fake_api_server
from tests.fakes.trusted_side import FakeTrustedSide, fake_trusted_side

from axiom.api.agenttask import AgentTask, LedgerReference
from axiom.cluster.api import Api
from axiom.evidence.asking import ClusterOptions, GatewayClient
from axiom.evidence.segments import EvidenceError
from axiom.gateway.authenticating import Gatekeeper
from axiom.gateway.metrics import Metrics
from axiom.gateway.serving import Pages
from axiom.operations import operations_app, serving
from axiom.storage.blobs import keep_blob
from axiom.storage.ciphers import Keyring
from axiom.storage.encrypted import EncryptedStore
from axiom.storage.folder import FolderStore
from axiom.storage.keys import blob_key
from axiom_sandbox.protocol.approvals import Permission
from axiom_sandbox.protocol.channel import AnswerApproval, Phase, Question, TellAgent
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.terminal.seeking import pack

SECRET = "ghp_" + "aZ3bY4cX5dW6eV7fU8gT9hS0iR1jQ2kP3lO4"
PATCH = b"+hello\n"
CAST = b'{"version":3}\n' + f'[0.1,"o","{SECRET[:9]}"]\n[0.2,"o","{SECRET[9:]}"]\n[0.1,"m","#7"]\n'.encode()
MASKED = CAST.decode().replace(SECRET[:9], "*" * 9).replace(SECRET[9:], "*" * 31)


def review(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """One user may see task t, one its secrets too, and another nothing."""
    if kind == "TokenReview":
        known = {"good": "alice", "best": "olga", "poor": "bob"}.get(spec["token"])
        return {"authenticated": known is not None, "user": {"username": known, "groups": ["g"]}}
    wanted = spec["resourceAttributes"]
    assert wanted["resource"] == "agenttasks"
    if wanted["subresource"] == "interventions":
        assert wanted["verb"] == "create"
        return {"allowed": spec["user"] == "olga"}
    assert wanted["verb"] == "get"
    allowed = ("olga",) if wanted["subresource"] == "original" else ("alice", "olga")
    return {"allowed": spec["user"] in allowed}


@dataclass
class Client:
    """Somebody who asks."""

    server: FakeApiServer
    session: aiohttp.ClientSession
    base: str
    store: FolderStore
    world: World
    pages: Pages

    async def get(self, path: str, token: str = "good", **headers: str) -> tuple[int, str, str]:
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.get(f"{self.base}/v1/tasks/ns/{path}", headers=headers) as answer:
            return answer.status, answer.content_type, await answer.text()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def told_task() -> AgentTask:
    task = make_task(1, complete=True)
    rounds = [{"number": 1, "attempt": 1, "diff": blob_key(digest(PATCH))}, {"number": 2, "attempt": 1}]
    status = {"attempt": 1, "rounds": rounds, "recording": blob_key(digest(CAST))}
    document = task.model_dump(by_alias=True, mode="json")
    return AgentTask.model_validate({**document, "status": {**document["status"], **status}})


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    store = FolderStore(tmp_path / "store")
    await seal(store, identity(), await write_ledger(tmp_path / "ledger", identity(), 1))
    for data in (PATCH, CAST):
        await store.put(blob_key(digest(data)), data)
    world = World(told_task())
    async with fake_api_server() as server, aiohttp.ClientSession() as session:
        server.review = review
        async with Api("test", lambda: kopf.ConnectionInfo(server=server.url)) as api:
            pages = Pages(world, store, Gatekeeper(api), Metrics())
            async with serving(pages.application(), "127.0.0.1", 0) as port:
                yield Client(server, session, f"http://127.0.0.1:{port}", store, world, pages)


async def test_nobody_is_anonymous(client: Client) -> None:
    assert (await client.get("t/events", ""))[0] == 401
    assert (await client.get("t/events", "unknown"))[0] == 401
    assert (await client.get("t/diff", "poor"))[0] == 403


async def test_a_yes_is_remembered_and_a_no_is_not(client: Client) -> None:
    for token, asked in (("good", 2), ("good", 2), ("poor", 4), ("poor", 6)):
        await client.get("t/diff?round=1", token)
        assert len(client.server.requests) == asked


async def test_events_come_as_lines_or_as_server_sent_events(client: Client) -> None:
    status, kind, text = await client.get("t/events")
    assert (status, kind, len(text.splitlines())) == (200, "application/x-ndjson", 2)
    status, kind, text = await client.get(
        "t/events", **{"Accept": "text/event-stream", "Last-Event-ID": "u/1/agent/1"}
    )
    assert (status, kind) == (200, "text/event-stream")
    assert text.startswith("id: u/1/agent/2\ndata: {")


async def test_diff_and_recording_come_from_storage(client: Client) -> None:
    assert await client.get("t/diff?round=1") == (200, "text/x-diff", "+hello\n")
    assert await client.get("t/recording") == (200, "application/x-asciicast", MASKED)


async def test_a_connection_goes_on_after_what_it_fetched(client: Client) -> None:
    host, port = client.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for page in ("recording", "diff?round=1", "recording"):
        path = f"/v1/tasks/ns/t/{page}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        [length] = re.findall(r"(?i)content-length: (\d+)", head)
        assert head.startswith("HTTP/1.1 200")
        assert await reader.readexactly(int(length))
    writer.close()


async def test_a_packed_recording_is_served_as_players_want_it(client: Client) -> None:
    packed = BytesIO()
    pack(BytesIO(b'{"version":3,"term":{"cols":80,"rows":24}}\n' + CAST.partition(b"\n")[2]), packed)
    key = blob_key(digest(packed.getvalue()))
    await client.store.put(key, packed.getvalue())
    task = told_task()
    client.world.moments = [
        task.model_copy(update={"status": task.status.model_copy(update={"recording": key})})
    ]
    shown = (await client.get("t/recording"))[2]
    assert shown.partition("\n")[2] == MASKED.partition("\n")[2]
    original = (await client.get("t/recording?original=true", "best"))[2]
    assert original.partition("\n")[2] == CAST.decode().partition("\n")[2]


async def test_a_task_is_served_nothing_that_another_namespace_encrypted(
    client: Client, tmp_path: Path
) -> None:
    """Not even where its status names it."""
    for name in ("ns", "other"):
        (tmp_path / "keyring").mkdir(exist_ok=True)
        (tmp_path / "keyring" / f"{name}.1").write_text(hashlib.sha256(name.encode()).hexdigest())
    store = EncryptedStore(client.store, Keyring(tmp_path / "keyring"))
    client.pages._store = store
    foreign, own = b"+foreign\n", b"+own\n"
    await store.of("other").put(blob_key(digest(foreign)), foreign)
    await store.of("ns").put(blob_key(digest(own)), own)
    for content, answer in ((foreign, 404), (own, 200)):
        record = told_task().status.rounds[0].model_copy(update={"diff": blob_key(digest(content))})
        status = told_task().status.model_copy(update={"rounds": [record]})
        client.world.moments = [told_task().model_copy(update={"status": status})]
        assert (await client.get("t/diff"))[0] == answer


async def test_secrets_are_served_to_whoever_may_get_the_original_and_asks_for_it(client: Client) -> None:
    assert (await client.get("t/recording?original=true", "best"))[2] == CAST.decode()
    assert (await client.get("t/recording", "best"))[2] == MASKED
    for page in ("recording", "events", "diff"):
        status, _, text = await client.get(f"t/{page}?original=true", "good")
        assert status == 403
        assert "agenttasks/original" in text


@pytest.mark.parametrize(
    ("path", "status"), [("t/diff", 404), ("t/diff?round=9", 404), ("t/events?from=x", 400)]
)
async def test_what_is_not_there_or_means_nothing_is_said(client: Client, path: str, status: int) -> None:
    assert (await client.get(path))[0] == status


async def test_an_api_server_that_is_away_is_told_as_such(client: Client) -> None:
    client.server.refuse("POST", "/tokenreviews", 503)
    assert (await client.get("t/diff?round=1"))[0] == 503


async def test_operations_tell_health_and_readiness() -> None:
    ready: list[bool] = []
    app = operations_app(Metrics().render, lambda: bool(ready))
    async with (
        serving(app, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        assert (await session.get("/healthz")).status == 200
        assert (await session.get("/readyz")).status == 503
        ready.append(True)
        assert (await session.get("/readyz")).status == 200
        assert "axiom_gateway_sandboxes" in await (await session.get("/metrics")).text()


async def test_the_command_line_reads_a_ledger_and_blobs_through_it(client: Client) -> None:
    options = ClusterOptions(gateway=client.base)
    reader = GatewayClient(options, "ns", "t", "good")
    ledger = reader.ledger("tasks/ns/u/attempts/1/agent/ledger", "")
    lines = await asyncio.to_thread(lambda: list(ledger.lines()))
    assert [json.loads(line)["event"] for line in lines] == ["user_msg", "closed"]
    read = await asyncio.to_thread(reader.blob, told_task(), blob_key(digest(CAST)))
    assert read.decode() == MASKED

    stranger = GatewayClient(options, "ns", "t", "poor").ledger("tasks/ns/u/attempts/1/agent/ledger", "")
    with pytest.raises(EvidenceError, match="answers 403"):
        await asyncio.to_thread(lambda: list(stranger.lines()))


@pytest.mark.parametrize("address", ["", "gateway:80", "http://gateway.example"])
def test_a_token_is_sent_nowhere_but_to_an_address_that_keeps_it(address: str) -> None:
    with pytest.raises(EvidenceError, match="--gateway"):
        GatewayClient(ClusterOptions(gateway=address), "ns", "t", "good")


async def test_a_screenshot_is_served_by_its_digest_and_only_of_its_own_task(client: Client) -> None:
    picture, other = b"RIFFpicture", b"RIFFother"
    await keep_blob(client.store, identity(), "screenshot-1", digest(picture), picture)
    await keep_blob(
        client.store,
        identity().model_copy(update={"task_id": "another"}),
        "screenshot-1",
        digest(other),
        other,
    )
    assert await client.get(f"t/screenshot?digest={digest(picture)}") == (200, "image/webp", "RIFFpicture")
    for unknown in (digest(other), digest(PATCH)):
        assert (await client.get(f"t/screenshot?digest={unknown}"))[0] == 404
    assert (await client.get("t/screenshot?digest=../../x"))[0] == 400
    assert (await client.get(f"t/screenshot?digest={digest(picture)}", token="poor"))[0] == 403


async def test_a_picture_that_a_tool_wrote_is_served_unmasked_or_not_at_all(client: Client) -> None:
    picture = b"<svg onload=alert(1)>"
    await keep_blob(client.store, identity(), "screenshot-file-1", digest(picture), picture)
    path = f"t/screenshot?digest={digest(picture)}"
    status, _, said = await client.get(path, token="best")
    assert status == 403
    assert "original=true" in said
    assert (await client.get(f"{path}&original=true", token="good"))[0] == 403
    assert (await client.get(f"{path}&original=true", token="best"))[:2] == (200, "application/octet-stream")


async def test_a_picture_that_a_criterion_compared_is_served_unmasked_too(client: Client) -> None:
    picture = b"a page"
    verifier = identity().model_copy(update={"role": Role.VERIFIER, "round": 1, "trial": 1})
    await keep_blob(client.store, verifier, "screenshot-file-1", digest(picture), picture)
    path = f"t/screenshot?digest={digest(picture)}&original=true"
    assert (await client.get(path, token="best"))[0] == 404  # no round of the task names this verifier yet
    ledger = LedgerReference(path=f"{verifier.prefix}/ledger/", records=1, head="h")
    rounds = [told_task().status.rounds[0].model_copy(update={"verifier_ledger": ledger})]
    status = told_task().status.model_copy(update={"rounds": rounds})
    client.world.moments = [told_task().model_copy(update={"status": status})]
    assert (await client.get(path, token="best"))[:2] == (200, "application/octet-stream")


async def test_two_checkpoints_are_told_apart_also_where_the_namespace_has_keys(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "keyring").mkdir()
    (tmp_path / "keyring" / "ns.1").write_text(hashlib.sha256(b"ns").hexdigest())
    store = EncryptedStore(client.store, Keyring(tmp_path / "keyring"))
    client.pages._store = store
    await keep_two(tmp_path / "sandbox", store, identity())
    status, kind, text = await client.get("t/checkpoints?from=1&to=2")
    assert (status, kind) == (200, "application/x-ndjson")
    rows = {row["path"]: row["change"] for row in map(json.loads, text.splitlines())}
    assert {path: rows[path] for path in ("changed", "gone", "new")} == {
        "changed": "changed", "gone": "deleted", "new": "added",
    }  # fmt: skip
    status, kind, text = await client.get("t/checkpoints?from=1&to=2&as=patch")
    assert (status, kind) == (200, "text/x-diff")
    assert f"+token = {'*' * len(SECRET)}\n" in text
    assert (await client.get("t/checkpoints?from=1&to=2&as=patch&original=true", "good"))[0] == 403
    assert SECRET in (await client.get("t/checkpoints?from=1&to=2&as=patch&original=true", "best"))[2]
    reader = GatewayClient(ClusterOptions(client.base), "ns", "t", "good")
    assert (await asyncio.to_thread(reader.difference, 1, 2, "patch")).decode() == text
    for path, answer in (("from=1&to=9", 404), ("from=1", 400), ("from=1&to=2&as=x", 400)):
        assert (await client.get(f"t/checkpoints?{path}"))[0] == answer
    assert (await client.get("t/checkpoints?from=1&to=2", "poor"))[0] == 403


QUESTION = Question(
    id="q7", tool="Bash", summary="command: git push", rule="policy/pushes", since_ms=0, until_ms=1
)


@pytest.fixture
async def at_work(client: Client, tmp_path: Path) -> AsyncIterator[FakeTrustedSide]:
    """The task's agent works, and asks something."""
    async with fake_trusted_side(tmp_path, identity(), Phase.RUNNING) as side:
        side.update(questions=(QUESTION,))
        client.world.sides[identity()] = side
        yield side


async def intervene(client: Client, wish: dict[str, Any], token: str = "best", key: str = "k") -> tuple[int, str]:  # fmt: skip
    headers = {"Idempotency-Key": key} | ({"Authorization": f"Bearer {token}"} if token else {})
    url = f"{client.base}/v1/tasks/ns/t/interventions"
    async with client.session.post(url, json=wish, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_whoever_may_create_interventions_answers_in_their_own_name(client: Client, at_work: FakeTrustedSide) -> None:  # fmt: skip
    wish = {"action": "Approve", "forSession": True, "message": "this once"}
    assert await intervene(client, wish) == (200, "allowed for the session: Bash (command: git push)\n")
    [envelope] = at_work.commands
    assert isinstance(envelope.command, AnswerApproval)
    assert envelope.command.question == "q7"
    decision = envelope.command.decision
    assert (decision.permission, decision.by, decision.message) == (Permission.ALLOW, "olga", "this once")


async def test_to_read_a_task_is_not_to_answer_its_agent(client: Client, at_work: FakeTrustedSide) -> None:
    assert (await intervene(client, {"action": "Approve"}, token=""))[0] == 401
    status, text = await intervene(client, {"action": "Approve"}, token="good")
    assert status == 403
    assert "alice may not create agenttasks/interventions" in text
    assert at_work.commands == []


async def test_an_intervention_sent_again_is_the_same_command(client: Client, at_work: FakeTrustedSide) -> None:  # fmt: skip
    for _ in range(2):
        await intervene(client, {"action": "Tell", "text": "mind the leap years"}, key="same")
    assert len({envelope.key for envelope in at_work.commands}) == 1
    assert at_work.commands[0].command == TellAgent(text="mind the leap years", by="olga")


async def test_what_cannot_be_done_is_said(client: Client, at_work: FakeTrustedSide) -> None:
    assert (await intervene(client, {"action": "Tell", "text": " "}))[0] == 400
    assert (await intervene(client, {"action": "Dance"}))[0] == 400
    status, text = await intervene(client, {"action": "Approve", "question": "q8"})
    assert (status, "q7  Bash (command: git push)" in text) == (409, True)
    at_work.update(questions=())
    assert (await intervene(client, {"action": "Approve"}))[0] == 409
    at_work.refuses = True
    assert (await intervene(client, {"action": "Interrupt"}))[0] == 409
    client.world.sides.clear()
    status, text = await intervene(client, {"action": "Interrupt"})
    assert (status, "no agent is at work" in text) == (409, True)


async def test_a_script_that_runs_away_is_slowed_down(client: Client, at_work: FakeTrustedSide) -> None:
    statuses = [
        (await intervene(client, {"action": "Interrupt"}, key=str(number)))[0] for number in range(25)
    ]
    assert statuses[:20] == [200] * 20
    assert statuses[-1] == 429


async def test_the_command_line_answers_through_the_gateway(client: Client, at_work: FakeTrustedSide) -> None:
    reader = GatewayClient(ClusterOptions(client.base), "ns", "t", "best")
    body = '{"action": "Approve", "deny": true}'
    said = await asyncio.to_thread(reader.post, "interventions", body, "k1")
    assert said == "denied: Bash (command: git push)"
    with pytest.raises(EvidenceError, match="403: alice may not create"):
        await asyncio.to_thread(
            GatewayClient(ClusterOptions(client.base), "ns", "t", "good").post, "interventions", body, "k2"
        )
