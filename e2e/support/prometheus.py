"""A real Prometheus, Debian's, as a process of this machine that scrapes pods by their annotations.

Debian builds it without Kubernetes' service discovery. What that would tell of pods is read here and given as it is; which
of it is scraped, and where, the documented relabelling decides.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml
from tests.ports import free_port

from e2e.cluster.connection import Connection
from e2e.cluster.errors import ClusterError
from e2e.cluster.waiting import wait_until
from e2e.support.images import ROOT
from e2e.support.kubernetes import Kubectl

_META = "__meta_kubernetes_pod_annotation"

Sample = tuple[dict[str, str], float]
"""Labels and value."""


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    address: str

    def ask(self, path: str, **query: str) -> Any:
        """The `data` of an answer of its API. Raises OSError."""
        url = f"http://{self.address}/api/v1/{path}?{urlencode(query)}"
        with urlopen(url, timeout=30) as answer:
            return json.loads(answer.read())["data"]

    def query(self, expression: str) -> list[Sample]:
        """An instant vector's samples."""
        found = self.ask("query", query=expression)
        assert found["resultType"] == "vector", expression
        return [(item["metric"], float(item["value"][1])) for item in found["result"]]

    def targets(self) -> dict[str, str]:
        """Health (`up`, `down`, `unknown`) by address of everything that is scraped."""
        found = self.ask("targets", state="active")["activeTargets"]
        return {item["labels"]["instance"]: item["health"] for item in found}


def documented_scraping() -> dict[str, Any]:
    """The scrape configuration that docs/monitoring.md tells people to use."""
    text = (ROOT / "docs" / "monitoring.md").read_text()
    [found] = [
        block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "scrape_configs" in block
    ]
    parsed: dict[str, Any] = yaml.safe_load(found)
    return parsed


def discovered(namespace: Kubectl) -> Iterator[dict[str, Any]]:
    """What service discovery by the role `pod` says: each port of each pod, with the pod's annotations as labels."""
    for pod in json.loads(namespace("get", "pods", "--output", "json"))["items"]:
        annotations = pod["metadata"].get("annotations", {}).items()
        labels = {f"{_META}_{re.sub('[^a-zA-Z0-9_]', '_', name)}": value for name, value in annotations}
        for container in pod["spec"]["containers"]:
            for port in container.get("ports", ()):
                target = f"{pod['status']['podIP']}:{port['containerPort']}"
                yield {"targets": [target], "labels": labels}


@contextmanager
def prometheus(cluster: Connection, namespace: str, folder: Path, rules: Path) -> Iterator[Prometheus]:
    """While the context is open, it scrapes what is annotated in a namespace, every second. Raises ClusterError."""
    subprocess.run([ROOT / "hack" / "prometheus-ready"], check=True, timeout=600)
    program = shutil.which("prometheus") or str(ROOT / "build" / "prometheus" / "usr" / "bin" / "prometheus")
    configuration = documented_scraping()
    [scraping] = configuration["scrape_configs"]
    del scraping["kubernetes_sd_configs"]
    scraping["static_configs"] = list(discovered(Kubectl(cluster, namespace)))
    configuration |= {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
    }
    file, log = folder / "prometheus.yaml", folder / "prometheus.log"
    file.write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=output,
            stderr=output,
        )
    found = Prometheus(address)
    try:
        wait_until(
            "Prometheus to scrape all three programs",
            lambda: _missing(found),
            limit_seconds=60,
            diagnose=lambda: log.read_text()[-3000:],
        )
        yield found
    finally:
        process.terminate()
        process.wait(timeout=60)


def _missing(found: Prometheus) -> str | None:
    try:
        targets = found.targets()
    except (OSError, ClusterError) as error:
        return str(error)
    return None if sorted(targets.values()) == ["up"] * 3 else f"targets: {targets}"
