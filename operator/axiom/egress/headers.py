"""Which headers pass, in either direction. Pure.

What an agent says about who it is, or where it comes from, never reaches a vendor: its own credentials would let it
carry data into an account of its own, and the name of a project would have another one pay. Nor does what would have the
vendor read another method or path than were judged. What a vendor says about the credential never reaches an agent. Names are compared as servers do that take `_` for `-`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

from multidict import CIMultiDict, CIMultiDictProxy

from axiom.api.agentclass import Route

Headers = CIMultiDict[str] | CIMultiDictProxy[str]

TOKEN_HEADERS = ("Authorization", "x-api-key", "x-goog-api-key")
"""Where a token may stand, in the order of looking."""

_HOP_BY_HOP = frozenset({
    "connection", "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_CREDENTIALS = frozenset({
    "api-key", "authorization", "cookie", "cookie2", "proxy-authorization", "set-cookie", "set-cookie2",
    "x-amz-security-token", "x-api-key", "x-goog-api-key",
})  # fmt: skip
_REQUEST_ONLY = frozenset({
    "accept-encoding", "client-ip", "content-length", "expect", "forwarded", "host", "true-client-ip", "via", "x-host",
    "x-http-method", "x-http-method-override", "x-method-override",
})  # fmt: skip
_OF_REQUESTS = re.compile(
    r"x-(?:forwarded|original|real|rewrite)-.*"  # another origin, or another target
    r"|(?:.*-)?(?:auth|authentication|authorization|token|api-?key|auth-key|subscription-key|secret|password)"
)
_PAYERS = frozenset({
    "anthropic-organization-id", "anthropic-workspace-id", "chatgpt-account-id", "openai-organization", "openai-project",
    "x-goog-quota-user", "x-goog-user-project",
})  # fmt: skip
"""Say which of those that a key is valid for pays, or whose quota a call counts against."""
_OF_PAYERS = re.compile(
    r"(?:.*-)?(?:account|billing|org|organi[sz]ation|project|subscription|tenant|workspace)(?:-?(?:id|name))?"
)
"""The same, in the words of any vendor of models; other services may call what they hold so."""
_RESPONSE_ONLY = frozenset({"alt-svc", "content-encoding"})
_OF_MEASURED = frozenset({"x-goog-fieldmask"})
"""Leaves numbers out of an answer that is measured."""
DECODED = frozenset({"", "deflate", "gzip", "identity"})
"""Encodings of an answer that it is decoded from before it is handed on."""


def find_token(headers: Headers) -> str | None:
    """The token that a request carries, or None. A header of TOKEN_HEADERS that comes twice carries none."""
    for name in TOKEN_HEADERS:
        values = headers.getall(name, [])
        if len(values) != 1:
            continue
        scheme, _, value = values[0].partition(" ")
        if name != "Authorization":
            return values[0].strip()
        if scheme.lower() == "bearer":
            return value.strip()
    return None


def find_proxy_token(headers: Headers) -> str | None:
    """The token of a request to a forward proxy: the password of Basic, or of Bearer; None where there is none."""
    values = headers.getall("Proxy-Authorization", [])
    if len(values) != 1:
        return None
    scheme, _, value = values[0].partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic":
            try:
                _, colon, password = (
                    base64.b64decode(value.strip(), validate=True).decode("ascii").partition(":")
                )
            except ValueError:
                return None
            return password if colon else None
        case _:
            return None


def to_upstream(headers: Headers, route: Route, token: str, key: str) -> CIMultiDict[str]:
    """Headers of the request to the vendor: the agent's, without credentials of any kind or who pays, with the real key.

    The answer is asked for without compression, so that it can be searched for the key as it streams.
    """
    dropped = (
        _HOP_BY_HOP
        | _CREDENTIALS
        | _REQUEST_ONLY
        | _PAYERS
        | _named_by_connection(headers)
        | {_plain(route.header)}
    )
    forms = [_OF_REQUESTS]
    if route.metered:
        dropped |= _OF_MEASURED
        forms.append(_OF_PAYERS)
    given = CIMultiDict(
        pair for pair in headers.items() if not any(form.fullmatch(_plain(pair[0])) for form in forms)
    )
    passed = _passing(given, dropped, [token, key])
    _keep_length(headers, passed)
    passed["Accept-Encoding"] = "identity"
    if key:
        passed[route.header] = route.format.replace("{}", key)
    return passed


def to_client(headers: Headers, route: Route, token: str, key: str) -> CIMultiDict[str]:
    """Headers of the answer to the agent: the vendor's, without cookies, credentials, and anything with the key.

    `Content-Length` is left out when the vendor compressed the answer nevertheless, because it is handed on plain.
    """
    dropped = (
        _HOP_BY_HOP | _CREDENTIALS | _RESPONSE_ONLY | _named_by_connection(headers) | {_plain(route.header)}
    )
    passed = _passing(headers, dropped, [token, key])
    if is_compressed(headers):
        passed.popall("Content-Length", None)
    return passed


def is_compressed(headers: Headers) -> bool:
    """Whether the body is encoded in any way."""
    return encoding_of(headers) not in {"", "identity"}


def is_framed_oddly(headers: Headers) -> bool:
    """Whether two readers could find the body's end in two places, or one finds it within an encoding that nobody reads here."""
    codings = headers.getall("Transfer-Encoding", [])
    return bool(codings) and (
        [one.strip().lower() for one in codings] != ["chunked"] or "Content-Length" in headers
    )


def encoding_of(headers: Headers) -> str:
    """How the body is encoded, in small letters; several encodings together are one text."""
    return ", ".join(headers.getall("Content-Encoding", [])).strip().lower()


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _named_by_connection(headers: Headers) -> frozenset[str]:
    values = ",".join(headers.getall("Connection", []))
    return frozenset(_plain(name.strip()) for name in values.split(",") if name.strip())


def _passing(headers: Headers, dropped: frozenset[str], secrets: Iterable[str]) -> CIMultiDict[str]:
    secrets = [secret for secret in secrets if secret]
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if _plain(name) not in dropped
        and value.replace("\t", " ").isprintable()  # some servers end a line at other characters than we do
        and not any(secret in value or secret in name for secret in secrets)
    )


def _keep_length(headers: Headers, passed: CIMultiDict[str]) -> None:
    # in one spelling; `Connection: content-length` must not turn a body of known length into one without end
    if "Content-Length" in headers:
        passed["Content-Length"] = str(int(headers["Content-Length"]))
