"""A vendor that answers 529 to all, and then well again: tasks wait for it and go on; one that is broken alone stops nobody."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.request import urlopen

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.chart import Release, build_storage_image, image_values, installed
from e2e.support.images import Images
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.vendor import asking_class
from e2e.support.world import SMALL, condition, is_complete, is_running

pytestmark = [pytest.mark.e2e, pytest.mark.hermetic("pods ask this machine, and it reads their metrics")]

CREDENTIAL = "model"
CALL, BROKEN_CALL = "v1/chat/completions", "v1/responses"
"""What the vendor answers, and what it always fails to."""
ANSWER = {"model": "model-1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
NOTE = "axiom.dev/vendors"


@dataclass
class Vendor:
    """A model's server outside of the cluster."""

    host: str
    port: int
    is_well: Event = field(default_factory=Event)


@pytest.fixture(scope="module")
def vendor(cluster: Connection) -> Iterator[Vendor]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_answered = vendor.is_well.is_set() and not self.path.endswith(BROKEN_CALL)
            body = json.dumps(ANSWER if is_answered else {"error": {"type": "overloaded_error"}}).encode()
            self.send_response(200 if is_answered else 529)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer((cluster.machine_address, 0), Handler) as server:
        vendor = Vendor(cluster.machine_address, server.server_port)
        vendor.is_well.set()
        Thread(target=server.serve_forever, daemon=True).start()
        yield vendor
        server.shutdown()


@dataclass
class Place:
    """An installation, and a team with a class whose agents ask the vendor."""

    admin: Kubectl
    team: Kubectl

    def make(self, name: str, *steps: str) -> None:
        self.team.create(
            {
                "apiVersion": "axiom.dev/v1alpha1",
                "kind": "AgentTask",
                "metadata": {"name": name},
                "spec": {
                    "agentClassName": self.team.namespace,
                    "prompt": "\n".join((*steps, "write greeting.txt hello", "exit 0")),
                    "workspace": {"files": [{"path": "README.md", "content": "Say hello.\n"}]},
                    "criteria": [{"name": "greeting", "files": {"expect": [{"path": "greeting.txt"}]}}],
                    "limits": {"deadline": "10m", "maxRounds": 1, "resources": SMALL},
                    "force": True,
                },
            }
        )

    def wait(self, name: str, ready: Callable[[Object], bool], limit_seconds: float = 240) -> Object:
        return self.team.wait_for("agenttask", name, ready, limit_seconds)

    def holder(self) -> str:
        return self.admin("get", "lease", "axiom-operator", "--output", "jsonpath={.spec.holderIdentity}")

    def breaker(self, host: str) -> Object:
        """As the operator wrote it down; empty: it is closed for good."""
        lease = self.admin.get("lease", "axiom-operator")
        assert lease
        found = json.loads((lease["metadata"].get("annotations") or {}).get(NOTE) or "{}")
        return dict(found.get(host) or {})

    def written_breaker(self, host: str) -> Object:
        """Once it is written down that it is not closed: the Lease is renewed every few seconds."""
        found = self.breaker(host)

        def is_written() -> str | None:
            nonlocal found
            found = self.breaker(host)
            return None if found.get("state", "Closed") != "Closed" else f"the Lease says {found}"

        wait_until("the Lease to tell of the breaker", is_written, limit_seconds=60)
        return found

    def metric(self, name: str, host: str) -> float | None:
        with urlopen(f"http://{self.admin.address_of('operator')}:9090/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        beginning = f'{name}{{vendor="{host}"}} '
        return next((float(line[len(beginning) :]) for line in lines if line.startswith(beginning)), None)


@pytest.fixture(scope="module")
def place(
    cluster: Connection, images: Images, agent_image: Callable[[str], str], vendor: Vendor
) -> Iterator[Place]:
    values = {
        **image_values(images, build_storage_image(cluster)),
        "egress": {"credentialSecrets": [CREDENTIAL], "privateUpstreams": [vendor.host]},
    }
    team = Kubectl(cluster, f"e2e-{uuid.uuid4().hex[:8]}")
    with installed(cluster, values, {CREDENTIAL: {"key": "sk-e2e"}}) as release:
        team.create_namespace()
        upstream = f"http://{vendor.host}:{vendor.port}"
        team.apply(asking_class(team.namespace, agent_image("plain"), upstream, CREDENTIAL))
        try:
            yield Place(admin_of(release), team)
        finally:
            team.run("delete", "agenttasks", "--all", timeout=120)
            team.run("delete", "agentclass", team.namespace)
            team.run("delete", "namespace", team.namespace, "--wait=false")


def admin_of(release: Release) -> Kubectl:
    return Kubectl(release.connection, release.namespace)


def waits_for_vendor(kind: str) -> Callable[[Object], bool]:
    return lambda item: condition(item, kind).get("reason") == "WaitingForVendor"


def test_one_task_that_is_broken_itself_stops_no_other(place: Place, vendor: Vendor) -> None:
    place.make("broken", f"insist {BROKEN_CALL}")
    place.wait("broken", waits_for_vendor("Running"))

    assert place.metric("axiom_vendor_breaker_open", vendor.host) == 0
    place.make("sound", f"insist {CALL}")
    sound = place.wait("sound", is_complete)["status"]
    assert (sound["verdict"], sound.get("vendorPause")) == ("Pass", None)
    place.wait("broken", is_running)
    place.team("delete", "agenttask", "broken")


def test_an_outage_holds_all_back_and_says_so_over_a_restart_of_the_operator(
    place: Place, vendor: Vendor
) -> None:
    vendor.is_well.clear()
    running, held = ("running-1", "running-2"), ("held-1", "held-2")
    for name in running:
        place.make(name, f"insist {CALL}")
    for name in running:
        said = condition(place.wait(name, waits_for_vendor("Running")), "Running")["message"]
        assert f"{vendor.host} has not answered since " in said
        assert "one task tries next at " in said
    wait_until(
        "the breaker to open for all",
        lambda: None if place.metric("axiom_vendor_breaker_open", vendor.host) == 1 else "it is not open",
        limit_seconds=120,
    )
    assert (place.metric("axiom_vendor_failing_ratio", vendor.host) or 0) >= 0.5
    assert place.metric("axiom_vendor_next_try_timestamp_seconds", vendor.host)

    for name in held:
        place.make(name, f"insist {CALL}")
    for name in held:
        place.wait(name, lambda item: is_running(item) or waits_for_vendor("SandboxReady")(item))
    waited = [name for name in held if (place.team.get("agenttask", name) or {})["status"].get("vendorPause")]
    assert waited, "one may try, and the other waits"

    before, holder = place.written_breaker(vendor.host), place.holder()
    place.admin("delete", "pod", holder)
    wait_until(
        "another operator",
        lambda: None if place.holder() not in ("", holder) else "not yet",
        limit_seconds=120,
    )
    after = place.breaker(vendor.host)
    assert after["since"] == before["since"]
    assert after["pauses"] >= before["pauses"]
    for name in (*running, *held):
        assert not is_complete(place.team.get("agenttask", name) or {})

    vendor.is_well.set()
    ended = {name: place.wait(name, is_complete, 300)["status"] for name in (*running, *held)}
    assert {name: status["verdict"] for name, status in ended.items()} == dict.fromkeys(ended, "Pass")
    assert {status["attempt"] for status in ended.values()} == {1}
    pauses = [ended[name]["vendorPause"] for name in (*running, *waited)]
    assert all(pause["host"] == vendor.host and not pause.get("since") for pause in pauses)
    assert place.metric("axiom_vendor_breaker_open", vendor.host) in (0, None)
