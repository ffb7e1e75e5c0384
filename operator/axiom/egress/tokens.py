"""An attempt's token: what an agent holds in place of an API key. Stateless, pure.

`axm1.<base64url of a JSON array>.<base64url of its HMAC-SHA256>`, both without padding: letters, digits, `-`, `_` and
`.`, as in an API key. The MAC covers the text before the last dot, so there is one spelling of each token. Whether the
attempt still runs is not in the token: `axiom.egress.directory` says so.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple, get_type_hints

from axiom.egress.errors import TokenError, TokenFault
from axiom_sandbox.protocol.identity import Identity

PREFIX = "axm1."
MAX_TOKEN_LENGTH = 511
"""Characters of the longest token."""
MIN_KEY_LENGTH = 32
"""Bytes of the shortest key that signs tokens."""
NO_BUDGET = -1
_SHOWN_TASK_LENGTH = 63


class Purpose(StrEnum):
    """What an errand of a verifier is for: a token for it opens nothing else."""

    JUDGES = "judges"
    """The routes of the class's judges."""
    PAGES = "pages"
    """The class's destinations."""


def on_errand(agent_class: str, purpose: Purpose) -> str:
    """The `agent_class` of a grant that is no agent's, but the control plane's own, for one purpose."""
    return f"{agent_class}/{purpose.value}"


def errand_of(agent_class: str) -> tuple[str, Purpose | None]:
    """AgentClass and purpose of a grant; None: it is an agent's. No AgentClass has a slash in its name."""
    name, slash, purpose = agent_class.partition("/")
    return name, Purpose(purpose) if slash and purpose in set(Purpose) else None


class Grant(NamedTuple):
    """What a token allows: one attempt's requests to the routes of its class, from one address, for a time."""

    task_id: str
    """UID of the AgentTask."""
    namespace: str
    task: str
    """Name of the AgentTask, for people: only the first 63 characters travel in a token."""
    attempt: int
    agent_class: str
    """Name of the AgentClass: whose routes are open."""
    address: str
    """IP address that requests must come from; "" is any."""
    expires: int
    """Seconds since the epoch; from then on the token does not count."""
    budget: int = NO_BUDGET
    """Micro-dollars that the whole task may spend, as it was when the token was made."""

    @property
    def attempt_id(self) -> str:
        """`<task uid>/<attempt>`."""
        return f"{self.task_id}/{self.attempt}"


_FIELDS = get_type_hints(Grant)
_ERRAND_SECONDS = 900


def errand_grant(identity: Identity, agent_class: str, purpose: Purpose, now: float) -> Grant:
    """For errands of a verifier of a task of this class: for some minutes, on nobody's budget. `now`: seconds since the epoch."""
    return Grant(
        task_id=identity.task_id,
        namespace=identity.namespace,
        task=identity.task,
        attempt=identity.attempt,
        agent_class=on_errand(agent_class, purpose),
        address="",
        expires=int(now) + _ERRAND_SECONDS,
    )


def mint(key: bytes, grant: Grant) -> str:
    """A token for the grant.

    Raises:
        TokenError: TOO_LONG when class and namespace names leave no room.
        ValueError: the key has fewer than 32 bytes.
    """
    _check_key(key)
    fields = grant._replace(task=grant.task[:_SHOWN_TASK_LENGTH])
    # without a budget as tokens were before there were any: a proxy of the last release reads them
    written = fields[:-1] if grant.budget == NO_BUDGET else fields
    payload = json.dumps(written, ensure_ascii=True, separators=(",", ":"))
    signed = PREFIX + _encode(payload.encode("ascii"))
    token = f"{signed}.{_mac(key, signed)}"
    if len(token) > MAX_TOKEN_LENGTH:
        raise TokenError(
            TokenFault.TOO_LONG,
            f"a token for AgentClass {grant.agent_class!r} would have {len(token)} characters, and"
            f" {MAX_TOKEN_LENGTH} are the most; give the AgentClass a shorter name",
        )
    return token


def read(keys: Sequence[bytes], token: str, now: float) -> Grant:
    """The grant of a token that one of the keys made. `now` is in seconds since the epoch.

    Raises:
        TokenError: MALFORMED, FORGED or EXPIRED. The message never repeats the token.
    """
    if not token.startswith(PREFIX) or not token.isascii() or len(token) > MAX_TOKEN_LENGTH:
        raise TokenError(TokenFault.MALFORMED, "this is not a token of an Axiom attempt")
    signed, _, mac = token.rpartition(".")
    if not _is_signed(keys, signed, mac):
        raise TokenError(TokenFault.FORGED, "no current key made this token")
    grant = _parse(signed.removeprefix(PREFIX))
    if now >= grant.expires:
        raise TokenError(TokenFault.EXPIRED, "this token has expired")
    return grant


def _is_signed(keys: Sequence[bytes], signed: str, mac: str) -> bool:
    # every key is tried, so that the time taken tells nothing
    matches = [hmac.compare_digest(_mac(key, signed), mac) for key in keys]
    return any(matches)


def _parse(text: str) -> Grant:
    try:
        fields = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return _grant(fields)
    except (binascii.Error, UnicodeDecodeError, ValueError, TypeError) as error:
        raise TokenError(TokenFault.MALFORMED, "this token holds no grant that is understood") from error


def _grant(fields: Any) -> Grant:
    grant = Grant(*fields)
    for name, value in grant._asdict().items():
        if type(value) is not _FIELDS[name]:
            raise TypeError(f"{name} is a {type(value).__name__}")
    return grant


def _mac(key: bytes, signed: str) -> str:
    return _encode(hmac.new(key, signed.encode("ascii"), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _check_key(key: bytes) -> None:
    if len(key) < MIN_KEY_LENGTH:
        raise ValueError(
            f"a key for tokens needs at least {MIN_KEY_LENGTH} bytes, and this one has {len(key)}"
        )
