"""Prometheus' own tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def promtool() -> str:
    """promtool: on PATH, or where `make setup` puts it."""
    found = shutil.which("promtool") or shutil.which("promtool", path=str(ROOT / "build/prometheus/usr/bin"))
    if found is None and os.environ.get("AXIOM_CI"):
        pytest.fail("promtool is missing: hack/prometheus-ready should have provided it")
    if found is None:
        pytest.skip("promtool is neither on PATH nor provided by `make setup` (apt only)")
    assert subprocess.run([found, "--version"], capture_output=True, timeout=30, check=False).returncode == 0
    return found
