"""What git itself writes into a checkout is no finding; what somebody planted there is one."""

import subprocess
from pathlib import Path

import pytest

from axiom_sandbox.snapshots import Tree, capture
from axiom_sandbox.snapshots.untouched import is_as_written, untouched_controls

CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n"
PLANTED = {
    "a program": b'\tfsmonitor = "touch /tmp/x"\n',
    "a folder of hooks": b"\thooksPath = evil\n",
    "another file": b"[include]\n\tpath = ../evil\n",
    "a filter": b'[filter "x"]\n\tclean = evil\n',
    "a helper for an address": b'[remote "origin"]\n\turl = ext::sh -c evil\n',
    "an option for an address": b'[remote "origin"]\n\turl = --upload-pack=evil\n',
    "a program for an address": b'[remote "origin"]\n\tuploadpack = evil\n',
    "a line that goes on": b"\tbare = false \\\n fsmonitor = evil\n",
    "a section and a setting in one line": b"[core] fsmonitor = evil\n",
}


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example", *arguments], check=True, capture_output=True)  # fmt: skip


def found(checkout: Path, out: Path, repository: Path | None = None) -> list[str]:
    known = untouched_controls(checkout, repository)
    return [finding.path for finding in capture(Tree({}), checkout, out, git=known).changes.findings]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    origin = tmp_path / "origin"
    origin.mkdir()
    (origin / "a.txt").write_text("a\n")
    git("-C", str(origin), "init", "--quiet", "--initial-branch=main")
    git("-C", str(origin), "add", "--all")
    git("-C", str(origin), "commit", "--quiet", "--message=one")
    git("clone", "--quiet", str(origin), str(tmp_path / "clone"))
    return tmp_path / "clone"


def test_a_clone_as_git_left_it_has_no_finding(clone: Path, tmp_path: Path) -> None:
    assert found(clone, tmp_path / "out") == []
    assert found(clone, tmp_path / "again", clone) == []


def test_what_was_planted_in_a_clone_is_found(clone: Path, tmp_path: Path) -> None:
    git("-C", str(clone), "config", "core.fsmonitor", "touch /tmp/x")
    (clone / ".git/hooks/post-checkout").write_text("#!/bin/sh\n")
    (clone / "sub/.git").mkdir(parents=True)
    (clone / "sub/.git/config").write_bytes(CONFIG)
    assert found(clone, tmp_path / "out", clone) == [
        ".git/config",
        ".git/hooks/post-checkout",
        "sub/.git/config",
    ]


def test_what_the_repository_of_the_base_has_is_no_finding(clone: Path, tmp_path: Path) -> None:
    hook = "#!/bin/sh\nexit 0\n"
    for folder in (clone, tmp_path / "origin"):
        (folder / ".git/hooks/pre-push").write_text(hook)
    assert found(clone, tmp_path / "out", tmp_path / "origin") == []
    (clone / ".git/hooks/pre-push").write_text(hook + "evil\n")
    assert found(clone, tmp_path / "again", tmp_path / "origin") == [".git/hooks/pre-push"]


@pytest.mark.parametrize("name", PLANTED)
def test_a_configuration_that_git_does_not_write_by_itself_is_not_taken_for_its_own(name: str) -> None:
    assert is_as_written(".git/config", CONFIG)
    assert not is_as_written(".git/config", CONFIG + PLANTED[name])
