"""The most that a call of a model can cost, told from its question alone. Pure.

A vendor bounds an answer by what its question says (`max_tokens` and its like), and no text has more tokens than bytes. What
cannot be told from a question has no bound: where it refers to what lies at the vendor or elsewhere (files, earlier
answers), lets the vendor's own tools work, says something twice, or is not plain JSON. Agents are not believed: what is not
understood has no bound either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from axiom.egress.pricing import Tariff, tariff_of

MOST_OUTPUT_TOKENS = 131_072
"""Of an answer whose question sets no limit: models give less."""
ADDED_TOKENS = 8_192
"""What a vendor may put beside a question: how its tools are used, the least of a picture."""
TOKENS_PER_SECOND = 100
"""That a model writes while nobody hears of it: rather more than most do."""
_MOST_OBJECTS = 50_000
"""Of those that may tell something; a question with more of them is not looked through."""

_LIMITS = frozenset({"max_tokens", "max_output_tokens", "max_completion_tokens", "maxOutputTokens"})
_COPIES = frozenset({"n", "best_of", "candidateCount", "candidate_count"})
_CONFIGS = frozenset({"generationConfig", "generation_config"})
_FILES = frozenset({"file_id", "fileId", "file_url", "file_uri", "fileUri", "image_url"})
"""Keys that refer to a file wherever they stand, unless their text is the file."""
_REFERENCES = frozenset({
    "previous_response_id", "conversation", "prompt", "cachedContent", "cached_content", "container", "mcp_servers",
    "web_search_options",
})  # fmt: skip
"""Keys of a question itself; a `prompt` is none where it is the text."""
_TYPES = frozenset({"url", "item_reference"})
"""An object's type that says that it is elsewhere."""
_AGENTS_TOOLS = re.compile(r"function|custom|local_shell|(bash|text_editor|memory|computer)_\d+")
"""Kinds of tools that the agent runs, and no vendor; one without a kind is the agent's, too."""
_DECLARATIONS = frozenset({"functionDeclarations", "function_declarations"})
"""Google's tools have no kind: what else such an object holds is the vendor's."""
_TELLING = (
    _LIMITS
    | _COPIES
    | _CONFIGS
    | _FILES
    | _REFERENCES
    | _DECLARATIONS
    | {"execution", "model", "name", "stream", "tools", "type", "url"}
)
_OTHER = "other"
"""Stands for all keys that tell nothing."""
_NOTHING: Mapping[str, Any] = {}
_ONLY_OTHERS: Mapping[str, Any] = {_OTHER: True}

_STREAMS = ":streamGenerateContent"
_MODEL_IN_PATH = re.compile(r"/models/([^/:]+):[^/]*$")


class Bound(NamedTuple):
    """What a call can be at most; None: nobody can say."""

    output: int | None
    """Tokens of its answer."""
    cost: int | None
    """Micro-dollars."""
    is_streamed: bool = False
    """The answer comes as it is written: as long as nothing came, nothing was."""

    def unheard(self, seconds: float) -> int:
        """Tokens that may have been written in this time, of an answer of which nothing came."""
        if self.is_streamed:
            return 0
        return min(
            int(seconds * TOKENS_PER_SECOND), MOST_OUTPUT_TOKENS if self.output is None else self.output
        )


UNBOUNDED = Bound(None, None)
UNREAD = Bound(None, None, is_streamed=True)
"""Of a question that nobody looked at, as there is no budget: what was not heard of its answer is not estimated."""


def bound_of(path: str, body: bytes, tariffs: Sequence[Tariff]) -> Bound:
    """Of a question to the model that it, or its path, names. `body` is whole and not compressed."""
    reader = _Reader()
    try:
        question = json.loads(body.decode("utf-8"), object_pairs_hook=reader.take)
    except (ValueError, RecursionError):
        return UNBOUNDED
    if not isinstance(question, dict) or reader.is_unclear:
        return UNBOUNDED
    is_streamed = question.get("stream") is True or unquote(path).endswith(_STREAMS)
    if _refers(question):
        return Bound(None, None, is_streamed)
    output = _most_output(question)
    found = _MODEL_IN_PATH.search(unquote(path))
    model = found[1] if found else question.get("model")
    tariff = tariff_of(tariffs, model) if isinstance(model, str) else None
    if output is None or tariff is None:
        return Bound(output, None, is_streamed)
    return Bound(output, tariff.most(len(body) + ADDED_TOKENS, output), is_streamed)


class _Reader:
    """Keeps of each object only what may tell something, so that a long text takes little memory."""

    def __init__(self) -> None:
        self.is_unclear = False
        self._kept = 0

    def take(self, pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
        """One object; those in it were taken before."""
        kept = {key: value for key, value in pairs if key in _TELLING}
        if not kept:
            return _ONLY_OTHERS if pairs else _NOTHING
        self._kept += 1
        if self._kept > _MOST_OBJECTS:
            raise ValueError("too many objects")
        telling = sum(key in _TELLING for key, _ in pairs)
        if telling < len(pairs):
            kept[_OTHER] = True
        kind = kept.get("type")
        self.is_unclear |= (
            telling > len(kept) - (_OTHER in kept)  # a key that came twice
            or any(_is_elsewhere(kept[key]) for key in _FILES & kept.keys())
            or (isinstance(kind, str) and kind in _TYPES)
        )
        return kept


def _is_elsewhere(value: Any) -> bool:
    text = value.get("url") if isinstance(value, dict) else value
    return isinstance(text, str) and not text.startswith("data:")


def _refers(question: Mapping[str, Any]) -> bool:
    references = {key: question[key] for key in _REFERENCES & question.keys()}
    if isinstance(references.get("prompt"), str):
        del references["prompt"]
    tools = question.get("tools")
    return any(references.values()) or (bool(tools) and not _are_agents(tools))


def _are_agents(tools: Any) -> bool:
    return isinstance(tools, list) and all(
        isinstance(tool, dict) and (_is_agents(tool) or tool.keys() <= _DECLARATIONS) for tool in tools
    )


def _is_agents(tool: Mapping[str, Any]) -> bool:
    kind = tool.get("type")
    if kind is None:
        return "name" in tool
    if tool.get("execution") == "client":
        return True
    return isinstance(kind, str) and _AGENTS_TOOLS.fullmatch(kind) is not None


def _most_output(question: Mapping[str, Any]) -> int | None:
    """Tokens of all answers that are asked for together."""
    places = [question, *(question[key] for key in _CONFIGS & question.keys())]
    said = [place for place in places if isinstance(place, dict)]
    limits = [
        _number(place[key]) for place in said for key in _LIMITS & place.keys() if place[key] is not None
    ]
    copies = [
        _number(place[key]) for place in said for key in _COPIES & place.keys() if place[key] is not None
    ]
    numbers = [*limits, *copies]
    if any(number is None for number in numbers):
        return None
    most = max((number for number in limits if number is not None), default=MOST_OUTPUT_TOKENS)
    return most * max((number for number in copies if number is not None), default=1)


def _number(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        return None
    return value
