"""kubeconform over what the chart renders and over our examples, with the schemas that this cluster's API server publishes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.binaries import binary
from e2e.cluster.connection import Connection
from e2e.cluster.errors import ClusterError
from e2e.cluster.waiting import wait_until
from e2e.support.chart import CHART
from e2e.support.images import ROOT
from e2e.support.kubernetes import Kubectl
from e2e.support.schemas import LOCATION, write_schemas

pytestmark = pytest.mark.e2e

VALUES_FILES = sorted((ROOT / "tests" / "charts" / "values").glob("*.yaml"))
OURS = "axiom.dev/v1alpha1"
OTHERS = ("ServiceMonitor", "PrometheusRule")
"""Kinds whose definitions are the Prometheus operator's, which is not here."""


@pytest.fixture(scope="module")
def rendered(cluster: Connection) -> dict[str, str]:
    """What helm makes of each file of values, hooks and definitions too."""
    options = ("--namespace", "axiom-system", "--kube-version", "1.36.0", "--include-crds")
    return {
        file.stem: subprocess.run(
            [f"{cluster.bin_dir}/helm", "template", "axiom", str(CHART), *options, "--values", str(file)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for file in VALUES_FILES
    }


@pytest.fixture(scope="module")
def schemas(cluster: Connection, rendered: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the schemas of all versions that the chart uses, and of ours."""
    kubectl = Kubectl(cluster)
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", str(ROOT / "crds"))
    kubectl("wait", "--for=condition=Established", "crd/agenttasks.axiom.dev", "crd/agentclasses.axiom.dev")
    used = {
        item["apiVersion"]
        for text in rendered.values()
        for item in yaml.load_all(text, yaml.CSafeLoader)
        if item and item["kind"] not in OTHERS
    }
    folder = tmp_path_factory.mktemp("schemas")
    wait_until("our definitions to be published", lambda: unpublished(kubectl), limit_seconds=60)
    write_schemas(kubectl.api(), used | {OURS}, folder)
    return folder


def unpublished(kubectl: Kubectl) -> str | None:
    try:
        kubectl.api().get(f"/openapi/v3/apis/{OURS}")
    except ClusterError as error:
        return str(error)
    return None


def problems(schemas: Path, text: str) -> list[str]:
    """What kubeconform says about each object that is not valid."""
    command = [binary("kubeconform"), "-strict", "-output", "json", "-skip", ",".join(OTHERS)]
    ended = subprocess.run(
        [*command, "-schema-location", f"{schemas}/{LOCATION}"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found: list[dict[str, Any]] = json.loads(ended.stdout)["resources"]
    return [f"{item['kind']} {item['name']}: {item['msg']}" for item in found]


@pytest.mark.parametrize("file", VALUES_FILES, ids=lambda file: file.stem)
def test_the_api_server_knows_every_field_of_the_chart(
    schemas: Path, rendered: dict[str, str], file: Path
) -> None:
    assert problems(schemas, rendered[file.stem]) == []


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_definitions_know_every_field_of_the_examples(schemas: Path, file: Path) -> None:
    assert problems(schemas, file.read_text()) == []


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"apiVersion": "v1", "kind": "Service", "spec": {"portz": []}}, "portz"),
        ({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": "two"}}, "/spec/replicas"),
        ({"apiVersion": OURS, "kind": "AgentClass", "spec": {"imagee": "a:1"}}, "imagee"),
        ({"apiVersion": "v1", "kind": "Nothing"}, "could not find schema for Nothing"),
    ],
)
def test_what_is_wrong_is_found(schemas: Path, manifest: dict[str, Any], said: str) -> None:
    [problem] = problems(schemas, json.dumps({**manifest, "metadata": {"name": "wrong"}}))

    assert said in problem
