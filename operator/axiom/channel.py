"""The control plane's end of a sandbox's channel: typed calls over HTTP, with mutual TLS or a Unix socket."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from axiom_sandbox.protocol.channel import LEFT_HEADER, CommandEnvelope, SandboxState, StoredSegments
from axiom_sandbox.protocol.errands import ERRANDS, Errand, Reply

_POLL_SECONDS = 30
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for."""
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_connect=5, sock_read=_POLL_SECONDS + 30)


class ChannelError(Exception):
    """The sandbox's trusted side did not answer, or refused. Whoever asked tries again later."""


class CommandRefusedError(ChannelError):
    """The trusted side understood the command and refused it: it does not fit its phase."""


class RecordsLeftError(ChannelError):
    """What was asked for has left the sandbox, and is in object storage alone."""

    def __init__(self, message: str, records: int) -> None:
        self.records = records
        """Records 1 to this one."""
        super().__init__(message)


class Channel:
    """One sandbox's channel. Use as an async context manager."""

    def __init__(self, base: str, connector: aiohttp.BaseConnector) -> None:
        self._base = base
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)

    @classmethod
    def over_unix(cls, socket: Path) -> Self:
        """A channel on this machine."""
        return cls("http://sandbox", aiohttp.UnixConnector(path=str(socket)))

    @classmethod
    def over_tls(cls, address: str, port: int, context: ssl.SSLContext) -> Self:
        """A pod's channel; `context` trusts exactly the pod's own certificate."""
        host = f"[{address}]" if ":" in address else address
        return cls(f"https://{host}:{port}", aiohttp.TCPConnector(ssl=context, limit=8))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hangs up."""
        await self._session.close()

    async def state(self, since: int = -1, timeout: int = _POLL_SECONDS) -> SandboxState:
        """The state as soon as its revision is above `since`; the present one after `timeout` seconds."""
        body = await self._read("GET", f"/v1/state?since={since}&timeout={timeout}")
        return SandboxState.model_validate_json(body)

    async def send(self, envelope: CommandEnvelope) -> None:
        """Gives a command. Raises CommandRefusedError."""
        await self._read("POST", "/v1/commands", data=envelope.model_dump_json().encode())

    async def put_workspace(self, archive: Path, digest: str) -> None:
        """Pushes the base archive."""
        await self._push("/v1/workspace", archive, digest)

    async def put_changes(self, archive: Path, digest: str) -> None:
        """Pushes the changes archive (verifiers)."""
        await self._push("/v1/changes", archive, digest)

    async def put_hidden(self, criterion: str, archive: Path, digest: str) -> None:
        """Pushes the archive of a criterion's hidden tests (verifiers), before the changes."""
        await self._push(f"/v1/hidden/{criterion}", archive, digest)

    async def put_conduct(self, file: Path, digest: str) -> None:
        """Pushes what the agent did (verifiers), before the changes."""
        await self._push("/v1/conduct", file, digest)

    async def put_checkpoint(self, part: Path, digest: str) -> None:
        """Pushes a part of the checkpoint that the sandbox begins from, or its manifest, before the base archive."""
        await self._push(f"/v1/checkpoint/{digest}", part, digest)

    async def give_up_checkpoint(self, why: str) -> None:
        """Tells that the checkpoint cannot be brought."""
        await self._read("PUT", "/v1/trouble/checkpoint", data=why.encode())

    async def take_errand(self, identifier: str) -> Errand | None:
        """Takes an errand over (verifiers); None: it is done, or somebody is at it."""
        body = await self._read("POST", f"/v1/errands/{identifier}/take")
        return ERRANDS.validate_json(body) if body else None

    async def bring_reply(self, identifier: str, reply: Reply) -> None:
        """Brings what came of an errand."""
        await self._read("PUT", f"/v1/errands/{identifier}", data=reply.model_dump_json().encode())

    async def tell_trouble(self, text: str) -> None:
        """Tells why inputs do not arrive; "" when that is over."""
        await self._read("PUT", "/v1/trouble", data=text.encode())

    async def tell_storage_trouble(self, text: str) -> None:
        """Tells why object storage cannot be used; "" when that is over."""
        await self._read("PUT", "/v1/trouble/storage", data=text.encode())

    async def fetch_segment(self, number: int, target: Path) -> None:
        """Copies a cut segment of the ledger."""
        await self._pull(f"/v1/segments/{number}", target)

    async def confirm_segment(self, number: int) -> None:
        """Tells that the segment is in object storage."""
        await self._read("POST", f"/v1/segments/{number}/sealed")

    async def let_go_of_segments(self, stored: StoredSegments) -> None:
        """Tells what object storage gave back of segments that are leaving. Raises CommandRefusedError: they stay."""
        await self._read("POST", "/v1/segments/stored", data=stored.model_dump_json().encode())

    async def return_segment(self, number: int, packed: bytes) -> None:
        """Brings back a segment that has left. Raises CommandRefusedError: it is not awaited, or is not the one that left."""
        await self._read("PUT", f"/v1/segments/{number}", data=packed)

    async def fetch_blob(self, digest: str, target: Path) -> None:
        """Copies a blob."""
        await self._pull(f"/v1/blobs/{digest}", target)

    async def confirm_blob(self, digest: str) -> None:
        """Tells that the blob is in object storage."""
        await self._read("POST", f"/v1/blobs/{digest}/sealed")

    async def events(self, start: int = 1) -> AsyncGenerator[bytes]:
        """Ledger lines from seq `start` on, each with its line end; follows until the ledger is closed. Raises RecordsLeftError."""
        try:
            async with self._session.get(f"{self._base}/v1/events?from={start}") as response:
                await _raise_for(response)
                async for line in response.content:
                    yield line
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(error) from error

    async def _read(self, method: str, path: str, data: bytes | None = None) -> bytes:
        try:
            async with self._session.request(method, self._base + path, data=data) as response:
                await _raise_for(response)
                return await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(error) from error

    async def _push(self, path: str, archive: Path, digest: str) -> None:
        try:
            with archive.open("rb") as file:
                headers = {"X-Axiom-Digest": digest}
                async with self._session.put(self._base + path, data=file, headers=headers) as response:
                    await _raise_for(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(error) from error

    async def _pull(self, path: str, target: Path) -> None:
        try:
            async with self._session.get(self._base + path) as response:
                await _raise_for(response)
                with target.open("wb") as file:
                    async for chunk in response.content.iter_chunked(256 * 1024):
                        file.write(chunk)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(error) from error


def pod_context(certificate: str, client: Path, pair: str = "tls") -> ssl.SSLContext:
    """TLS 1.3 for one pod's channel.

    Args:
        certificate: the pod's own (PEM), the only one that is trusted.
        client: folder with our certificate, <pair>.crt, and its key, <pair>.key (PEM).
        pair: which of the certificates in the folder.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # addresses of pods are no names; the certificate itself is pinned
    # Nor are dates looked at: the pin is good for as long as the pod lives, whatever a clock here shows.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    context.load_verify_locations(cadata=certificate)
    context.load_cert_chain(client / f"{pair}.crt", client / f"{pair}.key")
    return context


async def _raise_for(response: aiohttp.ClientResponse) -> None:
    if response.status >= 400:
        said = (await response.text())[:500].strip()
        if response.status == 410 and (left := response.headers.get(LEFT_HEADER, "")).isdecimal():
            raise RecordsLeftError(f"the sandbox answered 410: {said}", int(left))
        kind = CommandRefusedError if response.status == 409 else ChannelError
        raise kind(f"the sandbox answered {response.status}: {said}")


def _unreachable(error: BaseException) -> ChannelError:
    return ChannelError(f"the sandbox's trusted side does not answer: {type(error).__name__}: {error}")
