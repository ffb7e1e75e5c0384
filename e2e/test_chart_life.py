"""The life of an installation: upgraded from the commit before while tasks run, tested, removed, and made anew on what it left.

The tests build on each other, in the order of this file.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from axiom.manifests.network_policies import POLICY_NAMES
from e2e.cluster.connection import Connection
from e2e.cluster.shell import run
from e2e.cluster.waiting import wait_until
from e2e.support.chart import CHART, HelmError, Release, build_storage_image, image_values
from e2e.support.earlier import earlier_tree, has_earlier_commit
from e2e.support.images import ROOT, Images, build_product_images, tag_image
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.vendor import asking_class
from e2e.support.world import SMALL, is_complete, is_running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.hermetic("its volume is a folder of the node, and images get further names there"),
]

RUNNING = ("running-1", "running-2")
"""Tasks that begin before the upgrade and end after it."""
NEW_FIELD = "fromTheFuture"


@dataclass
class Vendor:
    """A model's server outside of the cluster; it has no answer until it is told to."""

    address: str
    may_answer: Event = field(default_factory=Event)
    asked: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def vendor(cluster: Connection) -> Iterator[Vendor]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            vendor.asked.add(self.path)
            self.send_response(200 if vendor.may_answer.is_set() else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer((cluster.machine_address, 0), Handler) as server:
        vendor = Vendor(f"http://{cluster.machine_address}:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        yield vendor
        server.shutdown()


@dataclass
class Life:
    """One installation and one team with tasks."""

    release: Release
    admin: Kubectl
    team: Kubectl
    before: dict[str, Any]
    """Values with the images of the commit before."""
    values: dict[str, Any]
    """Of the present commit, evidence kept."""
    future: Path
    """The present chart, with a definition that has a field more."""
    pods: dict[str, str] = field(default_factory=dict)
    """By task: the UID of its agent's pod before the upgrade."""

    def make_task(self, name: str, *steps: str) -> Object:
        return self.team.create(
            {
                "apiVersion": "axiom.dev/v1alpha1",
                "kind": "AgentTask",
                "metadata": {"name": name},
                "spec": {
                    "agentClassName": self.team.namespace,
                    "prompt": "\n".join((*steps, "exit 0")),
                    "workspace": {"files": [{"path": "README.md", "content": "Say hello.\n"}]},
                    "criteria": [{"name": "answer", "files": {"expect": [{"path": "answer"}]}}],
                    "limits": {"deadline": "10m", "maxRounds": 1, "resources": SMALL},
                    "force": True,
                },
            }
        )

    def wait(self, name: str, ready: Callable[[Object], bool], limit_seconds: float = 240) -> Object:
        return self.team.wait_for("agenttask", name, ready, limit_seconds)

    def agent_pod(self, name: str) -> str:
        """The UID of a task's agent's pod."""
        task = self.team.get("agenttask", name)
        assert task
        selector = f"axiom.dev/task-uid={task['metadata']['uid']},axiom.dev/role=agent"
        return self.team(
            "get", "pods", "--selector", selector, "--output", "jsonpath={.items[*].metadata.uid}"
        )

    def take_definitions(self, folder: Path) -> None:
        """As the chart's README says."""
        apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=helm")
        self.admin(*apply, "--filename", str(folder))


@pytest.fixture(scope="module")
def life(
    cluster: Connection,
    images: Images,
    agent_image: Callable[[str], str],
    vendor: Vendor,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Life]:
    """The chart and the images of the commit before are installed; two tasks run."""
    mark = uuid.uuid4().hex[:8]
    release = Release(cluster, f"axiom-{mark}")
    admin, team = Kubectl(cluster, release.namespace), Kubectl(cluster, f"e2e-{mark}")
    earlier = earlier_tree(tmp_path_factory.mktemp("earlier"))
    storage = build_storage_image(cluster)
    common = {
        "objectStorage": {"embedded": {"persistent": True, "size": "1Gi"}},
        "egress": {"privateUpstreams": [cluster.machine_address]},
    }
    made = Life(
        release,
        admin,
        team,
        image_values(build_product_images(cluster, earlier), storage) | common,
        image_values(images, storage) | common,
        tmp_path_factory.mktemp("future"),
    )
    make_future(made.future)
    for kubectl in (admin, team):
        kubectl.create_namespace()
        kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    make_volume(admin, tmp_path_factory.mktemp("volume"))
    make_class(team, agent_image("plain"), vendor)
    if admin.get("crd", "agenttasks.axiom.dev"):  # another test's, which helm would respect
        made.take_definitions(earlier / "crds")
    try:
        release.install(made.before, earlier / "charts" / "axiom")
        yield made
    finally:
        admin.run("delete", "agenttasks", "--all", "--all-namespaces", timeout=120)
        if release.name in admin("get", "deployments", "--output", "name"):
            release.uninstall()
        made.take_definitions(ROOT / "crds")
        admin.run("delete", "agentclass", team.namespace)
        admin.run("delete", "namespace", release.namespace, team.namespace, "--wait=false")
        admin.run("delete", "persistentvolume", release.namespace, "--wait=false")


def make_future(folder: Path) -> None:
    shutil.copytree(CHART, folder, dirs_exist_ok=True)
    file = folder / "crds" / "axiom.dev_agenttasks.yaml"
    definition = yaml.safe_load(file.read_text())
    [version] = definition["spec"]["versions"]
    properties = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    properties[NEW_FIELD] = {"type": "string", "description": "What only a newer operator writes."}
    file.write_text(yaml.safe_dump(definition))


def make_volume(admin: Kubectl, folder: Path) -> None:
    """Room on the node, for the claim of the embedded S3 server."""
    folder.parent.chmod(0o755)
    folder.chmod(0o777)
    admin.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": admin.namespace},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": admin.namespace, "name": "axiom-storage"},
                "hostPath": {"path": str(folder)},
            },
        }
    )


def make_class(team: Kubectl, image: str, vendor: Vendor) -> None:
    team.apply(asking_class(team.namespace, image, vendor.address, "model"))


# --- an upgrade -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not has_earlier_commit(), reason="a clone of one commit: upgraded from this very commit")
def test_the_installation_is_of_the_commit_before(life: Life) -> None:
    images = life.admin("get", "pods", "--output", "jsonpath={.items[*].spec.containers[0].image}").split()

    assert set(images) == {life.before["images"]["controlPlane"], life.before["images"]["storage"]}


def test_tasks_run_through_the_egress_proxy(life: Life, vendor: Vendor) -> None:
    life.admin("create", "secret", "generic", "model", "--from-literal=key=sk-e2e")
    for name in RUNNING:
        life.make_task(name, f"poll {name}")
    for name in RUNNING:
        life.wait(name, is_running)
        life.pods[name] = life.agent_pod(name)
    wait_until(
        "the agents to ask",
        lambda: None if {f"/{name}" for name in RUNNING} <= vendor.asked else str(vendor.asked),
        limit_seconds=120,
    )


def test_an_upgrade_that_needs_newer_definitions_is_refused_before_anything_is_changed(life: Life) -> None:
    def revision() -> int:
        return int(json.loads(life.release.helm("status", "--output", "json"))["version"])

    before = revision()
    with pytest.raises(HelmError) as refused:
        life.release.upgrade(life.values, life.future)

    assert f"agenttasks.axiom.dev v1alpha1.status.{NEW_FIELD}" in str(refused.value)
    assert "kubectl apply --server-side --force-conflicts --field-manager=helm" in str(refused.value)
    assert revision() == before


def test_tasks_that_run_outlive_an_upgrade_to_new_definitions_images_and_replicas(
    life: Life, vendor: Vendor, images: Images
) -> None:
    next_image = f"{images.control_plane}-next"
    tag_image(life.release.connection, images.control_plane, next_image)
    several = {name: {"replicas": 2} for name in ("operator", "gateway", "egress")}
    several["egress"] |= {**life.values["egress"], "credentialSecrets": ["model"]}
    life.values |= several | {
        "images": {**life.values["images"], "controlPlane": next_image},
        "test": {"task": True},
    }
    life.take_definitions(life.future / "crds")
    vendor.asked.clear()

    life.make_task("meanwhile", "poll meanwhile")
    life.release.upgrade(life.values, life.future)

    running = life.admin("get", "pods", "--output", "jsonpath={.items[*].spec.containers[0].image}").split()
    assert running.count(next_image) == 6
    assert {name: life.agent_pod(name) for name in RUNNING} == life.pods
    wait_until(
        "the agents to reach their vendor again",
        lambda: None if {f"/{name}" for name in RUNNING} <= vendor.asked else str(vendor.asked),
        limit_seconds=120,
    )
    vendor.may_answer.set()
    ended = {name: life.wait(name, is_complete)["status"] for name in (*RUNNING, "meanwhile")}
    assert {name: status["verdict"] for name, status in ended.items()} == dict.fromkeys(ended, "Pass")
    assert {status["attempt"] for status in ended.values()} == {1}
    assert not any(status.get("lostAttempts") for status in ended.values())


def test_another_operator_takes_over_and_helm_test_finds_all_well(life: Life) -> None:
    def holder() -> str:
        return life.admin("get", "lease", "axiom-operator", "--output", "jsonpath={.spec.holderIdentity}")

    first = holder()
    life.admin("delete", "pod", first)
    wait_until(
        "another operator", lambda: None if holder() not in ("", first) else "not yet", limit_seconds=120
    )

    said = life.release.test()

    assert "all 10 checks passed" in said
    assert re.search(r"^ok +task axiom-test: Pass", said, re.MULTILINE)
    assert life.admin.get("pod", "axiom-test") is None
    assert life.admin.get("agenttask", "axiom-test") is None


# --- removed, and made anew ---------------------------------------------------------------------------------------


def documented(beginning: str, connection: Connection, *options: str) -> None:
    """Gives the only command of the chart's README that begins so."""
    [line] = [line for line in (CHART / "README.md").read_text().splitlines() if line.startswith(beginning)]
    kubectl = f"{connection.bin_dir}/kubectl"
    run([kubectl, "--kubeconfig", connection.kubeconfig, *line.split()[1:], *options])


def test_what_is_not_the_charts_own_stays_when_it_is_removed(life: Life, vendor: Vendor) -> None:
    vendor.may_answer.clear()
    life.make_task("orphaned", "poll orphaned")
    life.wait("orphaned", is_running)

    life.release.uninstall()

    assert life.admin("get", "deployments,services,configmaps,roles", "--output", "name", "-l", "app.kubernetes.io/name=axiom") == ""  # fmt: skip
    kept = life.admin("get", "persistentvolumeclaims,secrets", "--output", "name", "-l", "app.kubernetes.io/name=axiom")  # fmt: skip
    assert set(kept.split()) == {"persistentvolumeclaim/axiom-storage", "secret/axiom-storage"}
    assert life.team.get("agenttask", RUNNING[0])
    around_sandboxes = (
        "get",
        "networkpolicies",
        "-l",
        "app.kubernetes.io/managed-by=axiom",
        "--output",
        "name",
    )
    assert len(life.team(*around_sandboxes).split()) == len(POLICY_NAMES)
    documented("kubectl delete networkpolicies", life.release.connection)
    assert life.team(*around_sandboxes) == ""


def test_a_new_installation_goes_on_with_what_it_finds(life: Life, vendor: Vendor) -> None:
    life.make_task("waited", "poll waited")
    documented("kubectl delete pods", life.release.connection, "--wait=false")
    values = {key: value for key, value in life.values.items() if key not in ("operator", "gateway")}

    life.release.install(values)

    vendor.may_answer.set()
    waited, orphaned = (life.wait(name, is_complete)["status"] for name in ("waited", "orphaned"))
    assert (waited["verdict"], waited["attempt"]) == ("Pass", 1)
    assert (orphaned["verdict"], orphaned["attempt"]) == ("Pass", 2)
    life.team("create", "serviceaccount", "viewer")
    life.team(
        "create", "rolebinding", "viewer", "--clusterrole=view",
        f"--serviceaccount={life.team.namespace}:viewer",
    )  # fmt: skip
    token = life.team("create", "token", "viewer").strip()
    url = f"http://{life.admin.address_of('gateway')}:8080/v1/tasks/{life.team.namespace}/{RUNNING[0]}/diff"
    with urlopen(Request(url, headers={"Authorization": f"Bearer {token}"}), timeout=120) as answer:
        assert "+200 OK" in answer.read().decode()
