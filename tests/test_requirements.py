"""What images install is what uv.lock holds: same versions, same hashes, all that the group names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FILES = {
    "sandbox": "sandbox-image/requirements.txt",
    "verifier": "sandbox-image/verifier/requirements.txt",
    "control-plane": "operator/requirements.txt",
}


def locked() -> dict[str, dict[str, Any]]:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return {package["name"]: package for package in packages}


def required(group: str) -> dict[str, tuple[str, set[str]]]:
    """Name → version and hashes."""
    found = {}
    for entry in (ROOT / FILES[group]).read_text().replace("\\\n", " ").splitlines():
        pinned = re.match(r"([a-z0-9.-]+)==(\S+)", entry)
        assert pinned, f"not pinned: {entry}"
        found[pinned[1]] = (pinned[2], set(re.findall(r"--hash=(sha256:[0-9a-f]{64})", entry)))
    return found


@pytest.mark.parametrize("group", FILES)
def test_requirements_are_those_of_the_lock(group: str) -> None:
    packages = locked()
    for name, (version, hashes) in required(group).items():
        package = packages[name]
        files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
        assert package["version"] == version, f"{FILES[group]} is stale: see sandbox-image/README.md"
        assert hashes == {file["hash"] for file in files}


@pytest.mark.parametrize("group", FILES)
def test_requirements_hold_everything_that_the_group_needs(group: str) -> None:
    packages = locked()
    wanted = [item["name"] for item in packages["axiom"]["dev-dependencies"][group]]
    missing, have = [], required(group)
    while wanted:
        name = wanted.pop()
        if name not in have:
            missing.append(name)
            continue
        depends = packages[name].get("dependencies", ())
        wanted += [item["name"] for item in depends if "marker" not in item]
    assert not missing, f"{FILES[group]} is stale: see sandbox-image/README.md"
