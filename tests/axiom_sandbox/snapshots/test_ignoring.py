"""Patterns leave out what git would, and never what is to be kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axiom_sandbox.snapshots.ignoring import Ignoring
from axiom_sandbox.snapshots.states import Memory, take

GIT = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/"}


FILES = [
    "b", "ab", "abc", "a.o", "a/b/c", "a/b/x", "a/a.o", "a/d", "build/a", "build/keep", "x/a/b/c", "x/y/a.o", "x/build/keep",
    "x/build/a", "x/b", "x/x/b", "a-b", "a]b", "a*b", "ü", "x/ü", "\udcff", "a\\b", "-", "[ab", "a b", "#a", "aab", "d/b/d/b/c",
]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ignoring") / "tree"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def by_git(tree: Path, patterns: list[str]) -> set[str]:
    rules = tree.parent / "rules"
    rules.write_bytes(b"".join(os.fsencode(one) + b"\n" for one in patterns))
    if not (repository := tree.parent / "git").exists():
        subprocess.run(["git", "init", "--quiet", "--bare", repository], check=True, env=GIT)
    command = [
        "git", f"--git-dir={repository}", f"--work-tree={tree}", "ls-files", "--others", "-z", f"--exclude-from={rules}",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, check=True, env=GIT)
    return {os.fsdecode(one) for one in done.stdout.split(b"\0") if one}


def by_us(tree: Path, patterns: list[str]) -> set[str]:
    wants, found = Ignoring(patterns).selection.wants, set[str]()
    for folder, directories, files in os.walk(tree):
        base = os.path.relpath(folder, tree)
        paths = {name: name if base == "." else f"{base}/{name}" for name in (*directories, *files)}
        found |= {paths[name] for name in files if wants(paths[name], False)}
        directories[:] = [name for name in directories if wants(paths[name], True)]
    return found


PATTERNS = st.sampled_from([
    "a", "*.o", "/a", "a/", "/a/b", "a/b", "a/*", "**/b", "a/**", "a/**/c", "**/build/", "build/", "!build/keep", "!a", "!*.o", "x/*/",
    "x/**", "?", "[ab]", "[!a]", "[^a]", "[a-c]b", "[]a]", "a[]]b", "a\\*b", "*", "/*", "!/a", "**", "[ab", "ü", "?", "??", "a?b", "\\#a",
    "*/b", "b/**/c", "x/y", "[b-a]", "a\\\\b", "**/x/**", "*b*", "a**", "**b",
])  # fmt: skip


@given(st.lists(PATTERNS, min_size=1, max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_is_left_out_as_by_git(tree: Path, patterns: list[str]) -> None:
    assert by_us(tree, patterns) == by_git(tree, patterns)


def test_what_is_kept_in_any_case_is_kept_and_nothing_beside_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for path in (
        "dist/given",
        "dist/made",
        "dist/deep/given",
        "dist/deep/made",
        "dist/other/made",
        "note.md",
        "own.md",
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    ignoring = Ignoring(["dist/", "*.md"], ("dist/given", "dist/deep/given", "note.md"))
    for _ in range(2):
        state = take(root, tmp_path / "packs", Memory(), selection=ignoring.selection)
        assert {node.path for node in state.nodes if node.kind == "f"} == {
            "dist/given",
            "dist/deep/given",
            "note.md",
        }
        assert sorted(ignoring.left_out) == ["dist/deep/made", "dist/made", "dist/other", "own.md"]


def test_patterns_cost_no_more_for_names_that_were_made_for_them() -> None:
    wants = Ignoring(["*a*a*a*a*a*a*a*a*a*a*b"]).selection.wants
    assert wants("a" * 255, False)
