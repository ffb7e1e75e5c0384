"""What images install is what uv.lock holds, all that the group names, and all that the image's programs import."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import packages_distributions
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


ENTRIES = {
    "sandbox": ("axiom_sandbox.__main__",),
    "control-plane": (
        "axiom.reconciling.__main__",
        "axiom.gateway.__main__",
        "axiom.egress.__main__",
        "axiom.checking.__main__",
    ),
}
"""What the images start."""


@pytest.mark.parametrize("group", ENTRIES)
def test_images_hold_everything_that_their_programs_import(group: str) -> None:
    packages = {name: set(found) for name, found in packages_distributions().items()}
    have = set(required(group))
    missing = {
        f"{module} imports {name}"
        for module, name in imported(ENTRIES[group])
        if name in packages and not {normal(found) for found in packages[name]} & have
    }
    assert not missing


def imported(entries: Sequence[str]) -> set[tuple[str, str]]:
    """(module of ours, foreign top-level package), for every module that the entries lead to."""
    waiting, seen, foreign = list(entries), set[str](), set[tuple[str, str]]()
    while waiting:
        module = waiting.pop()
        if module in seen or not (file := source_of(module)):
            continue
        seen.add(module)
        for name in names_in(file):
            if name.split(".")[0] in ("axiom", "axiom_sandbox"):
                waiting += [name, *parents_of(name)]
            else:
                foreign.add((module, name.split(".")[0]))
    assert len(seen) > len(entries)
    return foreign


def names_in(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parents_of(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def source_of(module: str) -> Path | None:
    """Its file; None: a name in a module, or nothing of ours."""
    for root in (ROOT / "operator", ROOT / "sandbox-image"):
        path = root.joinpath(*module.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
