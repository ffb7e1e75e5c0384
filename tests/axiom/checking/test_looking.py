"""Looking at an installation: a small API server, a gateway on loopback, and object storage that is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import kopf
import pytest
from aiohttp import web
from tests.fakes.api_server import FakeApiServer, fake_api_server

from axiom.api.definitions import ALL
from axiom.checking import __main__ as program
from axiom.checking.findings import Finding
from axiom.checking.looking import look
from axiom.checking.settings import CheckSettings, read_settings
from axiom.cluster.api import Api
from axiom.environment import SettingsError
from axiom.operations import serving
from axiom.storage.s3 import S3Settings

CONDITIONS = [{"type": kind, "status": "True"} for kind in ("NamesAccepted", "Established")]
ENVIRONMENT = {
    "AXIOM_NAMESPACE": "ns",
    "AXIOM_DEPLOYMENTS": "axiom-operator axiom-gateway ",
    "AXIOM_GATEWAY": "http://gateway/",
    "AXIOM_S3_ENDPOINT": "http://127.0.0.1:1",
    "AXIOM_S3_BUCKET": "axiom",
    "AXIOM_S3_CREDENTIALS": "/etc/axiom/storage-keys",
}


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as server:
        for definition in (make() for make in ALL):
            server.add("customresourcedefinitions", {**definition, "status": {"conditions": CONDITIONS}})
        status = {"observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 1}
        metadata = {"name": "axiom-operator", "namespace": "ns"}
        server.add("deployments", {"metadata": metadata, "spec": {"replicas": 1}, "status": status})
        server.add("leases", {"metadata": metadata, "spec": {"holderIdentity": "operator-1"}})
        yield server


@pytest.fixture
async def gateway() -> AsyncIterator[str]:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=401)

    app = web.Application()
    app.router.add_get("/v1/tasks/{namespace}/{name}/events", refuse)
    async with serving(app, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


async def findings_of(server: FakeApiServer, gateway: str, **changes: Any) -> dict[str, Finding]:
    storage = S3Settings("http://127.0.0.1:1", "axiom", "key", "secret", attempts=1)
    settings = CheckSettings(
        **{
            "namespace": "ns",
            "lease": "axiom-operator",
            "deployments": ("axiom-operator",),
            "gateway": gateway,
            "storage": storage,
            "patience": 0,
            **changes,
        }
    )
    async with Api("test", lambda: kopf.ConnectionInfo(server=server.url, token="t")) as api:
        return {finding.what: finding for finding in await look(settings, api)}


async def test_each_part_is_looked_at(server: FakeApiServer, gateway: str) -> None:
    found = await findings_of(server, gateway)

    assert {what: finding.passed for what, finding in found.items()} == {
        "definition agenttasks.axiom.dev": True,
        "definition agentclasses.axiom.dev": True,
        "definition verificationprofiles.axiom.dev": True,
        "deployment axiom-operator": True,
        "operator": False,  # nobody renews the Lease here
        "gateway": True,
        "object storage": False,
    }
    assert "http://127.0.0.1:1, bucket axiom" in found["object storage"].found


async def test_what_is_not_there_is_said_and_not_raised(server: FakeApiServer) -> None:
    found = await findings_of(server, "http://127.0.0.1:1", deployments=("axiom-egress",))

    assert "axiom-egress" in str(found["deployment axiom-egress"])
    assert "does not answer" in found["gateway"].found


async def test_no_task_is_asked_for_while_something_else_is_wrong(
    server: FakeApiServer, gateway: str
) -> None:
    assert "task axiom-test" not in await findings_of(server, gateway, task="axiom-test")


def test_settings_are_read_from_the_environment() -> None:
    settings = read_settings(ENVIRONMENT)

    assert settings.deployments == ("axiom-operator", "axiom-gateway")
    assert settings.gateway == "http://gateway"
    assert (settings.lease, settings.task, settings.patience) == ("axiom-operator", "", 45)
    with pytest.raises(SettingsError, match="AXIOM_DEPLOYMENTS"):
        read_settings({**ENVIRONMENT, "AXIOM_DEPLOYMENTS": ""})


def test_settings_that_cannot_be_used_end_with_a_code_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)

    assert program.main() == 2
