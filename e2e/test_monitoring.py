"""A real Prometheus against a live installation: every panel has data, quiet alerts are quiet, and names stay inside."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import pytest
from tests.axiom.monitoring.promql import plain

from axiom.monitoring.catalogue import definitions
from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.chart import CHART, Release, build_storage_image, image_values
from e2e.support.images import ROOT, Images
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.prometheus import Prometheus, prometheus
from e2e.support.vendor import asking_class
from e2e.support.world import SMALL, is_complete, is_running

pytestmark = [pytest.mark.e2e, pytest.mark.hermetic("reaches pods from this machine")]

CREDENTIAL = "model"
WATCHERS = "watchers"
"""A label of namespaces that may read metrics."""


ANSWER = {
    "model": "model-1",
    "choices": [],
    "usage": {
        "prompt_tokens": 30_000,
        "completion_tokens": 10_000,
        "prompt_tokens_details": {"cached_tokens": 10_000},
    },
}
"""Of a model, with what it used."""


class Model(BaseHTTPRequestHandler):
    """A vendor that answers whatever it is asked."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@dataclass(frozen=True)
class Load:
    """An installation under load, and who watches it."""

    prometheus: Prometheus
    admin: Kubectl
    team: Kubectl
    images: Images
    classes: dict[str, str]
    """By what is right or wrong with it: its name."""
    tasks: tuple[str, ...]


@pytest.fixture(scope="module")
def model(cluster: Connection) -> Iterator[str]:
    """Base address of a vendor on this machine, outside of the cluster."""
    with ThreadingHTTPServer((cluster.machine_address, 0), Model) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{cluster.machine_address}:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def release(cluster: Connection, images: Images) -> Iterator[Release]:
    """Installed so that only some namespaces may read metrics."""
    release = Release(cluster, f"axiom-{uuid.uuid4().hex[:8]}")
    admin = Kubectl(cluster, release.namespace)
    if admin.run("get", "crd", "agenttasks.axiom.dev").returncode == 0:  # which helm would leave as they are
        take = ("apply", "--server-side", "--force-conflicts", "--field-manager=helm")
        admin(*take, "--filename", str(ROOT / "crds"))
    admin("create", "namespace", release.namespace)
    admin("create", "secret", "generic", CREDENTIAL, "--from-literal=key=sk-the-real-key")
    watchers = {"namespaceSelector": {"matchLabels": {WATCHERS: release.namespace}}}
    this_machine = {"ipBlock": {"cidr": f"{cluster.machine_address}/32"}}
    values = {
        **image_values(images, build_storage_image(cluster)),
        "egress": {"credentialSecrets": [CREDENTIAL], "privateUpstreams": [cluster.machine_address]},
        "monitoring": {
            "scrapeFrom": [watchers, this_machine],
            "rulesConfigMap": {"enabled": True},
        },
    }
    try:
        release.install(values)
        yield release
    finally:
        if release.name in admin("get", "deployments", "--output", "name"):
            release.uninstall()
        admin.run("delete", "namespace", release.namespace, "--wait=false")


@pytest.fixture(scope="module")
def team(cluster: Connection, release: Release) -> Iterator[Kubectl]:
    """kubectl in the namespace of somebody who has tasks."""
    team = Kubectl(cluster, f"e2e-{uuid.uuid4().hex[:8]}")
    team.create_namespace()
    yield team
    team.run("delete", "agenttasks", "--all", timeout=120)
    team.run("delete", "namespace", team.namespace, "--wait=false")


@pytest.fixture(scope="module")
def load(
    release: Release,
    team: Kubectl,
    images: Images,
    model: str,
    agent_image: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Load]:
    """Tasks of all kinds, twice, with a scrape between; and one whose agent works for a minute."""
    admin = Kubectl(release.connection, release.namespace)
    rules = admin("get", "configmap", "axiom-rules", "--output", "jsonpath={.data['axiom\\.yaml']}")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "rules.yaml").write_text(rules)
    classes = {
        name: make_class(team, f"{name}-{team.namespace}", agent_image("plain"), model, secret)
        for name, secret in (("good", CREDENTIAL), ("keyless", "missing"))
    }
    try:
        with prometheus(release.connection, release.namespace, folder, folder / "rules.yaml") as watcher:
            tasks: list[str] = []
            for wave in (1, 2):
                tasks += run_tasks(team, classes, wave)
                read_events(team, admin, f"passes-{wave}")
                wait_scraped(watcher, wave)
            make_task(team, "works", classes["keyless"], "await never.txt")
            team.wait_for("agenttask", "works", is_running, 240)
            yield Load(watcher, admin, team, images, classes, tuple(tasks))
    finally:
        team.run("delete", "agentclass", *classes.values())


def make_class(team: Kubectl, name: str, image: str, model: str, secret: str) -> str:
    prices = [{"model": "model-*", "input": "10", "output": "100"}]
    team.apply(asking_class(name, image, model, secret, prices=prices))
    return name


def run_tasks(team: Kubectl, classes: dict[str, str], wave: int) -> list[str]:
    """One that passes, one that says Done and is not, one that gives up, two that the proxy refuses, one without a class."""
    good = classes["good"]
    kinds: dict[str, tuple[str, tuple[str, ...]]] = {
        "passes": (good, ("post v1/chat/completions", "write greeting.txt hello", "exit 0")),
        "lies": (good, ("say done", "exit 0")),
        "gives-up": (good, ("exit 3",)),
        "strays": (good, ("call ../secrets", "exit 0")),
        "keyless": (classes["keyless"], ("post v1/chat/completions", "exit 0")),
        "classless": ("nobodys-class", ("exit 0",)),
    }
    for kind, (agent_class, steps) in kinds.items():
        make_task(team, f"{kind}-{wave}", agent_class, *steps)
    for kind in kinds:
        if kind != "classless":
            team.wait_for("agenttask", f"{kind}-{wave}", is_complete, 300)
    return [f"{kind}-{wave}" for kind in kinds]


def make_task(team: Kubectl, name: str, agent_class: str, *steps: str) -> None:
    team.create(
        {
            "apiVersion": "axiom.dev/v1alpha1",
            "kind": "AgentTask",
            "metadata": {"name": name},
            "spec": {
                "agentClassName": agent_class,
                "prompt": "\n".join(steps),
                "workspace": {"files": [{"path": "README.md", "content": "Say hello.\n"}]},
                "criteria": [{"name": "files", "files": {"expect": [{"path": "greeting.txt"}]}}],
                "limits": {"deadline": "5m", "maxRounds": 1, "resources": SMALL},
                "force": True,  # what failed is asked for again
            },
        }
    )


def read_events(team: Kubectl, admin: Kubectl, task: str) -> None:
    """As a person would, through the gateway."""
    if team.get("serviceaccount", "viewer") is None:
        account = f"--serviceaccount={team.namespace}:viewer"
        team("create", "serviceaccount", "viewer")
        team("create", "rolebinding", "viewer", "--clusterrole=view", account)
    token = team("create", "token", "viewer").strip()
    url = f"http://{admin.address_of('gateway')}:8080/v1/tasks/{team.namespace}/{task}/events"
    with urlopen(Request(url, headers={"Authorization": f"Bearer {token}"}), timeout=120) as answer:
        assert answer.read()


def wait_scraped(watcher: Prometheus, wave: int) -> None:
    """Until Prometheus has seen this wave's outcomes."""

    def missing() -> str | None:
        found = sum(value for _, value in watcher.query("sum (axiom_tasks_completed_total)"))
        return None if found >= 5 * wave else f"{found:.0f} of {5 * wave} outcomes"

    wait_until("the outcomes in Prometheus", missing, limit_seconds=90)


def test_every_panel_has_data(load: Load) -> None:
    boards = delivered(load.admin)
    assert len(boards) == 4
    # What a scrape that took too long has made unknown, the next one brings again.
    wait_until(
        "every panel to have data", lambda: "\n".join(empty_panels(load, boards)) or None, limit_seconds=90
    )


def empty_panels(load: Load, boards: list[Any]) -> Iterator[str]:
    for board in boards:
        for panel in (panel for panel in board["panels"] if panel["type"] != "row"):
            for target in panel["targets"]:
                chosen = load.classes["good"] if board["uid"] == "axiom-class" else ".*"
                found = load.prometheus.query(plain(target["expr"], chosen))
                if UNASKED in target["expr"]:
                    assert found == []
                elif any(name in target["expr"] for name in UNTOLD):
                    continue
                elif not any(math.isfinite(value) for _, value in found):
                    yield f"{board['title']} / {panel['title']}: {target['expr']} gives {found}"


UNASKED = "axiom_judged_rounds_total"
"""No task of the load has a judge, and a counter by verdict begins with its first."""
UNTOLD = (
    "axiom_agent_context_percent_highest",
    "axiom_agent_output_per_second_lowest",
    "axiom_agent_talk_in_row_highest",
    "axiom_claim_disagreements_total",
    "axiom_egress_signals_total",
    "axiom_vendor_breaker_open",
    "axiom_vendor_next_try_timestamp_seconds",
)
"""The agent of the load speaks no protocol, its model answers, and what it answers holds nothing to notice."""


def delivered(admin: Kubectl) -> list[Any]:
    """The dashboards as Grafana's sidecar would take them."""
    text = admin("get", "configmaps", "--selector", "grafana_dashboard=1", "--output", "json")
    return [json.loads(board) for item in json.loads(text)["items"] for board in item["data"].values()]


def test_panels_tell_what_happened(load: Load) -> None:
    def total(expression: str) -> float:
        return sum(value for _, value in load.prometheus.query(expression))

    good = f'agent_class="{load.classes["good"]}"'
    wanted: dict[str, float] = {
        f'axiom_tasks_completed_total{{{good}, verdict="Pass", reason="Passed"}}': 2,
        f'axiom_claims_total{{{good}, claim="Success", verdict="Fail"}}': 4,
        f'axiom_claims_total{{{good}, claim="Failure", verdict="Fail"}}': 2,
        'axiom_tasks_waiting{reason="ClassNotFound"}': 2,
        'axiom_egress_denials_total{reason="axiom_bad_path"}': 2,
        'axiom_egress_denials_total{reason="axiom_no_credential"}': 2,
        f'axiom_egress_requests_total{{{good}, status="2xx"}}': 2,
        "axiom_gateway_ledgers_lost_total": 0,
        "axiom_lease_held": 1,
    }

    def untold() -> str | None:
        """The programs are scraped one after the other, and again a second later."""
        found = {expression: total(expression) for expression in wanted}
        return None if found == wanted else str(found)

    wait_until("all that happened to be told", untold, limit_seconds=60)
    for phase in ("queue", "pod_start", "probe", "workspace", "agent", "verification", "sealing"):
        counted = f'axiom_task_phase_seconds_count{{{good}, phase="{phase}"}}'
        wait_until(counted, lambda counted=counted: None if total(counted) > 0 else "0", limit_seconds=60)  # type: ignore[misc]


def test_only_the_alert_that_should_fires(load: Load) -> None:
    known = load.prometheus.ask("rules")["groups"]
    assert {rule["health"] for group in known for rule in group["rules"]} == {"ok"}

    def firing() -> set[str]:
        return {labels["alertname"] for labels, _ in load.prometheus.query('ALERTS{alertstate="firing"}')}

    wait_until(
        "the alert of the missing credential",
        lambda: None if "AxiomCredentialMissing" in firing() else f"firing: {firing()}",
        limit_seconds=90,
    )
    assert firing() == {"AxiomCredentialMissing"}


def test_what_is_shown_is_what_is_declared_and_names_nobody(load: Load) -> None:
    declared: dict[str, dict[str, tuple[str, ...]]] = {}
    for item in definitions():
        for end in ("", "_bucket", "_sum", "_count"):
            own = declared.setdefault(item.name + end, {"le": ()})
            for label in item.labels:
                own[label.name] = own.get(label.name, ()) + label.values
    series = load.prometheus.ask("series", **{"match[]": '{__name__=~"axiom_.+"}'})
    assert len(series) > 500
    for found in series:
        name, labels = found.pop("__name__"), {k: v for k, v in found.items() if k not in ("instance", "job")}
        for label, value in labels.items():
            assert label in declared[name], f"{name} is not declared with {label}"
            assert not declared[name][label] or value in declared[name][label], f"{name}: {label}={value}"
            assert value not in (*load.tasks, load.team.namespace, "nobodys-class")


@pytest.mark.parametrize("allowed", [True, False])
def test_only_chosen_namespaces_read_metrics(load: Load, allowed: bool) -> None:
    cluster = load.admin.connection
    elsewhere = Kubectl(cluster, f"e2e-{uuid.uuid4().hex[:8]}")
    addresses = [f"{load.admin.address_of(name)}:{port}" for name, port in PORTS.items()]
    elsewhere.create_namespace()
    try:
        if allowed:
            elsewhere("label", "namespace", elsewhere.namespace, f"{WATCHERS}={load.admin.namespace}")
        patience = 30 if allowed else 5  # an open way is opened once the network knows of the pod
        elsewhere.create(reader(load.images.control_plane, patience, addresses))
        pod = elsewhere.wait_for("pod", "reader", has_ended, 180)
        assert pod["status"]["phase"] == "Succeeded"
        assert elsewhere.logs("reader", "reader").split() == ["read" if allowed else "shut"] * len(PORTS)
    finally:
        elsewhere.run("delete", "namespace", elsewhere.namespace, "--wait=false")


PORTS = {"operator": 9090, "gateway": 9091, "egress": 8789}
READ = """
import sys, urllib.request
from concurrent.futures import ThreadPoolExecutor
def read(address):
    try:
        text = urllib.request.urlopen(f"http://{address}/metrics", timeout=int(sys.argv[1])).read().decode()
        return "read" if "axiom_build_info" in text else text
    except OSError:
        return "shut"
with ThreadPoolExecutor() as all_at_once:
    print(*all_at_once.map(read, sys.argv[2:]))
"""


def reader(image: str, patience: int, addresses: list[str]) -> Object:
    container = {
        "name": "reader",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", READ, str(patience), *addresses],
    }
    spec = {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader"}, "spec": spec}


def has_ended(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def test_the_alerts_are_the_charts(load: Load) -> None:
    stored = load.admin("get", "configmap", "axiom-rules", "--output", "jsonpath={.data['axiom\\.yaml']}")
    assert stored == (CHART / "alerts" / "axiom.yaml").read_text()
