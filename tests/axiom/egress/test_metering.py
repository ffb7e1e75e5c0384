"""What an answer used, read from real shapes of all vendors, in pieces of any length."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.egress.metering import Certainty, Meter, Reading
from axiom.egress.model_apis import Kind, Tokens, classify
from axiom.egress.scanning import JsonScanner, Scalar, tree_of

SSE, JSON = "text/event-stream; charset=utf-8", "application/json"


def events(*bodies: Any) -> bytes:
    return b"".join(
        b"event: x\ndata: " + (b"[DONE]" if body == "[DONE]" else json.dumps(body).encode()) + b"\n\n"
        for body in bodies
    )


def meter(path: str, content_type: str) -> Meter:
    api = classify("POST", path).api
    assert api is not None
    return Meter(api, content_type)


def read(path: str, content_type: str, body: bytes, cuts: tuple[int, ...] = (), **end: Any) -> Reading:
    measured = meter(path, content_type)
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for begin, stop in pairwise(places):
        measured.feed(body[begin:stop])
    return measured.read(**{"is_whole": True, "up": 0, "down": 0, **end})


ANTHROPIC = {
    "input_tokens": 25,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 4000,
    "output_tokens": 1,
    "cache_creation": {"ephemeral_5m_input_tokens": 300},
    "service_tier": "standard",
}
ANTHROPIC_STREAM = events(
    {
        "type": "message_start",
        "message": {"id": "m", "model": "claude-sonnet-4-5", "content": [], "usage": ANTHROPIC},
    },
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": 'a "usage": {"input_tokens": 9}'},
    },
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": 25, "output_tokens": 503},
    },
    {"type": "message_stop"},
)
ANTHROPIC_WHOLE = json.dumps(
    {
        "type": "message",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "usage", "usage": {"output_tokens": 7}}],
        "usage": {**ANTHROPIC, "output_tokens": 503},
    }
).encode()

RESPONSE_USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100},
    "output_tokens": 70,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 1070,
}
RESPONSE = {
    "id": "r",
    "error": None,
    "instructions": "i" * 5000,
    "model": "gpt-5.5",
    "output": [{"content": [{"text": '\\"{['}]}],
    "usage": RESPONSE_USAGE,
}
RESPONSES_STREAM = events(
    {"type": "response.created", "response": {**RESPONSE, "usage": None}},
    {"type": "response.output_text.delta", "delta": "an error of usage"},
    {"type": "response.completed", "response": RESPONSE},
)

CHAT_USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 70,
    "prompt_tokens_details": {"cached_tokens": 700},
    "completion_tokens_details": {"reasoning_tokens": 64},
}
CHAT_STREAM = events(
    {"model": "gpt-5.5", "choices": [{"delta": {"content": "hi"}}], "usage": None},
    {"model": "gpt-5.5", "choices": [], "usage": CHAT_USAGE},
    "[DONE]",
)

GEMINI_PARTS: list[Any] = [
    {
        "candidates": [{"content": {"parts": [{"text": "h"}]}}],
        "modelVersion": "gemini-2.5-flash",
        "usageMetadata": {"promptTokenCount": 900, "totalTokenCount": 900},
    },
    {
        "candidates": [{"content": {"parts": [{"text": "i"}]}, "finishReason": "STOP"}],
        "modelVersion": "gemini-2.5-flash",
        "usageMetadata": {
            "promptTokenCount": 900,
            "cachedContentTokenCount": 500,
            "toolUsePromptTokenCount": 10,
            "candidatesTokenCount": 40,
            "thoughtsTokenCount": 60,
        },
    },
]
GEMINI = "/v1beta/models/gemini-2.5-flash"

ANSWERS = [
    ("/v1/messages", SSE, ANTHROPIC_STREAM, Tokens(25, 4000, 300, 503), "claude-sonnet-4-5"),
    ("/v1/messages", JSON, ANTHROPIC_WHOLE, Tokens(25, 4000, 300, 503), "claude-sonnet-4-5"),
    ("/v1/responses", SSE, RESPONSES_STREAM, Tokens(300, 600, 100, 70), "gpt-5.5"),
    ("/v1/responses", JSON, json.dumps(RESPONSE, indent=1).encode(), Tokens(300, 600, 100, 70), "gpt-5.5"),
    ("/v1/responses/compact", JSON, json.dumps(RESPONSE).encode(), Tokens(300, 600, 100, 70), "gpt-5.5"),
    ("/v1/chat/completions", SSE, CHAT_STREAM, Tokens(300, 700, 0, 70), "gpt-5.5"),
    (
        "/v1/chat/completions",
        JSON,
        json.dumps({"model": "gpt-5.5", "usage": CHAT_USAGE}).encode(),
        Tokens(300, 700, 0, 70),
        "gpt-5.5",
    ),
    (
        "/v1/embeddings",
        JSON,
        json.dumps({"model": "e", "usage": {"prompt_tokens": 8, "total_tokens": 8}}).encode(),
        Tokens(8),
        "e",
    ),
    (
        f"{GEMINI}:streamGenerateContent",
        SSE,
        events(*GEMINI_PARTS),
        Tokens(410, 500, 0, 100),
        "gemini-2.5-flash",
    ),
    (
        f"{GEMINI}%3AstreamGenerateContent",
        JSON,
        json.dumps(GEMINI_PARTS).encode(),
        Tokens(410, 500, 0, 100),
        "gemini-2.5-flash",
    ),
    (
        f"{GEMINI}:generateContent",
        JSON,
        json.dumps(GEMINI_PARTS[1]).encode(),
        Tokens(410, 500, 0, 100),
        "gemini-2.5-flash",
    ),
]
NAMES = [f"{path.rpartition('/')[2]} {content_type}" for path, content_type, *_ in ANSWERS]


@pytest.mark.parametrize(("path", "content_type", "body", "tokens", "model"), ANSWERS, ids=NAMES)
def test_each_vendors_answers_are_read(
    path: str, content_type: str, body: bytes, tokens: Tokens, model: str
) -> None:
    assert read(path, content_type, body) == Reading(Certainty.TOLD, tokens, model)


@pytest.mark.parametrize(("path", "content_type", "body", "tokens", "model"), ANSWERS, ids=NAMES)
def test_byte_by_byte_is_the_same(
    path: str, content_type: str, body: bytes, tokens: Tokens, model: str
) -> None:
    assert read(path, content_type, body, tuple(range(len(body)))).tokens == tokens


@given(st.sampled_from(ANSWERS), st.lists(st.integers(min_value=0, max_value=10_000)))
def test_any_split_of_the_bytes_is_the_same(answer: Any, cuts: list[int]) -> None:
    path, content_type, body, tokens, model = answer
    assert read(path, content_type, body, tuple(cuts)) == Reading(Certainty.TOLD, tokens, model)


@given(st.sampled_from(ANSWERS), st.integers(min_value=0, max_value=10_000), st.lists(st.integers(0, 10_000)))
def test_any_split_of_an_answer_that_breaks_off_is_the_same(answer: Any, end: int, cuts: list[int]) -> None:
    path, content_type, body, *_ = answer
    body = body[: end % (len(body) + 1)]
    whole = read(path, content_type, body, is_whole=False, up=400, down=len(body))
    assert read(path, content_type, body, tuple(cuts), is_whole=False, up=400, down=len(body)) == whole
    assert whole.certainty in {Certainty.TOLD, Certainty.ESTIMATED}
    assert sum(whole.tokens) > 0


@given(
    st.sampled_from(["/v1/messages", "/v1/responses", f"{GEMINI}:generateContent"]),
    st.binary(),
    st.booleans(),
)
def test_rubbish_is_no_error(path: str, body: bytes, is_stream: bool) -> None:
    meter(path, SSE if is_stream else JSON).feed(body + b"\n" + body)


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("ab") | st.text(), inner),
    max_leaves=20,
)


def found_in(value: Any, place: str) -> list[Scalar]:
    """The values at a place, by the standard library's reading."""
    values = [value]
    for name in place.split("."):
        below: list[Any] = []
        for item in values:
            if name == "*" and isinstance(item, list):
                below += item
            elif isinstance(item, dict) and name in item and name != "*":
                below.append(item[name])
        values = below
    return [item for item in values if not isinstance(item, dict | list)]


@given(Json, st.lists(st.integers(0, 1000)), st.booleans(), st.sampled_from([None, 1]))
def test_the_scanner_finds_what_the_standard_library_does(
    value: Any, cuts: list[int], ascii_only: bool, indent: int | None
) -> None:
    places = ("a", "b.a", "*.a", "a.*.b", "*.*")
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", errors="surrogatepass")
    found: dict[str, list[Scalar]] = {place: [] for place in places}
    scanners = [
        JsonScanner(tree_of([place]), lambda place, item: found[place].append(item)) for place in places
    ]
    ends = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    for begin, end in pairwise(ends):
        for scanner in scanners:
            scanner.feed(text[begin:end])
    for place in places:
        wanted = [item for item in found_in(value, place) if not isinstance(item, str) or len(item) < 40]
        seen = [item for item in found[place] if not isinstance(item, str) or len(item) < 40]
        assert seen == wanted


def test_memory_does_not_grow_with_the_answer() -> None:
    found: list[Any] = []
    scanner = JsonScanner(tree_of(["usage"]), lambda place, value: found.append(value))
    scanner.feed(b'{"output": "')
    for _ in range(1000):
        scanner.feed(b"x" * 10_000)
    scanner.feed(b'", "deep": ' + b"[" * 100_000)
    held = [value for value in vars(scanner).values() if isinstance(value, bytes | bytearray | list)]
    assert sum(len(value) for value in held) < 100
    scanner.feed(b"]" * 100_000 + b', "usage": 1}')
    assert found == [1]


def test_a_stream_that_breaks_off_is_estimated_from_what_was_told_and_its_size() -> None:
    begun = ANTHROPIC_STREAM[: ANTHROPIC_STREAM.index(b'event: x\ndata: {"type": "message_delta"')]
    assert read("/v1/messages", SSE, begun, is_whole=False, up=8000, down=4001) == Reading(
        Certainty.ESTIMATED, Tokens(25, 4000, 300, 1001), "claude-sonnet-4-5"
    )
    started = RESPONSES_STREAM[: RESPONSES_STREAM.index(b"response.completed")]
    assert read("/v1/responses", SSE, started, is_whole=False, up=8001, down=400) == Reading(
        Certainty.ESTIMATED, Tokens(2001, 0, 0, 100), "gpt-5.5"
    )


def test_an_agent_that_hangs_up_after_the_usage_saves_nothing() -> None:
    end = ANTHROPIC_STREAM.index(b'event: x\ndata: {"type": "message_stop"')
    assert read("/v1/messages", SSE, ANTHROPIC_STREAM[:end], is_whole=False).certainty is Certainty.TOLD


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        ("/v1/chat/completions", SSE, events({"model": "m", "choices": []}, "[DONE]")),
        ("/v1/responses", JSON, b'{"model": "m", "status": "queued", "error": null, "usage": null}'),
        ("/v1/messages", JSON, b"<html>"),
        ("/v1/messages", SSE, b""),
    ],
)
def test_an_answer_in_order_that_tells_no_usage_is_told_apart(
    path: str, content_type: str, body: bytes
) -> None:
    assert read(path, content_type, body).certainty is Certainty.UNTOLD


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/responses",
            {
                "type": "response.failed",
                "response": {"model": "m", "error": {"code": "server_error"}, "usage": None},
            },
        ),
        ("/v1/messages", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        ("/v1/chat/completions", {"error": {"message": "no"}}),
        (f"{GEMINI}:streamGenerateContent", {"error": {"code": 503, "message": "no"}}),
    ],
)
def test_a_vendor_that_fails_in_the_middle_is_estimated(path: str, body: Any) -> None:
    assert read(path, SSE, events(body), up=40, down=40) == Reading(
        Certainty.ESTIMATED, Tokens(10, 0, 0, 10), "m" if "responses" in path else ""
    )


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/anthropic/v1/messages", Kind.CALL),
        ("POST", "/anthropic/v1/mess%61ges", Kind.CALL),
        ("POST", "/anthropic/v1/messages/count_tokens", Kind.FREE),
        ("POST", "/anthropic/v1/messages/batches", Kind.UNKNOWN),
        ("POST", "/gemini/v1beta/models/x:countTokens", Kind.FREE),
        ("POST", "/gemini/v1beta/models/x:batchGenerateContent", Kind.UNKNOWN),
        ("POST", "/openai/v1/images/generations", Kind.UNKNOWN),
        ("PUT", "/openai/v1/responses", Kind.UNKNOWN),
        ("GET", "/openai/v1/models", Kind.FREE),
        ("DELETE", "/openai/v1/responses/r", Kind.FREE),
    ],
)
def test_requests_are_told_apart(method: str, path: str, kind: Kind) -> None:
    assert classify(method, path).kind is kind


@pytest.mark.parametrize(
    ("parameters", "is_plain"),
    [
        ({}, True),
        ({"alt": "sse"}, True),
        ({"beta": "true", "api-version": "2025-01-01"}, True),
        ({"fields": "candidates"}, False),
        ({"alt": "media"}, False),
        ({"alt": "sse\n"}, False),
        ({"callback": "f"}, False),
        ({"httpmethod": "GET", "req": "{}"}, False),
    ],
)
def test_a_parameter_that_may_hide_what_a_call_costs_is_seen(
    parameters: dict[str, str], is_plain: bool
) -> None:
    found = classify("POST", f"{GEMINI}:generateContent", parameters)
    assert (found.kind, found.is_plain) == (Kind.CALL, is_plain)


def test_a_get_that_may_be_a_call_is_none_that_is_free() -> None:
    assert classify("GET", f"{GEMINI}:generateContent", {"httpmethod": "POST"}).kind is Kind.UNKNOWN
    assert classify("GET", "/openai/v1/models", {"limit": "20"}).kind is Kind.FREE
