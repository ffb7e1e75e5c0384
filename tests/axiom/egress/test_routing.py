"""Which paths lead where, and which lead nowhere."""

from __future__ import annotations

import pytest
from tests.fakes.vendor import credential

from axiom.egress.errors import Refusal, RefusedError
from axiom.egress.routing import MAX_TARGET_LENGTH, parameters_of, resolve

ROUTES = [
    credential("https://api.openai.com", "/openai").route,
    credential("https://gate.example/base/", "/gate").route,
    credential("http://[2001:db8::1]:8080", "/six").route,
]


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("/openai/v1/responses", "https://api.openai.com/v1/responses"),
        ("/openai", "https://api.openai.com/"),
        ("/openai/", "https://api.openai.com/"),
        ("/openai?x=1", "https://api.openai.com/?x=1"),
        ("/openai/v1/models?a=1&b=/../%2e%2e/", "https://api.openai.com/v1/models?a=1&b=/../%2e%2e/"),
        ("/openai//v1///models", "https://api.openai.com/v1/models"),
        ("/openai/v1/x?", "https://api.openai.com/v1/x?"),
        ("/openai/v1beta/models/gemini:generate", "https://api.openai.com/v1beta/models/gemini:generate"),
        ("/openai/files/caf%C3%A9%20x", "https://api.openai.com/files/caf%C3%A9%20x"),
        ("/openai/v1/...", "https://api.openai.com/v1/..."),
        ("/openai/@evil.example/", "https://api.openai.com/@evil.example/"),
        ("/gate", "https://gate.example/base"),
        ("/gate/v1", "https://gate.example/base/v1"),
        ("/six/v1", "http://[2001:db8::1]:8080/v1"),
    ],
)
def test_the_rest_of_the_path_goes_to_the_upstream_as_it_is(target: str, url: str) -> None:
    assert resolve("POST", target, ROUTES).url == url


def refusal_of(target: str, method: str = "GET") -> Refusal:
    with pytest.raises(RefusedError) as caught:
        resolve(method, target, ROUTES)
    return caught.value.refusal


@pytest.mark.parametrize(
    "target", ["/anthropic/v1", "/openaiX/v1", "/open/v1", "/OPENAI/v1", "/openai;x/v1", "/openai%20/v1"]
)
def test_only_a_whole_first_segment_opens_a_route(target: str) -> None:
    assert refusal_of(target) is Refusal.NO_ROUTE


@pytest.mark.parametrize("target", ["/", "/?x=1"])
def test_a_path_without_a_route_is_not_found(target: str) -> None:
    assert refusal_of(target) is Refusal.NOT_FOUND


@pytest.mark.parametrize(
    "target",
    [
        "", "*", "openai/v1", "?x", "//openai/v1", "//evil.example/openai",
        "http://evil.example/openai/v1", "https://api.openai.com/openai/v1", "evil.example:443", "@evil.example/",
        "/openai/..", "/openai/../x", "/openai/./x", "/../openai/x", "/openai/v1/..", "/openai/..;/x", "/openai/.;a=b/x",
        "/openai/%2e%2e/x", "/openai/.%2E/x", "/openai/%2E/x", "/openai/v1%2fx", "/openai%2Fv1", "/openai/%5c..",
        "/openai/\\..\\x", "/openai\\v1", "/openai/%252e%252e/x", "/openai/%25", "/openai/%", "/openai/%2", "/openai/%zz",
        "/openai/%00", "/openai/%0d%0aX: y", "/openai/%7f", "/openai/%1f", "/openai/%c0%ae%c0%ae/", "/openai/%ff",
        "/openai/%3fx", "/openai/%23x", "/openai/%3b", "/openai/v1#x", "/openai/v1?x#y", "/openai/v1?a\\b",
        "/openai/a b", "/openai/\t", "/openai/\r\nHost: x", "/openai/\x00", "/openai/\x7f", "/openai/é", "/openai/v1?é",
        "/openai/v1?\x00", "/openai/v1?x\r\nHost: y", "/openai/\u2025/x", "/openai/\uff0e\uff0e/x",
    ],
)  # fmt: skip
def test_a_hostile_path_is_refused(target: str) -> None:
    assert refusal_of(target) is Refusal.BAD_PATH


@pytest.mark.parametrize(
    "query",
    [
        "key=mine", "a=1&key=mine", "a=1;key=mine", "%6bey=mine", "Key=mine", "$key=mine", "%24key=", "+key=mine", "key",
        "access_token=mine", "oauth_token=mine", "api-key=mine", "api_key=mine", "subscription-key=mine", "&&key=x&",
    ],
)  # fmt: skip
def test_an_agent_does_not_say_who_it_is_in_the_query(query: str) -> None:
    assert refusal_of(f"/openai/v1/models?{query}") is Refusal.BAD_PATH


@pytest.mark.parametrize("query", ["userProject=x", "a=1&%24userProject=x", "quotaUser=x", "$quotauser="])
def test_an_agent_does_not_say_who_pays_in_the_query(query: str) -> None:
    assert refusal_of(f"/openai/v1/models?{query}") is Refusal.BAD_PATH


def test_parameters_are_read_as_vendors_read_them() -> None:
    assert parameters_of("%24Fields=a%2Cb&alt=sse;x&") == {"fields": "a,b", "alt": "sse", "x": ""}


def test_a_path_that_is_too_long_is_refused() -> None:
    longest = "/openai/" + "x" * (MAX_TARGET_LENGTH - 8)
    assert resolve("GET", longest, ROUTES)
    assert refusal_of(longest + "x") is Refusal.PATH_TOO_LONG


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "get", "PRI", "PROPFIND", "", "GET\r\n"])
def test_a_method_that_is_not_known_is_refused(method: str) -> None:
    assert refusal_of("/openai/v1", method) is Refusal.BAD_METHOD


def test_the_message_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(RefusedError) as caught:
        resolve("GET", "/openai/../\x1b[31msecret", ROUTES)
    assert "secret" not in caught.value.message
