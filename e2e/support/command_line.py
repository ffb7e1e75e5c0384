"""The command line as people use it, away from any terminal: with keys in the environment, or on a cluster with a token of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from e2e.support.kubernetes import Kubectl


def axiom(*words: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    ended = subprocess.run(
        [sys.executable, "-m", "axiom.cli.main", *words],
        capture_output=True, text=True, check=False, timeout=240, env={**os.environ, **environment},
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


class Person:
    """Somebody who may do some things in a namespace, and the command line."""

    def __init__(self, kubectl: Kubectl, gateway: str, folder: Path, name: str, *rules: str) -> None:
        """`rules`: a verb and resources each, such as `get agenttasks.axiom.dev`."""
        kubectl("create", "serviceaccount", name)
        account = f"--serviceaccount={kubectl.namespace}:{name}"
        for number, rule in enumerate(rules):
            verb, _, resource = rule.partition(" ")
            kubectl("create", "role", f"{name}-{number}", f"--verb={verb}", f"--resource={resource}")
            kubectl("create", "rolebinding", f"{name}-{number}", f"--role={name}-{number}", account)
        token = folder / name
        token.write_text(kubectl("create", "token", name, "--duration=1h").strip())
        self._options = (
            "--cluster", "--gateway", gateway, "--namespace", kubectl.namespace,
            "--kubeconfig", kubectl.connection.kubeconfig, "--token-file", str(token),
        )  # fmt: skip

    def axiom(self, *words: str) -> tuple[int, str, str]:
        return axiom(*words, *self._options)
