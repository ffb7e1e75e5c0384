"""`axiom doctor` and `axiom probe`, as a person runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from e2e.cluster.connection import Connection


def troubles(cluster: Connection, *arguments: str) -> dict[str, list[str]]:
    """The problems that it finds: subject → names of their entries in docs/troubleshooting.md."""
    command = [sys.executable, "-m", "axiom.cli.main", "doctor", "--kubeconfig", cluster.kubeconfig, "--json"]
    ended = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    found: dict[str, list[str]] = {}
    for finding in json.loads(ended.stdout)["findings"]:
        if finding["level"] == "problem":
            found.setdefault(finding["subject"], []).append(finding["entry"])
    return found


def probed(cluster: Connection, agent_class: str, namespace: str) -> tuple[int, dict[str, Any]]:
    """`axiom probe` of a pod: its exit code, and its report."""
    options = [
        "--cluster",
        "--class",
        agent_class,
        "--namespace",
        namespace,
        "--kubeconfig",
        cluster.kubeconfig,
    ]
    command = [sys.executable, "-m", "axiom.cli.main", "probe", *options, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    return ended.returncode, json.loads(ended.stdout)
