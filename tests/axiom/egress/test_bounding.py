"""The most that a call can cost, told from its question; whatever cannot be told has no bound."""

from __future__ import annotations

import json
from typing import Any

import pytest

from axiom.api.agentclass import Price
from axiom.egress.bounding import ADDED_TOKENS, MOST_OUTPUT_TOKENS, UNBOUNDED, Bound, bound_of
from axiom.egress.pricing import tariffs_of

TARIFFS = tariffs_of(
    [
        Price.model_validate({"model": "small", "input": "1", "cacheWrite": "2", "output": "4"}),
        Price.model_validate({"model": "large*", "input": "10", "output": "40"}),
    ]
)
GOOGLE = "/v1beta/models/large-2:streamGenerateContent"


def bound(question: Any, path: str = "/v1/messages") -> Bound:
    body = question if isinstance(question, bytes) else json.dumps(question).encode()
    return bound_of(path, body, TARIFFS)


def cost(size: int, output: int, input_rate: int, output_rate: int) -> int:
    return (size + ADDED_TOKENS) * input_rate + output * output_rate


def test_a_bound_is_every_byte_as_a_token_of_the_dearest_kind_and_the_longest_answer() -> None:
    question = {"model": "small", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
    assert bound(question) == Bound(100, cost(len(json.dumps(question)), 100, 2, 4))


@pytest.mark.parametrize(
    ("more", "output"),
    [
        ({}, MOST_OUTPUT_TOKENS),
        ({"max_output_tokens": None}, MOST_OUTPUT_TOKENS),
        ({"max_output_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 9),
        ({"max_completion_tokens": 9, "n": 3}, 27),
        ({"n": 2}, 2 * MOST_OUTPUT_TOKENS),
        ({"generationConfig": {"maxOutputTokens": 5, "candidateCount": 2}}, 10),
        ({"generation_config": {"max_output_tokens": 5}}, 5),
    ],
)
def test_every_vendors_limits_are_known(more: dict[str, Any], output: int) -> None:
    assert bound({"model": "small", **more}).output == output


def test_googles_model_is_named_by_the_path() -> None:
    body = json.dumps({"contents": []}).encode()
    most = MOST_OUTPUT_TOKENS
    assert bound(body, GOOGLE) == Bound(most, cost(len(body), most, 10, 40), is_streamed=True)


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"content": [{"type": "text", "text": 'a "file_id": "x" in words'}]}]},
        {"messages": [{"content": [{"type": "tool_use", "input": {"url": "https://example.com"}}]}]},
        {"messages": [{"content": [{"type": "image", "source": {"type": "base64", "data": "AA"}}]}]},
        {"input": [{"content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]}]},
        {"prompt": "complete this"},
        {"tools": [{"name": "Fetch", "input_schema": {"properties": {"url": {"type": "string"}}}}]},
        {"tools": [{"type": "function", "name": "f"}, {"type": "custom"}, {"type": "local_shell"}]},
        {
            "tools": [
                {"type": "bash_20250124", "name": "bash"},
                {"type": "tool_search", "execution": "client"},
            ]
        },
        {"tools": [{"functionDeclarations": [{"name": "f"}]}]},
        {"tools": []},
        {"conversation": None, "previous_response_id": None, "mcp_servers": []},
    ],
)
def test_what_agents_send_has_a_bound(more: dict[str, Any]) -> None:
    assert bound({"model": "small", **more}).cost is not None


@pytest.mark.parametrize(
    "more",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": {"id": "c"}},
        {"prompt": {"id": "stored"}},
        {"prompt": ["one", "two"]},
        {"cachedContent": "cachedContents/1"},
        {"mcp_servers": [{"url": "https://example.com"}]},
        {"web_search_options": {"size": "large"}},
        {"input": [{"type": "item_reference", "id": "i"}]},
        {"input": [{"content": [{"type": "input_file", "file_id": "f"}]}]},
        {"input": [{"content": [{"type": "input_image", "image_url": "https://example.com/i.png"}]}]},
        {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "https://example.com"}}]}]},
        {"messages": [{"content": [{"source": {"type": "url", "url": "https://example.com/a.pdf"}}]}]},
        {"contents": [{"parts": [{"fileData": {"fileUri": "files/1"}}]}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"googleSearch": {}}]},
        {"tools": [{"functionDeclarations": [], "googleSearch": {}}]},
        {"tools": {"type": "function"}},
        {"max_tokens": "100"},
        {"max_tokens": 0},
        {"max_tokens": True},
        {"max_tokens": 1e2},
        {"n": 0},
    ],
)
def test_what_depends_on_what_is_not_in_the_question_has_none(more: dict[str, Any]) -> None:
    assert bound({"model": "small", **more}).cost is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        json.dumps({"model": "small"}).encode("utf-16"),
        b'{"model": "small", "max_tokens": 1, "max_tokens": 1000000}',
        rb'{"model": "small", "max_tokens": 1, "max\u005ftokens": 1000000}',
        b'{"model": "small", "model": "large"}',
        b"[" * 100_000,
        b'{"a": [' + b'{"n":1},' * 60_000 + b"0]}",
    ],
)
def test_what_is_not_understood_has_none(body: bytes) -> None:
    assert bound(body) == UNBOUNDED


@pytest.mark.parametrize(
    ("body", "path", "seconds", "tokens"),
    [
        ({"max_tokens": 8_000}, "/v1/messages", 10.0, 1_000),
        ({"max_tokens": 500}, "/v1/messages", 10.0, 500),
        ({"max_tokens": 8_000, "stream": False}, "/v1/messages", 10.0, 1_000),
        ({"max_tokens": 8_000, "stream": True}, "/v1/messages", 10.0, 0),
        ({"max_tokens": 8_000, "stream": "yes"}, "/v1/messages", 10.0, 1_000),
        ({"previous_response_id": "r", "stream": True}, "/v1/responses", 10.0, 0),
        ({"contents": []}, GOOGLE, 10.0, 0),
        ({"contents": []}, GOOGLE.replace("streamG", "g"), 10.0, 1_000),
        (b"no JSON", "/v1/messages", 10_000.0, MOST_OUTPUT_TOKENS),
    ],
)
def test_an_answer_of_which_nothing_came_may_have_been_written_all_the_same(
    body: Any, path: str, seconds: float, tokens: int
) -> None:
    assert bound(body, path).unheard(seconds) == tokens


def test_a_model_without_a_price_has_no_cost() -> None:
    assert bound({"model": "other", "max_tokens": 5}) == Bound(5, None)
    assert bound({"max_tokens": 5}) == Bound(5, None)
