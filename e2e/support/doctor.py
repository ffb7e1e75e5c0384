"""`axiom doctor`, as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys

from e2e.cluster.connection import Connection


def troubles(cluster: Connection, *arguments: str) -> dict[str, list[str]]:
    """The problems that it finds: subject → names of their entries in docs/troubleshooting.md."""
    command = [sys.executable, "-m", "axiom.cli.main", "doctor", "--kubeconfig", cluster.kubeconfig, "--json"]
    ended = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    found: dict[str, list[str]] = {}
    for finding in json.loads(ended.stdout)["findings"]:
        if finding["level"] == "problem":
            found.setdefault(finding["subject"], []).append(finding["entry"])
    return found
