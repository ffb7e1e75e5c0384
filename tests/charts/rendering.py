"""Renders the chart with helm: on PATH, or the hermetic cluster's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e.cluster import layout

CHART = Path(__file__).parent.parent.parent / "charts" / "axiom"
VALUES_FILES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
"""Ways to install it that differ in what is rendered."""

Object = dict[str, Any]


def helm() -> str:
    """The program. Skips the test where there is none, but for CI."""
    found = shutil.which("helm") or next(map(str, sorted(layout.cache().glob("bin/helm-*/helm"))), None)
    if found is None:
        why = "helm is neither on PATH nor built by `python3 -m e2e.cluster build`"
        pytest.fail(why) if os.environ.get("AXIOM_CI") else pytest.skip(why)
    return found


def run(*arguments: str, values: Object | None = None) -> subprocess.CompletedProcess[str]:
    """helm with these values on its standard input."""
    command = [helm(), *arguments, "--values", "-"]
    document = json.dumps(values or {})
    return subprocess.run(command, input=document, capture_output=True, text=True, timeout=60, check=False)


def render(values: Object | None = None, release: str = "axiom") -> list[Object]:
    """All objects of a release, hooks too."""
    return deepcopy(_render(json.dumps(values or {}), release))


@cache
def _render(values: str, release: str) -> list[Object]:
    options = ("--namespace", "axiom-system", "--kube-version", "1.36.0")
    ended = run("template", release, str(CHART), *options, values=json.loads(values))
    assert ended.returncode == 0, ended.stderr
    return [item for item in yaml.load_all(ended.stdout, yaml.CSafeLoader) if item]


def refusal(values: Object) -> str:
    """What helm says when it renders nothing."""
    ended = run("template", "axiom", str(CHART), "--kube-version", "1.36.0", values=values)
    assert ended.returncode != 0
    return ended.stderr


def find(items: list[Object], kind: str, name: str) -> Object:
    """The only object of a kind and name."""
    [found] = [item for item in items if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def kinds(items: list[Object], kind: str) -> list[Object]:
    """All objects of a kind."""
    return [item for item in items if item["kind"] == kind]
