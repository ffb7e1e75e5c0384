"""Requests and answers that two readers could cut in two ways: what reaches the vendor is one whole request, or nothing.

The vendor here is a socket that writes down every byte, as a lenient server would be misled by them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.axiom.egress.test_proxy import send_raw
from tests.fakes.vendor import CANARY, Way, credential, make_token, run_way

SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: vendor\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
_HEAD_END = b"\r\n\r\n"


@dataclass
class RawVendor:
    """What came, by connection."""

    port: int = 0
    answer: bytes = OK
    open: int = 0
    connections: list[bytearray] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came = bytearray()
        self.connections.append(came)
        self.open += 1
        while data := await reader.read(65536):
            is_first = _HEAD_END not in came
            came += data
            if is_first and _HEAD_END in came:
                writer.write(self.answer)
                writer.write_eof()
        writer.close()
        self.open -= 1

    async def left(self) -> None:
        """Until whoever came has gone."""
        async with asyncio.timeout(30):
            while self.open:
                await asyncio.sleep(0.002)

    @property
    def requests(self) -> list[tuple[bytes, dict[str, str], bytes]]:
        """Request line, fields and body of each, cut strictly: one that is left over or in pieces is an error."""
        found = []
        for data in self.connections:
            rest = bytes(data)
            while rest:
                head, mark, rest = rest.partition(_HEAD_END)
                assert mark, f"no whole head: {head!r}"
                line, *fields = head.split(b"\r\n")
                named = [one.decode("latin-1").split(": ", 1) for one in fields]
                headers = {name.lower(): value for name, value in named}
                assert len(headers) == len(named), f"a field comes twice: {head!r}"
                body, rest = _body(headers, rest)
                found.append((line, headers, body))
        return found


def _body(headers: dict[str, str], rest: bytes) -> tuple[bytes, bytes]:
    assert not {"content-length", "transfer-encoding"} <= set(headers), headers
    if "content-length" in headers:
        size = int(headers["content-length"])
        assert re.fullmatch("[0-9]+", headers["content-length"])
        return rest[:size], rest[size:]
    if "transfer-encoding" not in headers:
        return b"", rest
    assert headers["transfer-encoding"] == "chunked"
    body = b""
    while True:
        size_text, _, rest = rest.partition(b"\r\n")
        assert re.fullmatch(rb"[0-9a-f]+", size_text), f"a chunk of the size {size_text!r}"
        size = int(size_text, 16)
        body, end, rest = body + rest[:size], rest[size : size + 2], rest[size + 2 :]
        assert end == b"\r\n"
        if not size:
            return body, rest


@asynccontextmanager
async def raw_way(folder: Path) -> AsyncIterator[tuple[RawVendor, Way]]:
    vendor = RawVendor()
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    async with server:
        vendor.port = server.sockets[0].getsockname()[1]
        async with run_way(folder, [credential(f"http://127.0.0.1:{vendor.port}")]) as way:
            yield vendor, way


def post(fields: str, body: bytes, line: str = "POST /openai/v1/x HTTP/1.1", end: str = "\r\n") -> bytes:
    head = end.join([line, "Host: proxy", f"x-api-key: {make_token()}", "Connection: close", fields, "", ""])
    return head.encode("latin-1") + body


SIZED = str(5 + len(SMUGGLED))
TRICKS = {
    "CL.TE": post(f"Content-Length: {SIZED}\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + SMUGGLED),
    "TE.CL": post("Transfer-Encoding: chunked\r\nContent-Length: 4", b"2c\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"),
    "CL.CL": post(f"Content-Length: 0\r\nContent-Length: {SIZED}", b"hello" + SMUGGLED),
    "the same length twice": post("Content-Length: 5\r\nContent-Length: 5", b"hello" + SMUGGLED),
    "a list of lengths": post("Content-Length: 5, 5", b"hello" + SMUGGLED),
    "a length with a sign": post("Content-Length: +5", b"hello" + SMUGGLED),
    "a length below 0": post("Content-Length: -1", b"hello" + SMUGGLED),
    "a length in hexadecimal": post("Content-Length: 0x5", b"hello" + SMUGGLED),
    "a length with a mark": post("Content-Length: 5_0", b"hello" + SMUGGLED),
    "a length in other digits": post("Content-Length: \xb2", b"hello" + SMUGGLED),
    "a length that overflows": post("Content-Length: 18446744073709551621", b"hello" + SMUGGLED),
    "an empty length": post("Content-Length: ", SMUGGLED),
    "TE twice": post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"0\r\n\r\n" + SMUGGLED),
    "TE chunked twice": post("Transfer-Encoding: chunked, chunked", b"0\r\n\r\n" + SMUGGLED),
    "TE not chunked at last": post("Transfer-Encoding: chunked, gzip", b"0\r\n\r\n" + SMUGGLED),
    "TE by another name": post("Transfer-Encoding: xchunked", b"0\r\n\r\n" + SMUGGLED),
    "TE in quotes": post('Transfer-Encoding: "chunked"', b"0\r\n\r\n" + SMUGGLED),
    "TE after a vertical tab": post("Transfer-Encoding: \x0bchunked", b"0\r\n\r\n" + SMUGGLED),
    "TE with a space before the colon": post("Transfer-Encoding : chunked", b"0\r\n\r\n" + SMUGGLED),
    "TE with a tab before the colon": post("Transfer-Encoding\t: chunked", b"0\r\n\r\n" + SMUGGLED),
    "TE with a space before its name": post(" Transfer-Encoding: chunked", b"0\r\n\r\n" + SMUGGLED),
    "TE folded": post("Transfer-Encoding:\r\n chunked", b"0\r\n\r\n" + SMUGGLED),
    "a length folded": post("X: y\r\n Content-Length: 5", b"hello" + SMUGGLED),
    "TE in HTTP/1.0": post("Transfer-Encoding: chunked", b"0\r\n\r\n" + SMUGGLED, "POST /openai/v1/x HTTP/1.0"),
    "lines that end in LF": post("Content-Length: 5", b"hello" + SMUGGLED, end="\n"),
    "a line that ends in CR": post("X: y\rContent-Length: 5", b"hello" + SMUGGLED),
    "a LF within a field": post("X: y\nContent-Length: 5", b"hello" + SMUGGLED),
    "a zero within a field": post("X: y\x00\r\nContent-Length: 5", b"hello" + SMUGGLED),
    "a name with a control": post("X\x01: y\r\nContent-Length: 5", b"hello" + SMUGGLED),
    "a field without a colon": post("X\r\nContent-Length: 5", b"hello" + SMUGGLED),
    "a field without a name": post(": y\r\nContent-Length: 5", b"hello" + SMUGGLED),
    "two hosts": post("Host: other\r\nContent-Length: 5", b"hello" + SMUGGLED),
    "a chunk's extension": post("Transfer-Encoding: chunked", b"5;x=y\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "an extension with LF": post("Transfer-Encoding: chunked", b"5;x\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "a long extension": post("Transfer-Encoding: chunked", b"5;" + b"x" * 70_000 + b"\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "an extension in quotes": post("Transfer-Encoding: chunked", b'5;x="\r\n"\r\nhello\r\n0\r\n\r\n' + SMUGGLED),
    "a chunk's size with 0x": post("Transfer-Encoding: chunked", b"0x5\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk's size with a sign": post("Transfer-Encoding: chunked", b"+5\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk's size below 0": post("Transfer-Encoding: chunked", b"-5\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk's size with a mark": post("Transfer-Encoding: chunked", b"0_5\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk's size that overflows": post("Transfer-Encoding: chunked", b"10000000000000005\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk's size and a space": post("Transfer-Encoding: chunked", b"5 \r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk with LF": post("Transfer-Encoding: chunked", b"5\nhello\n0\n\n" + SMUGGLED),
    "a chunk that is longer": post("Transfer-Encoding: chunked", b"5\r\nhello!\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk without an end": post("Transfer-Encoding: chunked", b"5\r\nhello0\r\n\r\n" + SMUGGLED),
    "trailers": post("Transfer-Encoding: chunked\r\nTrailer: Host", b"0\r\nHost: evil\r\nContent-Length: 9\r\n\r\n" + SMUGGLED),
    "a length that Connection takes away": post("Content-Length: 5\r\nConnection: content-length", b"hello" + SMUGGLED),
    "a TE that Connection takes away": post("Transfer-Encoding: chunked\r\nConnection: transfer-encoding", b"0\r\n\r\n" + SMUGGLED),
    "an expectation": post("Content-Length: 5\r\nExpect: 100-continue", b"hello" + SMUGGLED),
    "an upgrade to HTTP/2": post("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings", SMUGGLED),
    "HTTP/2 from the start": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
    "HTTP/0.9": b"GET /openai/v1/x\r\n" + SMUGGLED,
    "two spaces in the request's line": post("X: y", SMUGGLED, "GET  /openai/v1/x HTTP/1.1"),
    "a tab in the request's line": post("X: y", SMUGGLED, "GET\t/openai/v1/x HTTP/1.1"),
    "more than a version": post("X: y", SMUGGLED, "GET /openai/v1/x HTTP/1.1 HTTP/1.1"),
    "a GET with a length": post(f"Content-Length: {len(SMUGGLED)}", SMUGGLED, "GET /openai/v1/x HTTP/1.1"),
    "an absolute target with a user": post("Content-Length: 0", SMUGGLED, "POST http://axiom@127.0.0.1/openai/v1/x HTTP/1.1"),
    "the proxy's own address as target": post("Content-Length: 0", SMUGGLED, "POST http://proxy/openai/v1/x HTTP/1.1"),
    "TE within gzip": post("Transfer-Encoding: gzip, chunked", b"0\r\n\r\n" + SMUGGLED),
    "TE without a value": post("Transfer-Encoding: \r\nContent-Length: 5", b"hello" + SMUGGLED),
    "TE after a comma": post("Transfer-Encoding: ,chunked", b"0\r\n\r\n" + SMUGGLED),
    "TE with a parameter": post("Transfer-Encoding: chunked;q=1", b"0\r\n\r\n" + SMUGGLED),
    "TE by underscore": post("Transfer_Encoding: chunked\r\nContent-Length: 5", b"hello" + SMUGGLED),
    "a length by underscore": post("Content_Length: 0\r\nContent-Length: 5", b"hello" + SMUGGLED),
    "a length with zeros before": post("Content-Length: 0000005", b"hello" + SMUGGLED),
    "a length with a point": post("Content-Length: 5.0", b"hello" + SMUGGLED),
    "a length of 0 on a GET": post("Content-Length: 0", SMUGGLED, "GET /openai/v1/x HTTP/1.1"),
    "a chunk's size of -0": post("Transfer-Encoding: chunked", b"-0\r\n\r\n" + SMUGGLED),
    "a chunk's size and a tab": post("Transfer-Encoding: chunked", b"5\t\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk without a size": post("Transfer-Encoding: chunked", b"\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk that ends in CR": post("Transfer-Encoding: chunked", b"5\r\nhello\rX0\r\n\r\n" + SMUGGLED),
    "an extension with CR": post("Transfer-Encoding: chunked", b"5;a\rb\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "TE as a trailer": post("Transfer-Encoding: chunked", b"0\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED),
    "trailers without end": post("Transfer-Encoding: chunked", b"0\r\n" + b"X: y\r\n" * 5000 + b"\r\n" + SMUGGLED),
    "another line end": post("X: a\x85Content-Length: 9\r\nContent-Length: 5", b"hello" + SMUGGLED),
    "HTTP/2 in the line": post("X: y", SMUGGLED, "POST /openai/v1/x HTTP/2.0"),
    "HTTP/0.9 in the line": post("X: y", SMUGGLED, "POST /openai/v1/x HTTP/0.9"),
    "an upgrade among others": post("Upgrade: x, websocket\r\nConnection: Upgrade", SMUGGLED),
    "an upgrade to TLS": post("Upgrade: TLS/1.0\r\nConnection: Upgrade", SMUGGLED),
    "TRACE in small letters": post("Max-Forwards: 0", SMUGGLED, "trace /openai/v1/x HTTP/1.1"),
}  # fmt: skip
HONEST_BODIES = {b"", b"hello", SMUGGLED}
"""SMUGGLED as the body that a GET declared."""


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
async def test_of_a_request_that_could_be_cut_in_two_ways_one_whole_one_reaches_the_vendor_or_nothing(
    tmp_path: Path, connection: bytes
) -> None:
    wrong = {}
    async with raw_way(tmp_path) as (vendor, way):
        for trick, sent in TRICKS.items():
            vendor.connections.clear()
            kept = sent.replace(b"Connection: close", b"Connection: " + connection)
            # what is no request of this attempt's ends the connection
            answer = await send_raw(way.socket, kept + b"GET /end HTTP/1.1\r\nHost: proxy\r\n\r\n")
            await vendor.left()
            try:
                check_request(vendor, answer)
            except AssertionError as error:
                wrong[trick] = str(error)
    assert wrong == {}


def check_request(vendor: RawVendor, answer: bytes) -> None:
    seen = vendor.requests
    assert len(seen) <= 1, seen
    for line, headers, body in seen:
        assert b"smuggled" not in line
        assert body in HONEST_BODIES, body
        assert not {"upgrade", "http2-settings", "trailer", "expect", "te"} & set(headers), headers
        assert not any("_" in name or "\x85" in value for name, value in headers.items()), headers
        assert headers.get("content-length", "0") == str(len(body)) or "transfer-encoding" in headers
        assert headers["host"] == f"127.0.0.1:{vendor.port}"
    assert answer.count(b"HTTP/1.1 200 OK") <= 1, answer
    assert CANARY.encode() not in answer


ANSWERS = {
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n",
    "hints before": b"HTTP/1.1 103 Early Hints\r\nLink: " + CANARY.encode() + b"\r\n\r\n" + OK,
    "a second answer": OK + b"HTTP/1.1 200 OK\r\nX: " + CANARY.encode() + b"\r\nContent-Length: 0\r\n\r\n",
    "chunks of gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 60\r\n\r\nok",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "the key as a trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Key: " + CANARY.encode() + b"\r\n\r\n",
    "the key as an extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;k=" + CANARY.encode() + b"\r\nok\r\n0\r\n\r\n",
    "the key as a name": b"HTTP/1.1 200 OK\r\n" + CANARY.encode() + b": 1\r\nContent-Length: 2\r\n\r\nok",
    "the key as the reason": b"HTTP/1.1 200 " + CANARY.encode() + b"\r\nContent-Length: 2\r\n\r\nok",
    "the key folded": b"HTTP/1.1 200 OK\r\nX: " + CANARY[:9].encode() + b"\r\n " + CANARY[9:].encode() + b"\r\nContent-Length: 2\r\n\r\nok",
}  # fmt: skip


async def test_of_a_hostile_answer_no_more_than_one_is_handed_on_and_never_the_key(tmp_path: Path) -> None:
    wrong = {}
    async with raw_way(tmp_path) as (vendor, way):
        for kind, vendor.answer in ANSWERS.items():
            answer = await send_raw(way.socket, post("Content-Length: 5", b"hello"))
            await vendor.left()
            statuses = re.findall(rb"HTTP/1\.[01] (\d+)", answer)
            unfolded = answer.replace(b"\r\n ", b"")
            if statuses not in ([b"200"], [b"502"]) or CANARY.encode() in unfolded:
                wrong[kind] = answer
    assert wrong == {}
