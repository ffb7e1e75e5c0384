"""Which headers pass."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict
from tests.fakes.vendor import CANARY, credential

from axiom.egress.headers import find_token, to_client, to_upstream

ROUTE = credential("https://api.example").route
AZURE = credential("https://api.example", header="Api-Key", format="{}").route
TOKEN = "axm1.payload.mac"


def headers(*pairs: tuple[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(pairs)


@pytest.mark.parametrize(
    ("given", "token"),
    [
        (headers(("authorization", f"Bearer {TOKEN}")), TOKEN),
        (headers(("Authorization", f"bearer  {TOKEN} ")), TOKEN),
        (headers(("X-Api-Key", TOKEN)), TOKEN),
        (headers(("x-goog-api-key", TOKEN)), TOKEN),
        (headers(("Authorization", "Basic abc"), ("x-api-key", TOKEN)), TOKEN),
        (headers(("Authorization", TOKEN)), None),
        (headers(("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")), None),
        (headers(("Cookie", TOKEN)), None),
        (headers(), None),
    ],
)
def test_the_token_is_found_where_clients_put_keys(given: CIMultiDict[str], token: str | None) -> None:
    assert find_token(given) == token


@pytest.mark.parametrize(
    "pair",
    [
        ("Authorization", "Bearer of-somebody-else"), ("X-API-Key", "sk-mine"), ("x-goog-api-key", "mine"),
        ("api-key", "mine"), ("Proxy-Authorization", "Basic x"), ("Cookie", "session=1"), ("X-Amz-Security-Token", "x"),
        ("X-Anything", f"prefix {TOKEN} suffix"), ("Connection", "keep-alive"), ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"), ("Trailer", "X-T"), ("Transfer-Encoding", "chunked"), ("Upgrade", "h2c"),
        ("HTTP2-Settings", "x"), ("Proxy-Connection", "close"), ("Host", "proxy"), ("Expect", "100-continue"),
        ("Via", "1.1 x"), ("Forwarded", "for=1.2.3.4"), ("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Host", "x"),
        ("X-Forwarded-Prefix", "/admin"), ("X-Original-URL", "/admin"), ("X-Rewrite-URL", "/admin"), ("X-Host", "x"),
        ("X-HTTP-Method-Override", "POST"), ("X-HTTP-Method", "POST"), ("X-Method-Override", "POST"),
        ("X_Api_Key", "mine"), ("Transfer_Encoding", "chunked"), ("X_HTTP_Method_Override", "POST"), ("True-Client-IP", "x"),
        ("Ocp-Apim-Subscription-Key", "mine"), ("X-Auth-Token", "mine"), ("Private-Token", "mine"), ("apikey", "mine"),
        ("X-Goog-Iam-Authorization-Token", "mine"), ("X-Goog-FieldMask", "candidates"),
    ],
)  # fmt: skip
def test_what_must_not_reach_a_vendor_does_not(pair: tuple[str, str]) -> None:
    passed = to_upstream(headers(pair, ("X-Kept", "yes")), ROUTE, TOKEN, CANARY)
    assert dict(passed) == {
        "X-Kept": "yes",
        "Accept-Encoding": "identity",
        "Authorization": f"Bearer {CANARY}",
    }


@pytest.mark.parametrize(
    "name",
    [
        "session_id",
        "Mcp-Session-Id",
        "Idempotency-Key",
        "anthropic-beta",
        "X-Stainless-Lang",
        "X-Author",
        "x-codex-turn-metadata",
        "X-Project-Language",
        "x-app",
    ],
)
def test_what_vendors_need_passes(name: str) -> None:
    assert to_upstream(headers((name, "1")), ROUTE, TOKEN, CANARY)[name] == "1"


@pytest.mark.parametrize("metered", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "OpenAI-Project", "openai_project", "OpenAI-Organization", "chatgpt-account-id", "anthropic-workspace-id",
        "anthropic-organization-id", "X-Goog-User-Project", "x_goog_user_project", "X-Goog-Quota-User",
    ],
)  # fmt: skip
def test_an_agent_does_not_say_which_project_pays(name: str, metered: bool) -> None:
    route = ROUTE.model_copy(update={"metered": metered})
    assert name not in to_upstream(headers((name, "of-another-team")), route, TOKEN, CANARY)


@pytest.mark.parametrize(
    "name",
    ["X-Project", "Project-Id", "X-Org-Id", "X-Tenant-Name", "cf-aig-account", "X-Billing-Id", "workspaceid"],
)
def test_what_may_mean_who_pays_passes_to_other_services_alone(name: str) -> None:
    assert name not in to_upstream(headers((name, "1")), ROUTE, TOKEN, CANARY)
    other = ROUTE.model_copy(update={"metered": False})
    assert to_upstream(headers((name, "1")), other, TOKEN, CANARY)[name] == "1"


def test_a_route_may_carry_its_key_in_a_header_that_names_a_payer() -> None:
    route = ROUTE.model_copy(update={"header": "X-Tenant", "format": "{}"})
    assert to_upstream(headers(("X-Tenant", TOKEN)), route, TOKEN, CANARY).getall("X-Tenant") == [CANARY]


def test_fields_are_chosen_where_nothing_is_measured() -> None:
    other = ROUTE.model_copy(update={"metered": False})
    assert to_upstream(headers(("X-Goog-FieldMask", "*")), other, TOKEN, CANARY)["X-Goog-FieldMask"] == "*"


def test_what_connection_names_is_removed_but_not_what_the_proxy_sets() -> None:
    given = headers(
        ("Connection", "close, X-Secret"), ("connection", "authorization, Content-Length,"), ("x-secret", "1"),
        ("Content-Length", "5"),
    )  # fmt: skip
    passed = to_upstream(given, ROUTE, TOKEN, CANARY)
    assert dict(passed) == {
        "Content-Length": "5", "Accept-Encoding": "identity", "Authorization": f"Bearer {CANARY}",
    }  # fmt: skip


def test_the_key_stands_in_the_header_that_the_route_names() -> None:
    passed = to_upstream(headers(("api-key", TOKEN), ("API-KEY", "other")), AZURE, TOKEN, CANARY)
    assert passed.getall("Api-Key") == [CANARY]
    assert "Authorization" not in passed


def test_repeated_and_vendor_headers_pass_to_the_vendor() -> None:
    given = headers(
        ("anthropic-beta", "a"), ("anthropic-beta", "b"), ("OpenAI-Beta", "x"), ("User-Agent", "codex")
    )
    passed = to_upstream(given, ROUTE, TOKEN, CANARY)
    assert passed.getall("anthropic-beta") == ["a", "b"]
    assert (passed["OpenAI-Beta"], passed["User-Agent"]) == ("x", "codex")


@pytest.mark.parametrize(
    "pair",
    [
        ("Set-Cookie", "a=b"), ("set-cookie2", "a=b"), ("Authorization", "Bearer x"), ("x-api-key", "x"),
        ("Connection", "close"), ("Transfer-Encoding", "chunked"), ("Upgrade", "h2c"), ("Trailer", "x"),
        ("Proxy-Authenticate", "Basic"), ("Alt-Svc", 'h3=":443"'), ("X-Echo", f"Bearer {CANARY}"),
        (f"X-{CANARY}", "1"), ("X-Echo", TOKEN),
    ],
)  # fmt: skip
def test_what_must_not_reach_an_agent_does_not(pair: tuple[str, str]) -> None:
    assert dict(to_client(headers(pair, ("Retry-After", "7")), ROUTE, TOKEN, CANARY)) == {"Retry-After": "7"}


def test_an_answer_that_is_handed_on_plain_loses_its_compressed_length() -> None:
    given = headers(("Content-Encoding", "gzip"), ("Content-Length", "20"), ("Content-Type", "text/plain"))
    assert dict(to_client(given, ROUTE, TOKEN, CANARY)) == {"Content-Type": "text/plain"}


def test_the_length_of_a_plain_answer_is_kept() -> None:
    given = headers(("Content-Encoding", "identity"), ("Content-Length", "20"))
    assert dict(to_client(given, ROUTE, TOKEN, CANARY)) == {"Content-Length": "20"}
