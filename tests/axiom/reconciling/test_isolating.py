"""The network is closed before the first sandbox is there, and again after somebody opened it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import kopf
import pytest
from tests.fakes.api_server import FakeApiServer, fake_api_server

from axiom.cluster.api import Api
from axiom.cluster.errors import RefusedError
from axiom.manifests.network_policies import POLICY_NAMES, Installation, network_policies
from axiom.reconciling.isolating import NetworkCloser

INSTALLATION = Installation("axiom-system", 8443, 8788)


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as server:
        yield server


@pytest.fixture
async def closer(server: FakeApiServer) -> AsyncIterator[NetworkCloser]:
    async with Api("test", lambda: kopf.ConnectionInfo(server=server.url, token="t")) as api:
        yield NetworkCloser(api, INSTALLATION)


def writes(server: FakeApiServer) -> list[tuple[str, str]]:
    return [(method, body["metadata"]["name"]) for method, _, body in server.requests]


async def test_a_namespace_gets_every_policy_once(server: FakeApiServer, closer: NetworkCloser) -> None:
    await closer.close("team")
    await closer.close("team")

    assert writes(server) == [("POST", name) for name in POLICY_NAMES]
    assert [server.get("networkpolicies", "team", name) is not None for name in POLICY_NAMES] == [True] * 4


async def test_policies_of_one_namespace_do_not_stand_for_another(
    server: FakeApiServer, closer: NetworkCloser
) -> None:
    await closer.close("team")
    await closer.close("other")

    assert len(writes(server)) == 8


@pytest.mark.parametrize("change", [{"spec": {"podSelector": {}}}, {"metadata": {"labels": {}}}])
async def test_what_somebody_changed_is_put_right(
    server: FakeApiServer, closer: NetworkCloser, change: dict[str, dict[str, object]]
) -> None:
    await closer.close("team")
    changed = server.get("networkpolicies", "team", "axiom-agents")
    assert changed
    metadata = {**changed["metadata"], **change.get("metadata", {})}
    server.change("networkpolicies", "team", "axiom-agents", **{**change, "metadata": metadata})
    server.requests.clear()

    await closer.close("team")

    assert writes(server) == [("PUT", "axiom-agents")]
    [wanted] = [p for p in network_policies("team", INSTALLATION) if p["metadata"]["name"] == "axiom-agents"]
    stored = server.get("networkpolicies", "team", "axiom-agents")
    assert stored
    assert stored["spec"] == wanted["spec"]
    assert stored["metadata"]["labels"] == wanted["metadata"]["labels"]


async def test_a_policy_that_another_task_made_meanwhile_is_taken(
    server: FakeApiServer, closer: NetworkCloser
) -> None:
    server.refuse("POST", "/networkpolicies", 409, "AlreadyExists")

    await closer.close("team")


async def test_a_refusal_is_told(server: FakeApiServer, closer: NetworkCloser) -> None:
    server.refuse("POST", "/networkpolicies", 403, "Forbidden", "networkpolicies is forbidden")

    with pytest.raises(RefusedError, match="networkpolicies is forbidden"):
        await closer.close("team")


async def test_without_an_installation_nothing_is_asked(server: FakeApiServer) -> None:
    async with Api("test", lambda: kopf.ConnectionInfo(server="http://127.0.0.1:1", token="t")) as api:
        await NetworkCloser(api, None).close("team")
