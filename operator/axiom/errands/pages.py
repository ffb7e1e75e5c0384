"""Fetches a page through the egress proxy: https through a tunnel, http as a plain request, each redirect by itself.

The proxy decides what may be reached: hosts that the class opens, and no address inside. Nothing of a page is looked at here
but where it redirects to. Blocking; callers use a thread.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from axiom_sandbox.protocol.errands import Fetched, FetchPage, Hop, NotDone

MOST_HOPS = 6
_READ = 64 * 1024
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; Axiom-Research/1.0)",
    "Accept": "text/html,application/xhtml+xml,text/plain;q=0.9,*/*;q=0.5",
    "Accept-Language": "en",
    "Accept-Encoding": "gzip, deflate",
}
_REFUSED = (400, 403, 407)
_REDIRECTS = (301, 302, 303, 307, 308)


class _NoPageError(Exception):
    """There is none, and why."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        self.refused = refused
        super().__init__(why)


@dataclass(frozen=True)
class Proxy:
    """Where the egress proxy is, and what it lets pass."""

    host: str
    port: int
    socket: Path | None
    token: str
    trust: ssl.SSLContext

    @property
    def authorization(self) -> str:
        """The header that carries the token."""
        return "Basic " + base64.b64encode(f"axiom:{self.token}".encode()).decode()


def fetch(errand: FetchPage, proxy: Proxy) -> Fetched | NotDone:
    """The page, or why there is none."""
    until = time.monotonic() + errand.seconds
    hops: list[Hop] = []
    url = errand.url
    try:
        while True:
            status, location, found = _ask(url, errand.max_bytes, proxy, until)
            hops.append(Hop(url=url[:2048], status=status))
            if status not in _REDIRECTS or not location:
                return found.model_copy(update={"hops": tuple(hops)})
            if len(hops) >= MOST_HOPS:
                return NotDone(why=f"{errand.url} redirects more than {MOST_HOPS - 1} times")
            url = urljoin(url, location).partition("#")[0]
    except _NoPageError as error:
        return NotDone(why=str(error)[:500], refused=error.refused)
    except TimeoutError:
        return NotDone(why=f"{url} did not answer within {errand.seconds:g} s")
    except (OSError, http.client.HTTPException, zlib.error, ValueError) as error:
        return NotDone(why=f"{url} cannot be fetched: {type(error).__name__}: {error}"[:500])


def _ask(url: str, most: int, proxy: Proxy, until: float) -> tuple[int, str, Fetched]:
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise _NoPageError(f"{url} is no address of a page")
    connection = (
        _Tunnelled(proxy, host, parts.port or 443, until) if parts.scheme == "https" else _Plain(proxy, until)
    )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        if parts.scheme == "https":
            connection.request("GET", path, headers=_HEADERS)
        else:
            authority = host if parts.port is None else f"{host}:{parts.port}"
            headers = {**_HEADERS, "Host": authority, "Proxy-Authorization": proxy.authorization}
            connection.request("GET", f"http://{authority}{path}", headers=headers)
        response = connection.getresponse()
        if parts.scheme == "http" and (why := _refusal_of(response)):
            raise _NoPageError(f"{host} cannot be reached: {why}", refused=response.status in _REFUSED)
        return response.status, response.headers.get("Location", ""), _read(response, connection, most, until)
    finally:
        connection.close()


def _refusal_of(response: http.client.HTTPResponse) -> str:
    """The proxy's own word, where it is the proxy that answers."""
    if response.status < 400 or "application/json" not in response.headers.get("Content-Type", ""):
        return ""
    try:
        body = json.loads(response.read(16_384))
        error = body["error"]
        return str(error["message"]) if str(error.get("type", "")).startswith("axiom") else ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _read(
    response: http.client.HTTPResponse, connection: http.client.HTTPConnection, most: int, until: float
) -> Fetched:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    unpack = zlib.decompressobj(47) if encoding in ("gzip", "x-gzip", "deflate") else None
    if unpack is None and encoding not in ("", "identity"):
        raise _NoPageError(f"the page is encoded as {encoding}, which was not asked for")
    body, wire = bytearray(), 0
    while len(body) <= most:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if connection.sock is not None:
            connection.sock.settimeout(left)
        chunk = response.read1(_READ)
        if not chunk:
            break
        wire += len(chunk)
        body += unpack.decompress(chunk, most + 1 - len(body)) if unpack else chunk
    return Fetched(
        hops=(),
        content_type=response.headers.get("Content-Type", "")[:200],
        body=base64.b64encode(bytes(body[:most])).decode(),
        truncated=len(body) > most,
        wire_bytes=wire,
        at_ms=int(time.time() * 1000),
    )


class _Plain(http.client.HTTPConnection):
    """A connection to the proxy itself."""

    def __init__(self, proxy: Proxy, until: float) -> None:
        super().__init__(proxy.host, proxy.port)
        self._proxy, self._until = proxy, until

    def connect(self) -> None:
        left = max(self._until - time.monotonic(), 0.001)
        if self._proxy.socket is None:
            self.sock = socket.create_connection((self._proxy.host, self._proxy.port), left)
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(left)
        self.sock.connect(str(self._proxy.socket))


class _Tunnelled(_Plain):
    """A connection through a tunnel of the proxy's, with TLS to its end."""

    def __init__(self, proxy: Proxy, host: str, port: int, until: float) -> None:
        super().__init__(proxy, until)
        self._target_host, self._target_port = host, port

    def connect(self) -> None:
        super().connect()
        authority = f"{self._target_host}:{self._target_port}"
        asked = (
            f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
            f"Proxy-Authorization: {self._proxy.authorization}\r\n\r\n"
        )
        self.sock.sendall(asked.encode("ascii"))
        answer = http.client.HTTPResponse(self.sock, method="CONNECT")
        answer.begin()
        refused = answer.status in _REFUSED
        if answer.status != 200:
            why = _refusal_of(answer) or f"the proxy answers {answer.status}"
            raise _NoPageError(f"{self._target_host} cannot be reached: {why}", refused=refused)
        answer.close()
        self.sock = self._proxy.trust.wrap_socket(self.sock, server_hostname=self._target_host)
        self.host, self.port = self._target_host, self._target_port
