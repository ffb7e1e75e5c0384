"""The channel over HTTP, as the control plane uses it: long polls, evidence, uploads, refusals, mutual TLS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.axiom_sandbox.supervising.benches import Life, open_bench, pack_base, start
from tests.ports import free_port

from axiom.channel import Channel, ChannelError, CommandRefusedError, pod_context
from axiom_sandbox.protocol.channel import Phase, Stop
from axiom_sandbox.snapshots import digest_of
from axiom_sandbox.supervising.settings import Tls

pytestmark = pytest.mark.sandbox


async def get(life: Life, path: str, method: str = "GET", **options: Any) -> tuple[int, str]:
    connector = aiohttp.UnixConnector(path=str(life.sandbox.settings.channel_socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, f"http://sandbox{path}", **options) as response,
    ):
        return response.status, await response.text(errors="replace")


async def test_the_whole_channel(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.begin()
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        await the_workspace_is_checked(life, tmp_path)
        await life.send(start("echo made > out"))
        await life.reached(Phase.ROUND_ENDED, 1)
        await segments_and_blobs_can_be_copied_and_confirmed(life, tmp_path)
        await requests_that_make_no_sense_are_answered(life)
        await events_follow_to_the_end(life)


async def the_workspace_is_checked(life: Life, folder: Path) -> None:
    archive = pack_base(folder, {"in": "x"})
    with pytest.raises(CommandRefusedError, match="has the digest"):
        await life.channel.put_workspace(archive, "0" * 64)
    with pytest.raises(CommandRefusedError, match="takes no changes"):
        await life.channel.put_changes(archive, digest_of(archive))
    await life.channel.tell_trouble("the repository does not answer")
    assert (await life.channel.state()).trouble == "the repository does not answer"
    digest = digest_of(archive)
    both = await asyncio.gather(
        *(life.channel.put_workspace(archive, digest) for _ in range(2)), return_exceptions=True
    )
    assert None in both
    state = await life.reached(Phase.READY)
    assert (state.workspace, state.trouble) == (digest, "")
    await life.channel.put_workspace(archive, digest)
    with pytest.raises(CommandRefusedError, match="in place already"):
        await life.channel.put_workspace(archive, "0" * 64)
    assert not list(life.sandbox.folder.glob("*.part*"))


async def segments_and_blobs_can_be_copied_and_confirmed(life: Life, folder: Path) -> None:
    state = await life.channel.state()
    assert state.ledger.segments >= 1
    target = folder / "copy"
    await life.channel.fetch_segment(1, target)
    assert b"sandbox_started" in zstandard.ZstdDecompressor().decompressobj().decompress(target.read_bytes())
    await life.channel.confirm_segment(1)
    await life.channel.confirm_segment(1)
    assert (await life.channel.state()).ledger.sealed == 1
    with pytest.raises(ChannelError, match="404: segment 99 has not been cut"):
        await life.channel.fetch_segment(99, target)
    with pytest.raises(ChannelError, match="404"):
        await life.channel.confirm_segment(99)
    blob = state.blobs[0]
    await life.channel.fetch_blob(blob.digest, target)
    assert digest_of(target) == blob.digest
    polling = asyncio.create_task(life.channel.state(since=(await life.channel.state()).revision))
    await life.channel.confirm_blob(blob.digest)
    assert next(one for one in (await polling).blobs if one.digest == blob.digest).sealed
    with pytest.raises(ChannelError, match="no such blob"):
        await life.channel.confirm_blob("0" * 64)
    with pytest.raises(ChannelError, match="no such blob"):
        await life.channel.fetch_blob("0" * 64, target)


async def requests_that_make_no_sense_are_answered(life: Life) -> None:
    assert await get(life, "/v1/healthz") == (200, "ok\n")
    assert await get(life, "/v1/state?since=x") == (400, "since must be a whole number")
    assert (await get(life, "/v1/commands", "POST", data=b"{}"))[0] == 400
    assert (await get(life, "/v1/segments/0"))[0] == 404
    assert (await get(life, "/v1/blobs/..%2f..%2fstate.json"))[0] == 404
    assert (await get(life, "/v1/nothing"))[0] == 404
    present = await life.channel.state()
    assert (await life.channel.state(since=present.revision, timeout=0)).revision == present.revision


async def events_follow_to_the_end(life: Life) -> None:
    following = asyncio.create_task(collect(life.channel, 3))
    await life.send(Stop(reason="enough"))
    lines = await asyncio.wait_for(following, 60)
    records = [json.loads(line) for line in lines]
    assert [record["seq"] for record in records] == list(range(3, len(records) + 3))
    assert records[-1]["event"] == "closed"


async def collect(channel: Channel, first: int) -> list[bytes]:
    return [line async for line in channel.events(first)]


async def test_nobody_answers_where_no_sandbox_is(tmp_path: Path) -> None:
    async with Channel.over_unix(tmp_path / "no.sock") as channel:
        with pytest.raises(ChannelError, match="does not answer"):
            await channel.state()
        with pytest.raises(ChannelError, match="does not answer"):
            await collect(channel, 1)
        with pytest.raises(ChannelError, match="does not answer"):
            await channel.fetch_blob("0" * 64, tmp_path / "x")
        (tmp_path / "archive").touch()
        with pytest.raises(ChannelError, match="does not answer"):
            await channel.put_workspace(tmp_path / "archive", "")


def make_certificate(folder: Path, name: str, issuer: Path | None = None) -> Path:
    """A key and a certificate as tls.key and tls.crt in a folder of their own; signed by `issuer`, else by itself."""
    own = folder / name
    own.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    signer = serialization.load_pem_private_key((issuer / "tls.key").read_bytes(), None) if issuer else key
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ca = x509.load_pem_x509_certificate((issuer / "tls.crt").read_bytes()).subject if issuer else subject
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    (own / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (own / "tls.key").write_bytes(pem)
    return own


async def test_over_tcp_only_the_control_plane_gets_in_and_only_this_pod_is_believed(tmp_path: Path) -> None:
    authority, other = make_certificate(tmp_path, "authority"), make_certificate(tmp_path, "other")
    pod, gateway = make_certificate(tmp_path, "pod"), make_certificate(tmp_path, "gateway", authority)
    stranger = make_certificate(tmp_path, "stranger", other)
    tls = Tls(certificate=pod / "tls.crt", key=pod / "tls.key", client_ca=authority / "tls.crt")
    port = free_port()
    changes = {"tls": tls, "listen_host": "127.0.0.1", "listen_port": port}
    async with open_bench(tmp_path, changes=changes) as bench:
        await bench.begin()
        pinned = (pod / "tls.crt").read_text()

        async def ask(context: ssl.SSLContext) -> Phase:
            async with Channel.over_tls("127.0.0.1", port, context) as channel:
                return (await channel.state()).phase

        assert await ask(pod_context(pinned, gateway))
        with pytest.raises(ChannelError):
            await ask(pod_context(pinned, stranger))
        nobody = ssl.create_default_context(cadata=pinned)
        nobody.check_hostname = False
        with pytest.raises(ChannelError):
            await ask(nobody)
        with pytest.raises(ChannelError, match="certificate verify failed"):
            await ask(pod_context((other / "tls.crt").read_text(), gateway))
        old = pod_context(pinned, gateway)
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ChannelError):
            await ask(old)
