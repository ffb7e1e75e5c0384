"""The attacking agent in real pods, with the chart as it is installed: nothing of the node, of the cluster, of the trusted
side or of another task is reached, and a token is worth nothing in other hands or afterwards."""

from __future__ import annotations

import json
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import Request, urlopen

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.attacks import (
    ESCAPES,
    ON_THE_KERNEL,
    ON_THE_TRUSTED_SIDE,
    WAYS,
    Attempt,
    attempts,
    not_refused,
)
from e2e.support.chart import Release, build_storage_image, image_values, installed
from e2e.support.images import Images
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.node import the_node
from e2e.support.vendor import KEY, Vendor
from e2e.support.world import condition, is_complete, is_running

pytestmark = [pytest.mark.e2e, pytest.mark.hermetic("attacks addresses of the node, and reads its folders")]

CREDENTIAL = "model"
LIMIT_SECONDS = 480
WAYS_OVER_IPV6 = ("ipv6", "udp", "mptcp", "sctp", "fast-open")


@dataclass(frozen=True)
class Team:
    """A namespace, and a class whose agents attack."""

    kubectl: Kubectl
    class_name: str

    def attack(self, name: str, *steps: str) -> Object:
        return self.kubectl.create(
            {
                "apiVersion": "axiom.dev/v1alpha1",
                "kind": "AgentTask",
                "metadata": {"name": name},
                "spec": {
                    "agentClassName": self.class_name,
                    "prompt": "\n".join((*steps, "exit 0")),
                    "workspace": {"files": [{"path": "README.md", "content": "Attack.\n"}]},
                    "criteria": [{"name": "nothing", "diff": {"requireChange": False}}],
                    "limits": {"deadline": "10m", "maxRounds": 1},
                },
            }
        )

    def wait(self, name: str, ready: Callable[[Object], bool]) -> Object:
        return self.kubectl.wait_for("agenttask", name, ready, LIMIT_SECONDS)

    def pod(self, task: Object) -> Object:
        selector = f"axiom.dev/task-uid={task['metadata']['uid']},axiom.dev/role=agent"
        name = self.kubectl("get", "pods", "-l", selector, "-o", "jsonpath={.items[0].metadata.name}")
        found = self.kubectl.get("pod", name)
        assert found
        return found

    def workspace(self, task: Object) -> Path:
        """Where the kubelet keeps it."""
        folder = the_node().pod_folder(self.pod(task)["metadata"]["uid"])
        return folder / "volumes" / "kubernetes.io~empty-dir" / "files" / "workspace"


@dataclass(frozen=True)
class Attacked:
    """What became of all attacks."""

    attacker: dict[str, Attempt]
    thief: dict[str, Attempt]
    victim: dict[str, Attempt]
    targets: dict[str, str]
    statuses: dict[str, Object]
    events: list[Object]
    copied: str
    """What `kubectl cp` into and out of the running sandbox said."""


@pytest.fixture(scope="module")
def vendor(cluster: Connection) -> Iterator[str]:
    with ThreadingHTTPServer((cluster.machine_address, 0), Vendor) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{cluster.machine_address}:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def release(cluster: Connection, images: Images, vendor: str) -> Iterator[Release]:
    egress = {"credentialSecrets": [CREDENTIAL], "privateUpstreams": [cluster.machine_address]}
    values = {**image_values(images, build_storage_image(cluster)), "egress": egress}
    with installed(cluster, values, {CREDENTIAL: {"key": KEY}}) as release:
        yield release


@pytest.fixture(scope="module")
def team(release: Release, vendor: str, agent_image: Callable[[str], str]) -> Iterator[Team]:
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    kubectl = Kubectl(release.connection, name)
    kubectl.create_namespace()
    kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    route = {"prefix": "/model", "upstream": vendor}
    kubectl.apply(
        {
            "apiVersion": "axiom.dev/v1alpha1",
            "kind": "AgentClass",
            "metadata": {"name": f"attacker-{name}"},
            "spec": {
                "image": agent_image("attacker"),
                "command": ["/agent", "$(AXIOM_PROMPT)"],
                "showCriteria": False,
                "env": [
                    {"name": "MODEL_URL", "value": "$(AXIOM_PROXY_URL)/model"},
                    {"name": "MODEL_KEY", "value": "$(AXIOM_TOKEN)"},
                ],
                "credentials": [
                    {"name": "model", "secretRef": {"name": CREDENTIAL, "key": "key"}, "route": route}
                ],
            },
        }
    )
    yield Team(kubectl, f"attacker-{name}")
    kubectl.run("delete", "agenttasks", "--all", timeout=120)
    kubectl.run("delete", "agentclass", f"attacker-{name}")
    kubectl.run("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def attacked(release: Release, team: Team, vendor: str) -> Attacked:
    """A victim that gives its token away, a thief that uses it, and an attacker beside them."""
    victim = team.attack("victim", "publish token", "ask own $MODEL_URL/v1/answer $MODEL_KEY", "await go")
    team.wait("victim", is_running)
    token = wait_for_file(team.workspace(victim) / "token")
    targets = places(release, team, victim, vendor)
    reaching = [f"reach {name} {address}" for name, address in targets.items()]
    attacker = team.attack("attacker", *reaching, "escape", "kernel", "trusted", "await go")
    thief = team.attack(
        "thief",
        "ask own $MODEL_URL/v1/answer $MODEL_KEY",
        f"ask stolen $MODEL_URL/v1/answer {token}",
        "await go",
        f"ask afterwards $MODEL_URL/v1/answer {token}",
    )
    for name in ("attacker", "thief"):
        team.wait(name, is_running)
    wait_for_file(team.workspace(thief) / "attacks.txt", "stolen")
    pod = team.pod(attacker)["metadata"]["name"]
    with tempfile.TemporaryDirectory() as folder:
        ways = (
            (f"{pod}:/workspace/README.md", f"{folder}/README.md"),
            (__file__, f"{pod}:/workspace/copied"),
        )
        copied = "\n".join(team.kubectl.run("cp", *ends, "--container=agent").stderr for ends in ways)
    (team.workspace(victim) / "go").touch()
    team.wait("victim", is_complete)
    for task in (thief, attacker):
        (team.workspace(task) / "go").touch()
    statuses = {name: team.wait(name, is_complete)["status"] for name in ("victim", "thief", "attacker")}
    reader = Reader(release, team)
    diffs = {name: attempts(reader.read(f"{name}/diff")) for name in statuses}
    return Attacked(
        attacker=diffs["attacker"],
        thief=diffs["thief"],
        victim=diffs["victim"],
        targets=targets,
        statuses=statuses,
        events=reader.events("attacker"),
        copied=copied,
    )


def places(release: Release, team: Team, victim: Object, vendor: str) -> dict[str, str]:
    """What a sandbox must not reach, by name."""
    cluster, admin = release.connection, Kubectl(release.connection, release.namespace)
    dns = admin("get", "service", "--all-namespaces", "--field-selector=metadata.name=kube-dns", "-o", "jsonpath={.items[0].spec.clusterIP}")  # fmt: skip
    kubernetes = Kubectl(cluster)("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")

    def of(component: str, port: int) -> str:
        return f"{admin.address_of(component)}:{port}"

    return {
        "node": f"{cluster.node_address}:6443",
        "kubelet": f"{cluster.node_address}:10250",
        "api-server": f"{kubernetes}:443",
        "operator": of("operator", 9090),
        "gateway": of("gateway", 8080),
        "proxy-metrics": of("egress", 8789),
        "storage": of("storage", 7070),
        "other-sandbox": f"{team.pod(victim)['status']['podIP']}:8443",
        "s3": cluster.s3.endpoint.removeprefix("http://"),
        "machine": vendor.removeprefix("http://"),
        "dns": f"{dns}:53",
        "metadata": "169.254.169.254:80",
        "metadata-high-port": "169.254.169.254:8080",
        "metadata-ipv6": "[fe80::a9fe:a9fe]:80",
        "loopback-ipv6": "[::1]:8443",
        "documentation-ipv6": "[2001:db8::1]:8788",
    }


OPEN_TO_OTHERS = ("node", "kubelet", "api-server", "operator", "gateway", "proxy-metrics", "s3", "machine", "dns")  # fmt: skip


def wait_for_file(path: Path, holds: str = "") -> str:
    """Its content, once it is there and holds something."""
    found: list[str] = []

    def missing() -> str | None:
        text = path.read_text() if path.exists() else ""
        found[:] = [text]
        return None if text and holds in text else f"{path} holds {text!r}"

    wait_until(path.name, missing, limit_seconds=LIMIT_SECONDS)
    return found[0]


@dataclass
class Reader:
    """Somebody who may view the namespace, at the gateway."""

    release: Release
    team: Team
    token: str = ""

    def read(self, path: str) -> str:
        kubectl = self.team.kubectl
        if not self.token:
            account = f"--serviceaccount={kubectl.namespace}:viewer"
            kubectl("create", "serviceaccount", "viewer")
            kubectl("create", "rolebinding", "viewer", "--clusterrole=view", account)
            self.token = kubectl("create", "token", "viewer").strip()
        admin = Kubectl(self.release.connection, self.release.namespace)
        url = f"http://{admin.address_of('gateway')}:8080/v1/tasks/{kubectl.namespace}/{path}"
        with urlopen(Request(url, headers={"Authorization": f"Bearer {self.token}"}), timeout=60) as answer:
            return str(answer.read().decode())

    def events(self, name: str) -> list[Object]:
        return [json.loads(line) for line in self.read(f"{name}/events").splitlines()]


def test_no_known_escape_leads_out(attacked: Attacked) -> None:
    assert not_refused(attacked.attacker, ESCAPES) == {}


def test_no_more_of_the_kernel_is_open_than_an_agent_needs(attacked: Attacked) -> None:
    assert not_refused(attacked.attacker, ON_THE_KERNEL) == {}


def test_nothing_is_copied_into_or_out_of_a_sandbox(attacked: Attacked) -> None:
    assert attacked.copied.count("of an Axiom sandbox") == 2, attacked.copied


def test_neither_launcher_nor_supervisor_is_reached(attacked: Attacked) -> None:
    assert not_refused(attacked.attacker, ON_THE_TRUSTED_SIDE) == {}
    assert [event["payload"]["door"] for event in attacked.events if event["event"] == "intruder"]


def test_nothing_of_the_cluster_is_reached_in_any_way(attacked: Attacked) -> None:
    ways = [
        f"{name}/{way}"
        for name, address in attacked.targets.items()
        for way in (WAYS_OVER_IPV6 if address.startswith("[") else WAYS)
    ]
    assert not_refused(attacked.attacker, ways) == {}


@pytest.mark.parametrize("name", OPEN_TO_OTHERS)
def test_what_a_sandbox_does_not_reach_is_there(attacked: Attacked, name: str) -> None:
    host, _, port = attacked.targets[name].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10):
        pass


def test_a_token_is_worth_nothing_in_another_pod(attacked: Attacked) -> None:
    assert attacked.victim["own"].verdict == attacked.thief["own"].verdict == "succeeded"
    assert attacked.thief["stolen"].verdict == "refused"
    assert attacked.thief["stolen"].seen.startswith("403 "), attacked.thief["stolen"]
    assert "another pod" in attacked.thief["stolen"].seen


def test_a_token_is_worth_nothing_after_its_attempt(attacked: Attacked) -> None:
    assert attacked.thief["afterwards"].verdict == "refused"
    assert attacked.thief["afterwards"].seen[:3] in {"401", "403"}, attacked.thief["afterwards"]


def test_every_attacker_is_judged_in_order(attacked: Attacked) -> None:
    verdicts = {name: (status["verdict"], status["attempt"]) for name, status in attacked.statuses.items()}
    assert set(verdicts.values()) == {("Pass", 1)}, attacked.statuses
    assert condition({"status": attacked.statuses["attacker"]}, "Isolated")["status"] == "True"
    assert attacked.events[-1]["event"] == "closed"
