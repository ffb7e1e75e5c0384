"""Pushing a result: one commit on the revision, of exactly what was captured; never by force, and nothing of the agent's obeyed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.axiom_sandbox.repositories.test_fetching import commit, git, make

from axiom_sandbox.protocol.changes import Change, ChangeKind, Changes, Entry, EntryKind
from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.repositories.fetching import Fetch
from axiom_sandbox.repositories.pushing import Push, _refuse_submodules, quoted
from axiom_sandbox.snapshots import capture, read_tree, unpack


class Project:
    """A repository at a server, its base as a task has it, and a workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, f"file://{folder}/served.git"
        self.origin = make(folder / "origin")
        (self.origin / "src").mkdir()
        commit(self.origin, kept="k", changed="old\n", gone="g")
        git(folder, "clone", "-q", "--bare", "origin", "served.git")
        self.work, self.archive = folder / "work", folder / "base.tar.zst"

    async def begin(self) -> str:
        access = Access(self.url, "spec.workspace.git")
        fetched = await Fetch(access, "main", False, "file").to(self.archive, self.folder / "checkout")
        unpack(self.archive, self.work)
        return fetched.commit

    def captured(self) -> Path:
        return capture(read_tree(self.archive), self.work, self.folder / "captured").archive

    def push(self, commit: str, branch: str = "axiom/fix") -> Push:
        access = Access(self.url, "spec.result.push")
        digest = read_tree(self.archive).digest
        return Push(
            access, commit, digest, access, branch, "fix\n\nAxiom-Task: n/t u\n", 1_700_000_000, "file"
        )

    def served(self, *arguments: str) -> str:
        return git(self.folder / "served.git", *arguments)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


async def test_a_branch_holds_one_commit_with_exactly_the_changes(project: Project) -> None:
    base = await project.begin()
    (project.work / "changed").write_text("new\n")
    (project.work / "gone").unlink()
    (project.work / "src").mkdir(exist_ok=True)
    script = project.work / "src" / 'odd "name"\n\\ü'
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (project.work / "link").symlink_to("kept")
    (project.work / "copy").write_text("new\n")
    pushed = await project.push(base).of(project.captured(), project.folder / "scratch")
    assert project.served("rev-parse", "axiom/fix", "axiom/fix^").split() == [pushed, base]
    git(project.folder, "clone", "-q", "-b", "axiom/fix", "served.git", "result")
    result = project.folder / "result"
    names = {str(path.relative_to(result)) for path in result.rglob("*") if ".git" not in path.parts}
    assert names == {"kept", "changed", "copy", "link", "src", 'src/odd "name"\n\\ü'}
    assert os.access(result / "src" / 'odd "name"\n\\ü', os.X_OK)
    assert (result / "changed").read_text() == (result / "copy").read_text() == "new\n"
    assert (result / "link").readlink() == Path("kept")
    assert project.served("log", "-1", "--format=%an %at %B", "axiom/fix").startswith("Axiom 1700000000 fix")


async def test_the_same_push_again_is_the_same_commit(project: Project) -> None:
    base = await project.begin()
    (project.work / "new").write_text("n")
    changes = project.captured()
    first = await project.push(base).of(changes, project.folder / "scratch")
    assert await project.push(base).of(changes, project.folder / "scratch") == first


async def test_a_branch_with_other_commits_is_left_as_it_is(project: Project) -> None:
    base = await project.begin()
    git(project.origin, "checkout", "-q", "-b", "axiom/fix")
    other = commit(project.origin, other="o")
    git(project.origin, "push", "-q", str(project.folder / "served.git"), "axiom/fix")
    (project.work / "new").write_text("n")
    with pytest.raises(RepositoryError, match=r"'axiom/fix' is there already.*nothing is forced"):
        await project.push(base).of(project.captured(), project.folder / "scratch")
    assert project.served("rev-parse", "axiom/fix").strip() == other


async def test_a_branch_that_is_behind_is_moved_on(project: Project) -> None:
    base = await project.begin()
    (project.work / "new").write_text("n")
    pushed = await project.push(base, "main").of(project.captured(), project.folder / "scratch")
    assert project.served("rev-parse", "main").strip() == pushed


async def test_nothing_changed_is_nothing_pushed(project: Project) -> None:
    base = await project.begin()
    assert await project.push(base).of(project.captured(), project.folder / "scratch") == ""
    assert project.served("branch", "--list", "axiom/*") == ""


async def test_attributes_and_configuration_of_the_agent_are_data(project: Project) -> None:
    base = await project.begin()
    ran = project.folder / "ran"
    (project.work / ".gitattributes").write_text("* filter=evil text eol=crlf\n")
    (project.work / ".gitconfig").write_text(f'[filter "evil"]\n\tclean = touch {ran}\n')
    (project.work / "crlf").write_bytes(b"a\r\nb\n")
    await project.push(base).of(project.captured(), project.folder / "scratch")
    assert not ran.exists()
    assert project.served("cat-file", "-s", "axiom/fix:crlf").strip() == "5"


async def test_changes_of_another_base_are_refused(project: Project) -> None:
    base = await project.begin()
    (project.work / "new").write_text("n")
    push = replace(project.push(base), base="0" * 64)
    with pytest.raises(RepositoryError, match="captured against another base"):
        await push.of(project.captured(), project.folder / "scratch")


async def test_a_revision_that_the_server_lost_is_told(project: Project) -> None:
    await project.begin()
    with pytest.raises(RepositoryError, match="no longer holds the commit"):
        await project.push("1" * 40).of(project.captured(), project.folder / "scratch")


def test_changes_inside_a_submodule_are_refused() -> None:
    entry = Entry(path="lib/x", kind=EntryKind.FILE, digest="0" * 64)
    changes = Changes(base="", changes=(Change(path="lib/x", kind=ChangeKind.ADDED, entry=entry),))
    with pytest.raises(RepositoryError, match="'lib/x' lies in the submodule 'lib'"):
        _refuse_submodules(changes, ["lib"])
    _refuse_submodules(changes, ["li", "lib2"])


@pytest.mark.parametrize(("path", "seen"), [("a b", '"a b"'), ("a\nb", '"a\\012b"'), ('"', '"\\042"')])
def test_paths_are_quoted_byte_by_byte(path: str, seen: str) -> None:
    assert quoted(path) == seen.encode()
