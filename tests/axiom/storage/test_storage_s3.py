"""What can go wrong with a bucket."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from minio import Minio
from urllib3 import PoolManager as Pool

from axiom.storage.s3 import S3Settings, S3Store, ServerSide
from axiom.storage.store import ConflictError, CorruptError, PutResult, UnavailableError, UnsuitableError

Status = Callable[[web.Request], int | str]

SETTINGS = S3Settings(
    endpoint="http://127.0.0.1:9",
    bucket="evidence",
    access_key="axiom",
    secret_key="not-a-secret-0123456789",
    attempts=3,
    longest_wait=0.01,
)


@asynccontextmanager
async def server_that_answers(
    status: Status, ahead: timedelta = timedelta(), says: str = "", **headers: str
) -> AsyncIterator[tuple[S3Settings, list[str]]]:
    """A server that plays S3's errors: `status` is a number, or the code of an S3 error with its number.

    Its clock is `ahead` of ours, and it refuses what is dated otherwise. `says` is what it answers with a number.
    """
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        shown = request.headers.get("X-Amz-Date", "")
        sent = datetime.strptime(shown, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(sent - datetime.now(UTC) - ahead) > timedelta(minutes=15):
            seen.append("refused")
            return web.Response(status=403)
        await request.read()
        seen.append(f"{request.method} {request.path} {request.headers.get('If-None-Match', '-')}")
        answer = status(request)
        if isinstance(answer, int):
            content = {"text": says, "content_type": "application/xml"} if says else {}
            return web.Response(status=answer, headers={"ETag": '"0"', **headers}, **content)
        code, number = answer.split()
        text = "" if request.method == "HEAD" else f"<Error><Code>{code}</Code><Message>m</Message></Error>"
        return web.Response(status=int(number), text=text, content_type="application/xml")

    async def date(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = format_datetime(datetime.now(UTC) + ahead, usegmt=True)

    app = web.Application(client_max_size=2**30)
    app.on_response_prepare.append(date)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield replace(SETTINGS, endpoint=f"http://127.0.0.1:{runner.addresses[0][1]}"), seen
    await runner.cleanup()


def raw_client(settings: S3Settings) -> Minio:
    address = urlsplit(settings.endpoint).netloc
    return Minio(
        address,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        secure=False,
        region="us-east-1",
    )


@pytest.mark.parametrize("answer", [200, "NotImplemented 501"])
async def test_a_store_without_conditional_writes_is_refused(answer: int | str) -> None:
    async with server_that_answers(lambda request: 200 if request.method == "HEAD" else answer) as (
        settings,
        seen,
    ):
        with pytest.raises(UnsuitableError, match="ignores If-None-Match"):
            await S3Store.connect(settings)
    assert seen[1:] == ["PUT /evidence/axiom-probe/conditional-put *"] * 2


async def test_a_store_without_conditional_multipart_takes_no_large_object(tmp_path: Path) -> None:
    def status(request: web.Request) -> int | str:
        if request.method == "HEAD":
            return 200
        return "NotImplemented 501" if "uploads" in request.query else "PreconditionFailed 412"

    async with server_that_answers(status) as (settings, _):
        store = await S3Store.connect(replace(settings, part_bytes=5 * 2**20))
        with pytest.raises(UnsuitableError):
            await store.put("large", bytes(6 * 2**20))
        store.close()


@pytest.mark.parametrize(
    "trouble", [503, "SlowDown 503", "ConditionalRequestConflict 409", "OperationAborted 409", 500, 502]
)
async def test_what_may_pass_is_tried_again(trouble: int | str) -> None:
    puts: list[int | str] = ["PreconditionFailed 412", "PreconditionFailed 412", trouble, trouble, 200]

    async with server_that_answers(lambda r: 200 if r.method == "HEAD" else puts.pop(0)) as (settings, _):
        store = await S3Store.connect(settings)
        assert await store.put("a/b", b"x") is PutResult.CREATED
        store.close()
    assert puts == []


async def test_after_the_last_try_the_reason_is_named() -> None:
    puts: list[int | str] = ["PreconditionFailed 412", "PreconditionFailed 412", *["SlowDown 503"] * 3]

    async with server_that_answers(lambda r: 200 if r.method == "HEAD" else puts.pop(0)) as (settings, _):
        store = await S3Store.connect(settings)
        with pytest.raises(UnavailableError, match="could not put a/b: SlowDown"):
            await store.put("a/b", b"x")
        store.close()
    assert puts == []


async def test_an_object_that_vanishes_between_put_and_stat_is_put_again() -> None:
    puts: list[int | str] = [
        "PreconditionFailed 412",
        "PreconditionFailed 412",
        "PreconditionFailed 412",
        200,
    ]

    def status(request: web.Request) -> int | str:
        if request.method == "HEAD":
            return "NoSuchKey 404" if request.path.endswith("/a/b") else 200
        return puts.pop(0)

    async with server_that_answers(status) as (settings, _):
        store = await S3Store.connect(settings)
        assert await store.put("a/b", b"x") is PutResult.CREATED
        store.close()


async def test_what_will_not_pass_is_not_tried_again() -> None:
    puts: list[int | str] = ["PreconditionFailed 412", "PreconditionFailed 412", "AccessDenied 403"]

    async with server_that_answers(lambda r: 200 if r.method == "HEAD" else puts.pop(0)) as (settings, _):
        store = await S3Store.connect(settings)
        with pytest.raises(UnavailableError, match="AccessDenied"):
            await store.put("a/b", b"x")
        store.close()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9 could not look for bucket evidence"):
        await S3Store.connect(SETTINGS)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9", "ftp://host", "http://host/path", "http://"])
async def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(UnsuitableError, match="is no endpoint"):
        await S3Store.connect(replace(SETTINGS, endpoint=endpoint))


async def test_a_missing_bucket_is_refused_unless_it_may_be_created(s3_settings: S3Settings) -> None:
    with pytest.raises(UnsuitableError, match="does not exist"):
        await S3Store.connect(replace(s3_settings, create_bucket=False))


async def test_a_store_can_be_connected_to_again(s3_settings: S3Settings) -> None:
    for _ in range(2):
        (await S3Store.connect(s3_settings)).close()


@pytest.mark.parametrize("changed", [{"access_key": "nobody"}, {"secret_key": "wrong-wrong-wrong"}])
async def test_wrong_credentials_are_refused_without_showing_them(
    s3_settings: S3Settings, changed: dict[str, str]
) -> None:
    with pytest.raises(UnsuitableError, match="credentials") as caught:
        await S3Store.connect(replace(s3_settings, **changed))  # type: ignore[arg-type]
    assert "wrong-wrong" not in str(caught.value)


def test_the_secret_key_is_not_shown() -> None:
    assert SETTINGS.secret_key not in repr(SETTINGS)


async def test_an_object_that_another_program_wrote_is_compared_by_its_bytes(s3_settings: S3Settings) -> None:
    store = await S3Store.connect(s3_settings)
    raw_client(s3_settings).put_object(s3_settings.bucket, "foreign", io.BytesIO(b"bytes"), 5)
    assert await store.put("foreign", b"bytes") is PutResult.ALREADY_THERE
    with pytest.raises(ConflictError):
        await store.put("foreign", b"other")
    store.close()


async def test_bytes_that_differ_from_their_digest_are_not_given_out(
    s3_settings: S3Settings, tmp_path: Path
) -> None:
    store = await S3Store.connect(s3_settings)
    lie = {"axiom-sha256": hashlib.sha256(b"written").hexdigest()}
    raw_client(s3_settings).put_object(s3_settings.bucket, "rotten", io.BytesIO(b"changed"), 7, metadata=lie)
    with pytest.raises(CorruptError):
        await store.get("rotten")
    with pytest.raises(CorruptError):
        await store.fetch("rotten", tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []
    store.close()


@pytest.mark.parametrize("size", [1000, 6 * 2**20])
async def test_bytes_that_are_damaged_on_their_way_are_refused_by_the_server_and_sent_again(
    s3_settings: S3Settings, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    store = await S3Store.connect(s3_settings)
    await store.put("a/first", bytes(size))  # what is probed at first is not damaged
    send, damaged = Pool.urlopen, 0

    def damage(self: Pool, method: str, url: str, redirect: bool = True, **rest: Any) -> Any:
        nonlocal damaged
        if method == "PUT" and len(rest["body"]) >= 1000 and not damaged:
            damaged += 1
            rest["body"] = b"X" + rest["body"][1:]
        return send(self, method, url, redirect=redirect, **rest)

    monkeypatch.setattr(Pool, "urlopen", damage)
    assert await store.put("a/second", bytes(size)) is PutResult.CREATED
    assert damaged == 1
    assert await store.get("a/second") == bytes(size)
    store.close()


async def test_a_list_longer_than_a_page_is_complete(
    s3_settings: S3Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axiom.storage.s3._PAGE", 3)
    store = await S3Store.connect(s3_settings)
    for number in range(8):
        await store.put(f"page/{number}", b"x")
    assert [key async for key in store.list("page/")] == [f"page/{number}" for number in range(8)]
    store.close()


async def test_keys_in_a_folder_are_read_anew_for_each_request(
    s3_settings: S3Settings, tmp_path: Path
) -> None:
    mounted, link = tmp_path / "mounted", tmp_path / "mounted" / "..data"
    for name, secret in (("old", s3_settings.secret_key), ("new", "not-the-servers-secret-000")):
        folder = mounted / name
        folder.mkdir(parents=True)
        (folder / "accessKey").write_text(f"{s3_settings.access_key}\n")
        (folder / "secretKey").write_text(secret)
    link.symlink_to("new")
    store = S3Store(replace(s3_settings, access_key="", secret_key="", credentials=mounted, attempts=2))

    with pytest.raises(UnsuitableError, match="credentials"):
        await store.prove()
    replacement = mounted / "..data_tmp"
    replacement.symlink_to("old")
    replacement.replace(link)
    assert await store.put("a/key", b"stored") is PutResult.CREATED
    (mounted / "old" / "secretKey").unlink()
    with pytest.raises(UnavailableError, match="keys of object storage cannot be read"):
        await store.get("a/key")
    store.close()


async def test_a_store_that_is_away_at_the_start_is_proven_before_the_first_write() -> None:
    answers, probes = ["ServiceUnavailable 503"] * 3, list[str]()

    def status(request: web.Request) -> int | str:
        if answers:
            return answers.pop()
        is_taken = request.path.endswith("conditional-put") and len(probes) > 0
        if request.path.endswith("conditional-put"):
            probes.append(request.path)
        return "PreconditionFailed 412" if is_taken else 200

    async with server_that_answers(status) as (settings, seen):
        store = S3Store(settings)
        with pytest.raises(UnavailableError):
            await store.prove()
        await store.put("a/key", b"x")
        store.close()
    written = [line.split()[1] for line in seen if line.startswith("PUT")]
    assert written == ["/evidence/axiom-probe/conditional-put"] * 2 + ["/evidence/a/key"]


@pytest.mark.parametrize("said", ["AES256", "", "aws:kms"])
async def test_a_server_that_does_not_say_that_it_encrypts_is_refused(said: str) -> None:
    asked = list[str]()

    def status(request: web.Request) -> int | str:
        if request.method == "PUT":
            asked.append(request.headers.get("X-Amz-Server-Side-Encryption", ""))
            return 200 if len(asked) in (1, 3) else "PreconditionFailed 412"
        return 200

    async with server_that_answers(status, **{"x-amz-server-side-encryption": said}) as (settings, _):
        store = S3Store(replace(settings, server_side_encryption=ServerSide.S3))
        if said == "AES256":
            await store.put("a/key", b"x")
        else:
            with pytest.raises(UnsuitableError, match="does not say that it did"):
                await store.prove()
        store.close()
    assert set(asked) == {"AES256"}


@pytest.mark.parametrize(
    ("changes", "why"), [({"kms_key_id": ""}, "needs the id of a key"), ({"kms_key_id": "k"}, "needs https")]
)
def test_settings_that_cannot_encrypt_are_refused(changes: dict[str, str], why: str) -> None:
    with pytest.raises(UnsuitableError, match=why):
        S3Store(replace(SETTINGS, server_side_encryption=ServerSide.KMS, **changes))  # type: ignore[arg-type]


async def test_a_slow_failure_is_not_repeated_for_ever() -> None:
    async with server_that_answers(lambda request: "SlowDown 503") as (settings, seen):
        store = S3Store(replace(settings, attempts=1000, patience=0.05))
        with pytest.raises(UnavailableError):
            await store.get("a/key")
        store.close()
    assert len(seen) < 1000


@pytest.mark.parametrize("hours", [1, -1])
async def test_requests_are_dated_by_the_servers_clock_where_ours_is_off(hours: int) -> None:
    ahead = timedelta(hours=hours)
    async with server_that_answers(lambda request: 200, ahead) as (settings, seen):
        store = S3Store(replace(settings, attempts=1))
        assert await store.exists("a/key")
        assert await store.exists("a/key")
        store.close()
    assert seen == ["refused", *["HEAD /evidence/a/key -"] * 2]


def listing(*keys: str, is_truncated: bool = False) -> str:
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>1</Size></Contents>"
        for key in keys
    )
    more = str(is_truncated).lower()
    return f"<ListBucketResult><Name>evidence</Name><IsTruncated>{more}</IsTruncated>{contents}</ListBucketResult>"


@pytest.mark.parametrize(
    "said",
    ["", "<<<", "{}", "<html/>", listing("a/1"), listing("a/1", "a/1"), listing("b/1"), listing("a/1", is_truncated=True)],
)  # fmt: skip
async def test_a_server_that_lists_what_is_no_list_is_unavailable(said: str) -> None:
    async with server_that_answers(lambda request: 200, says=said) as (settings, _):
        store = S3Store(settings)
        with pytest.raises(UnavailableError, match="list a/"):
            [key async for key in store.list("a/")]
        store.close()


@pytest.mark.parametrize("said", ["<<<", "<html/>", "gateway time-out"])
async def test_an_error_that_is_none_of_s3s_is_unavailable(said: str) -> None:
    async with server_that_answers(lambda request: 400, says=said) as (settings, _):
        store = S3Store(settings)
        for doing in (
            store.get("a/key"),
            store.put("a/key", b"x"),
            store.delete("a/key"),
            store.stat("a/key"),
        ):
            with pytest.raises((UnavailableError, UnsuitableError)):
                await doing
        store.close()
