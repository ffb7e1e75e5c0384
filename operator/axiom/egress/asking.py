"""How the operator asks a process of the proxy for usage: one HTTP request, proved by the keys that also make tokens.

`POST /v1/usage` on the port of /metrics. Whoever has no key can neither read accounts nor tell budgets; an old request
cannot be sent again, nor one that was changed. What is asked and answered names tasks and numbers only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence

import aiohttp
from aiohttp import web
from pydantic import ValidationError

from axiom.egress.accounting import Accounts, Answer, Question

PATH = "/v1/usage"
PREFIX = "axu1"
_SECONDS = 30
"""How long a request counts, and how far two clocks may be apart."""
LARGEST_QUESTION = 16 * 1024**2
"""Bytes: room for a hundred thousand tasks that run."""


def proof_of(key: bytes, body: bytes, now: float) -> str:
    """`axu1.<seconds since the epoch>.<HMAC-SHA256 of both, base64url>`."""
    stamp = f"{PREFIX}.{int(now)}"
    return f"{stamp}.{_mac(key, stamp, body)}"


def is_proved(keys: Sequence[bytes], proof: str, body: bytes, now: float) -> bool:
    """Whether one of the keys made this proof for this body, just now."""
    stamp, _, mac = proof.rpartition(".")
    prefix, _, seconds = stamp.partition(".")
    if prefix != PREFIX or not proof.isascii() or not seconds.isdecimal() or len(seconds) > 12:
        return False
    # every key is tried, so that the time taken tells nothing
    matches = [hmac.compare_digest(_mac(key, stamp, body), mac) for key in keys]
    return any(matches) and abs(now - int(seconds)) <= _SECONDS


def add_route(
    app: web.Application, accounts: Accounts, keys: Callable[[], Sequence[bytes]], clock: Callable[[], float]
) -> None:
    """Lets an application answer."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        scheme, _, proof = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not is_proved(keys(), proof, body, clock()):
            return web.json_response({"error": "no current key of tokens proves this request"}, status=401)
        try:
            question = Question.model_validate_json(body)
        except ValidationError:
            return web.json_response({"error": "this is not a question that is understood"}, status=400)
        found = accounts.answer(question, clock())
        return web.Response(text=found.model_dump_json(), content_type="application/json")

    app.router.add_post(PATH, answer)


async def ask(
    session: aiohttp.ClientSession, base: str, key: bytes, question: Question, now: float
) -> Answer:
    """Asks the process at `base` (`http://host:port`). Raises aiohttp.ClientError, OSError, TimeoutError, ValueError."""
    body = question.model_dump_json().encode()
    headers = {"Authorization": f"Bearer {proof_of(key, body, now)}"}
    async with session.post(f"{base}{PATH}", data=body, headers=headers) as response:
        response.raise_for_status()
        return Answer.model_validate_json(await response.read())


def _mac(key: bytes, stamp: str, body: bytes) -> str:
    text = f"{stamp}.{hashlib.sha256(body).hexdigest()}".encode("ascii")
    return base64.urlsafe_b64encode(hmac.new(key, text, hashlib.sha256).digest()).rstrip(b"=").decode("ascii")
