"""`axiom checkpoints TASK --diff N M`, as a person meets it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from click.testing import Result
from tests.axiom.evidence.checkpoints import SECRET, keep_two
from tests.axiom_sandbox.supervising.keeper import IDENTITY
from typer.testing import CliRunner

from axiom.cli.main import app
from axiom.storage.folder import FolderStore


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("differing")
    asyncio.run(keep_two(folder / "sandbox", FolderStore(folder / "state" / "store"), IDENTITY))
    return folder / "state"


def ask(state: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["checkpoints", "t", "--from", str(state), *options])


def test_a_table_names_each_path_and_what_differs(state: Path) -> None:
    shown = ask(state, "--diff", "1", "2")
    assert shown.exit_code == 0, shown.output
    rows = {
        cells[1]: cells
        for line in shown.stdout.splitlines()
        if len(cells := line.replace("│", " ").split()) > 2
    }
    assert rows["changed"][:3] == ["changed", "changed", "content"]
    assert rows["changed"][3:6] == ["8", "→", "57"]
    assert rows["gone"][0] == "deleted"
    assert rows["new"][0] == "added"


def test_rows_are_json_for_programs(state: Path) -> None:
    rows = {
        row["path"]: row
        for row in map(json.loads, ask(state, "--diff", "1", "2", "--json").stdout.splitlines())
    }
    assert rows["gone"]["before"]["size"] == 5
    assert rows["gone"]["after"] is None
    assert rows["changed"]["what"] == ["content"]
    back = {
        row["path"]: row["change"]
        for row in map(json.loads, ask(state, "--diff", "2", "1", "--json").stdout.splitlines())
    }
    assert (back["gone"], back["new"]) == ("added", "deleted")


def test_the_original_patch_makes_the_second_of_the_first_and_the_shown_one_has_no_secret(
    state: Path, tmp_path: Path
) -> None:
    shown, original = (ask(state, "--diff", "1", "2", "--patch", *more) for more in ((), ("--original",)))
    assert SECRET not in shown.stdout
    assert f"+token = {'*' * len(SECRET)}\n" in shown.stdout
    for patch, content in ((original, SECRET.encode()), (shown, b"*" * len(SECRET))):
        tree = tmp_path / str(len(content) + (patch is shown))
        tree.mkdir()
        (tree / "changed").write_bytes(b"one\ntwo\n")
        (tree / "gone").write_bytes(b"gone\n")
        subprocess.run(["git", "apply", "-"], cwd=tree, input=patch.stdout_bytes, check=True)
        assert sorted(path.name for path in tree.iterdir()) == ["changed", "new"]
        assert (tree / "new").read_bytes() == b"\0" + content + b"\0"


def test_what_is_the_same_and_what_is_not_there_is_said(state: Path) -> None:
    same = ask(state, "--diff", "2", "2")
    assert (same.exit_code, same.stderr) == (1, "the workspace is the same\n")
    missing = ask(state, "--diff", "1", "7")
    assert missing.exit_code == 3
    assert "the last run of 't' has no checkpoint 7; it has 1, 2" in missing.stderr
    assert ask(state, "--patch").exit_code == 2
    unknown = CliRunner().invoke(app, ["checkpoints", "other", "--from", str(state), "--diff", "1", "2"])
    assert (unknown.exit_code, "it has none" in unknown.stderr) == (3, True)
