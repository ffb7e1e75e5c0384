"""What a cluster's pods and classes say about a token."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.fakes.listed_cluster import agent_class, pod
from tests.fakes.vendor import make_grant

from axiom.egress.directory import Standing
from axiom.egress.live_directory import LiveDirectory
from axiom.egress.tokens import Purpose, on_errand

IP = "10.1.2.3"


def directory_with(*pods: dict[str, Any]) -> LiveDirectory:
    directory = LiveDirectory(grace_seconds=0.01)
    directory.replace_pods(pods)
    return directory


@pytest.mark.parametrize(
    ("pods", "standing"),
    [
        ([pod()], Standing.ACTIVE),
        ([pod("10.9.9.9")], Standing.ELSEWHERE),
        ([pod("10.9.9.9", status={"podIPs": [{"ip": "10.9.9.9"}, {"ip": IP}]})], Standing.ACTIVE),
        ([pod("10.9.9.9"), pod(name="other")], Standing.ACTIVE),
        ([pod(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})], Standing.ENDED),
        ([pod(status={"phase": "Failed"})], Standing.ENDED),
        ([pod(status={"phase": "Succeeded"})], Standing.ENDED),
        ([pod(metadata={"namespace": "team-b"})], Standing.ENDED),
        ([pod(metadata={"labels": {"axiom.dev/task-uid": "x", "axiom.dev/attempt": "1"}})], Standing.ENDED),
        ([pod(None)], Standing.ENDED),
        ([], Standing.ENDED),
    ],
)
async def test_a_token_counts_as_long_as_its_pod_runs_at_the_callers_address(
    pods: list[dict[str, Any]], standing: Standing
) -> None:
    assert await directory_with(*pods).standing(make_grant(), IP) is standing


async def test_another_attempts_token_does_not_count() -> None:
    assert await directory_with(pod()).standing(make_grant(attempt=2), IP) is Standing.ENDED


async def test_a_pod_that_is_seen_a_moment_later_counts() -> None:
    directory = LiveDirectory(grace_seconds=20)
    asking = asyncio.ensure_future(directory.standing(make_grant(), IP))
    await asyncio.sleep(0)
    directory.apply_pod("ADDED", pod(None))
    await asyncio.sleep(0)
    assert not asking.done()
    directory.apply_pod("MODIFIED", pod())
    assert await asking is Standing.ACTIVE


async def test_a_pod_that_is_gone_takes_its_token_along() -> None:
    directory = directory_with(pod())
    directory.apply_pod("DELETED", pod())
    assert await directory.standing(make_grant(), IP) is Standing.ENDED
    directory.apply_pod("DELETED", pod())


def test_routes_get_the_key_that_their_secret_holds() -> None:
    directory = LiveDirectory()
    directory.replace_classes([agent_class()])
    assert directory.routes("codex")[0].key is None
    directory.replace_secrets({"keys": {"openai": "first\n"}})
    assert directory.routes("codex")[0].key == "first"
    directory.replace_secrets({"keys": {"openai": "second"}})
    assert directory.routes("codex")[0].key == "second"
    assert directory.routes("claude") == []


def test_only_secrets_that_a_class_names_are_wanted() -> None:
    directory = LiveDirectory()
    directory.replace_classes([agent_class(), agent_class("claude", "other-keys")])
    assert directory.wanted_secrets() == {"keys", "other-keys"}
    directory.apply_class("DELETED", agent_class())
    assert directory.wanted_secrets() == {"other-keys"}
    assert directory.routes("codex") == []


def test_a_class_that_cannot_be_read_opens_nothing_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    directory = LiveDirectory()
    directory.replace_classes([agent_class()])
    directory.apply_class("MODIFIED", agent_class(upstream="ftp://host"))
    assert directory.routes("codex") == []
    assert "AgentClass codex opens no routes" in caplog.text


def test_a_directory_is_ready_when_all_was_heard_of() -> None:
    directory = LiveDirectory()
    directory.replace_pods([])
    directory.replace_classes([])
    assert not directory.is_ready
    directory.replace_secrets({})
    assert directory.is_ready


def opened(*hosts: str) -> dict[str, Any]:
    item = agent_class()
    item["spec"] = {**item["spec"], "egress": {"destinations": [{"host": host} for host in hosts]}}
    return item


def hosts_of(directory: LiveDirectory) -> list[str]:
    return [one.host for one in directory.destinations(make_grant())]


def test_destinations_follow_their_class() -> None:
    directory = directory_with(pod())
    assert hosts_of(directory) == []
    directory.replace_classes([opened("pypi.org", "npm.example")])
    assert hosts_of(directory) == ["pypi.org", "npm.example"]
    directory.apply_class("MODIFIED", opened("pypi.org"))
    assert hosts_of(directory) == ["pypi.org"]
    directory.apply_class("MODIFIED", opened("127.0.0.1"))
    assert hosts_of(directory) == []
    directory.apply_class("DELETED", opened("pypi.org"))
    assert hosts_of(directory) == []


@pytest.mark.parametrize(
    ("wanted", "hosts"),
    [("pypi.org", ["pypi.org"]), ("", []), ("evil.example,pypi.org", ["pypi.org"]), ("evil.example", [])],
)
def test_a_pod_has_less_than_its_class_and_never_more(wanted: str, hosts: list[str]) -> None:
    directory = directory_with(pod(metadata={"annotations": {"axiom.dev/destinations": wanted}}))
    directory.replace_classes([opened("pypi.org", "npm.example")])
    assert hosts_of(directory) == hosts


JUDGED = {
    "agentVendor": "OpenAI",
    "judges": [
        {
            "name": "one",
            "vendor": "Anthropic",
            "model": "claude-x",
            "secretRef": {"name": "judges", "key": "one"},
        }
    ],
}


def judged_class() -> dict[str, Any]:
    made = agent_class()
    return {**made, "spec": {**made["spec"], **JUDGED}}


def test_the_routes_of_judges_are_open_to_errands_alone() -> None:
    directory = LiveDirectory()
    directory.replace_classes([judged_class()])
    assert "judges" in directory.wanted_secrets()
    directory.replace_secrets({"judges": {"one": "real"}})
    [armed] = directory.routes(on_errand("codex", Purpose.JUDGES))
    assert (armed.route.prefix, armed.key, armed.route.metered) == ("/judge-one", "real", False)
    assert armed.route.header == "x-api-key"
    assert all(one.route.prefix != "/judge-one" for one in directory.routes("codex"))
    assert directory.routes(on_errand("codex", Purpose.PAGES)) == []
    directory.apply_class("DELETED", judged_class())
    assert directory.routes(on_errand("codex", Purpose.JUDGES)) == []


async def test_an_errands_token_is_good_from_nowhere_that_an_agent_is() -> None:
    directory = directory_with(pod())
    for purpose in Purpose:
        grant = make_grant(agent_class=on_errand("codex", purpose), attempt=7)
        assert await directory.standing(grant, IP) is Standing.ELSEWHERE
        assert await directory.standing(grant, "10.7.7.7") is Standing.ACTIVE
