"""The vendors' APIs whose calls are measured, in one table: which requests they are, where an answer tells its usage, and
how each vendor says that there is no money left. Pure.

Shapes are those of the vendors' public references: Anthropic Messages, OpenAI Responses and Chat Completions, and
Google's generateContent. To measure another API is to add a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote

from axiom.egress.scanning import ANY, tree_of

Counts = Mapping[str, int]
"""Numbers of an answer by their short names."""


class Tokens(NamedTuple):
    """What one answer used. The four kinds have different prices, and no token is in two of them."""

    input: int = 0
    """Neither read from the vendor's cache nor written to it."""
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    """With what the model only thought."""


@dataclass(frozen=True)
class ModelApi:
    """One row."""

    name: str
    calls: re.Pattern[str]
    """Ends of paths that are calls of a model, with POST."""
    counts: Mapping[str, str]
    """Place in the answer → short name. Of a number that is told again the last counts."""
    models: tuple[str, ...]
    """Places of the model's name."""
    finals: tuple[str, ...]
    """Places that are only in the JSON text with which the numbers are whole."""
    failures: tuple[str, ...]
    """Places where the vendor tells that it could not go on."""
    tokens: Callable[[Counts], Tokens]
    no_money: Callable[[str], dict[str, Any]]
    """Message → the body by which the vendor says that an account is empty."""
    no_money_status: int
    """Its HTTP status: one after which the vendor's own agent does not try again."""
    free: re.Pattern[str] = re.compile("(?!)")
    """Ends of paths that cost nothing, with POST."""

    @property
    def wanted(self) -> dict[str, Any]:
        """Everything that is looked for, as a tree."""
        return tree_of((*self.counts, *self.models, *self.finals, *self.failures))


def _both(prefix: str, names: Mapping[str, str]) -> dict[str, str]:
    """The same places at the root (a whole answer) and below `prefix` (an event of a stream)."""
    return {**names, **{f"{prefix}.{place}": name for place, name in names.items()}}


def _with_cache_beside(counts: Counts) -> Tokens:
    return Tokens(*(counts.get(name, 0) for name in ("input", "cached", "written", "output")))


def _with_cache_inside(counts: Counts) -> Tokens:
    """The vendor counts cached tokens among the input, and thoughts among the output."""
    cached, written = counts.get("cached", 0), counts.get("written", 0)
    return Tokens(max(counts.get("input", 0) - cached - written, 0), cached, written, counts.get("output", 0))


def _with_thoughts_beside(counts: Counts) -> Tokens:
    cached = counts.get("cached", 0)
    plain = max(counts.get("input", 0) - cached, 0) + counts.get("tools", 0)
    return Tokens(plain, cached, 0, counts.get("output", 0) + counts.get("thoughts", 0))


def _anthropic_error(message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "billing_error", "message": message}}


def _openai_error(message: str) -> dict[str, Any]:
    kind = "insufficient_quota"
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def _google_error(message: str) -> dict[str, Any]:
    return {"error": {"code": 402, "message": message, "status": "RESOURCE_EXHAUSTED"}}


_ANTHROPIC_COUNTS = {
    "usage.input_tokens": "input",
    "usage.cache_read_input_tokens": "cached",
    "usage.cache_creation_input_tokens": "written",
    "usage.output_tokens": "output",
}
_RESPONSES_COUNTS = {
    "usage.input_tokens": "input",
    "usage.input_tokens_details.cached_tokens": "cached",
    "usage.input_tokens_details.cache_write_tokens": "written",
    "usage.output_tokens": "output",
}
_CHAT_COUNTS = {
    "usage.prompt_tokens": "input",
    "usage.prompt_tokens_details.cached_tokens": "cached",
    "usage.prompt_tokens_details.cache_write_tokens": "written",
    "usage.completion_tokens": "output",
}
_GEMINI_COUNTS = {
    "usageMetadata.promptTokenCount": "input",
    "usageMetadata.cachedContentTokenCount": "cached",
    "usageMetadata.toolUsePromptTokenCount": "tools",
    "usageMetadata.candidatesTokenCount": "output",
    "usageMetadata.thoughtsTokenCount": "thoughts",
}

MODEL_APIS = (
    ModelApi(
        name="Anthropic Messages",
        calls=re.compile(r"/messages$"),
        free=re.compile(r"/messages/count_tokens$"),
        counts=_both("message", _ANTHROPIC_COUNTS),  # message_start tells the input, message_delta the output
        models=("model", "message.model"),
        finals=("usage.output_tokens",),
        failures=("error.type",),
        tokens=_with_cache_beside,
        no_money=_anthropic_error,
        no_money_status=402,
    ),
    ModelApi(
        name="OpenAI Responses",
        calls=re.compile(r"/responses(/compact)?$"),
        free=re.compile(r"/responses/input_tokens$|/responses/[^/]+/cancel$"),
        counts=_both("response", _RESPONSES_COUNTS),
        models=("model", "response.model"),
        finals=("usage.output_tokens", "response.usage.output_tokens"),
        failures=("error.message", "error.code", "response.error.message", "response.error.code"),
        tokens=_with_cache_inside,
        no_money=_openai_error,
        no_money_status=429,  # Codex tries again after 402, and with this code it does not after 429
    ),
    ModelApi(
        name="OpenAI Chat Completions",
        calls=re.compile(r"/(chat/completions|completions|embeddings)$"),
        counts=_CHAT_COUNTS,
        models=("model",),
        finals=("usage.prompt_tokens",),
        failures=("error.message", "error.code"),
        tokens=_with_cache_inside,
        no_money=_openai_error,
        no_money_status=429,  # Codex tries again after 402, and with this code it does not after 429
    ),
    ModelApi(
        name="Google generateContent",
        calls=re.compile(r":(generateContent|streamGenerateContent)$"),
        free=re.compile(r":countTokens$"),
        counts=_both(ANY, _GEMINI_COUNTS),  # without alt=sse a stream is one array
        models=("modelVersion", f"{ANY}.modelVersion"),
        finals=("candidates.*.finishReason", f"{ANY}.candidates.*.finishReason"),
        failures=("error.message", f"{ANY}.error.message"),
        tokens=_with_thoughts_beside,
        no_money=_google_error,
        no_money_status=402,
    ),
)

_HARMLESS_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
_PLAIN_PARAMETERS: Mapping[str, re.Pattern[str]] = {
    "alt": re.compile("sse|json"), "api-version": re.compile(".*"), "beta": re.compile(".*"), "prettyprint": re.compile(".*"),
    "quotauser": re.compile(".*"), "stream": re.compile(".*"),
}  # fmt: skip
"""Parameters, and their values, with which a call stays one, and its answer tells its usage."""


class Kind(Enum):
    """What a request is to an account."""

    CALL = auto()
    """A model's work: its answer is measured."""
    FREE = auto()
    """Costs nothing."""
    UNKNOWN = auto()
    """Nobody knows what it costs: batches, images, whatever a vendor adds."""


class Request(NamedTuple):
    """A request as the table sees it."""

    kind: Kind
    api: ModelApi | None = None
    is_plain: bool = True
    """False: a parameter may leave the usage out of the answer, or make another request of it (Google's `fields`, `$req`)."""


def classify(method: str, path: str, parameters: Mapping[str, str] = MappingProxyType({})) -> Request:
    """A request by its method, its path (percent-encoded, without query), and its query's parameters."""
    path = unquote(path)
    called = next((api for api in MODEL_APIS if api.calls.search(path)), None)
    if method == "POST" and called:
        return Request(Kind.CALL, called, _are_plain(parameters))
    if method in _HARMLESS_METHODS:
        # by Google's $httpMethod a GET may be a call
        return Request(Kind.UNKNOWN if called and parameters else Kind.FREE)
    free = next((api for api in MODEL_APIS if api.free.search(path)), None)
    return Request(Kind.FREE, free) if method == "POST" and free else Request(Kind.UNKNOWN)


def _are_plain(parameters: Mapping[str, str]) -> bool:
    return all(
        name in _PLAIN_PARAMETERS and _PLAIN_PARAMETERS[name].fullmatch(value)
        for name, value in parameters.items()
    )
