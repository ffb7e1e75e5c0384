"""The real kind reads our configuration; docker is a stand-in, as there may be none, and no node image."""

import os
import subprocess
from pathlib import Path

import pytest

from e2e.cluster import kind

pytestmark = pytest.mark.e2e

DOCKER = """\
#!/bin/bash
case "$1" in
  -v) echo "Docker version 28.0.0, build 1";;
  info) echo '{"CgroupVersion": "2", "CgroupDriver": "systemd", "MemoryLimit": true, "PidsLimit": true, "CPUShares": true}';;
  inspect) echo image;;
  run | network) echo "no nodes here" >&2; exit 1;;
esac
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "KIND_EXPERIMENTAL_PROVIDER": "docker"}


def create(configuration: Path, environment: dict[str, str]) -> str:
    command = [kind.program(), "create", "cluster", "--name", "e2e", "--config", str(configuration)]
    command += ["--kubeconfig", os.devnull]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    ).stderr


def test_kind_accepts_our_configuration_and_gets_as_far_as_docker(environment: dict[str, str]) -> None:
    said = create(kind.CONFIGURATION, environment)

    assert "decode config" not in said
    assert "no nodes here" in said  # docker's own words


def test_kind_would_refuse_a_field_that_it_does_not_know(environment: dict[str, str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(kind.CONFIGURATION.read_text().replace("nodes:", "nodez:"))

    assert "field nodez not found" in create(wrong, environment)
