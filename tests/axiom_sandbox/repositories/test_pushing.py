"""Pushing a result: one commit on the revision, of exactly what was captured; never by force, and nothing of the agent's obeyed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.axiom_sandbox.repositories.test_fetching import commit, git, make
from tests.fakes.git_server import GitServer, serve_git

from axiom_sandbox.protocol.changes import Change, ChangeKind, Changes, Entry, EntryKind
from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.repositories.fetching import Fetch
from axiom_sandbox.repositories.pushing import Push, Refusal, _refuse_submodules, quoted, refusal_in
from axiom_sandbox.snapshots import capture, read_tree, unpack

PASSWORD = "a-password-of-the-robot"


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


class Guarded:
    """The project at a server that wants a password, over https."""

    def __init__(self, project: Project, server: GitServer) -> None:
        self.project, self.server = project, server
        self.credentials, self.authority = project.folder / "secret", project.folder / "ca.crt"
        self.credentials.mkdir()
        host = server.url.removeprefix("https://")
        for key, value in {"host": host, "username": "robot", "password": PASSWORD}.items():
            (self.credentials / key).write_text(value)
        self.authority.write_text(server.authority)

    def hook(self, text: str) -> None:
        """What the server does before it takes a branch."""
        hook = self.project.folder / "served.git" / "hooks" / "update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{text}\n")
        hook.chmod(0o755)

    async def push(self, branch: str = "axiom/fix") -> str:
        base = await self.project.begin()
        (self.project.work / "new").write_text("n")
        url, source = f"{self.server.url}/served.git", Access(self.project.url, "spec.workspace.git")
        target = Access(url, "spec.result.push", self.credentials, "robot", self.authority)
        push = replace(self.project.push(base, branch), source=source, target=target, protocols="file:https")
        return await push.of(self.project.captured(), self.project.folder / "scratch")

    async def refusal(self) -> str:
        """Why nothing was pushed; the changes are as they were, and the server has no such branch."""
        with pytest.raises(RepositoryError) as caught:
            await self.push()
        assert (self.project.folder / "captured").is_dir()
        assert self.project.served("branch", "--list", "axiom/*") == ""
        assert PASSWORD not in str(caught.value)
        assert not caught.value.may_pass
        return str(caught.value)


@pytest.fixture
def guarded(project: Project) -> Iterator[Guarded]:
    keys = project.folder / "keys"
    keys.mkdir()
    with serve_git(project.folder, keys, password=PASSWORD) as server:
        yield Guarded(project, server)


async def test_a_branch_is_pushed_with_the_password_of_its_secret(guarded: Guarded) -> None:
    pushed = await guarded.push()
    assert guarded.project.served("rev-parse", "axiom/fix").strip() == pushed


async def test_a_branch_that_the_server_protects_is_told_in_the_servers_words(guarded: Guarded) -> None:
    guarded.hook('echo "axiom/fix is protected: ask the maintainers" >&2; exit 1')
    said = await guarded.refusal()
    assert "the server refuses the branch 'axiom/fix': hook declined" in said
    assert "axiom/fix is protected: ask the maintainers" in said
    assert "name another in spec.result.push.branch" in said


async def test_a_password_that_is_not_valid_any_more_is_told(guarded: Guarded) -> None:
    (guarded.credentials / "password").write_text("yesterday's")
    assert "the server does not accept what the Secret 'robot' holds; correct it" in await guarded.refusal()


async def test_a_secret_that_is_gone_is_told(guarded: Guarded) -> None:
    for key in guarded.credentials.iterdir():
        key.unlink()
    assert "the Secret 'robot' does not exist in the task's namespace" in await guarded.refusal()


async def test_a_branch_with_other_commits_is_left_as_it_is_over_https_too(guarded: Guarded) -> None:
    project = guarded.project
    git(project.origin, "checkout", "-q", "-b", "axiom/fix")
    other = commit(project.origin, other="o")
    git(project.origin, "push", "-q", str(project.folder / "served.git"), "axiom/fix")
    with pytest.raises(RepositoryError, match=r"'axiom/fix' is there already.*nothing is forced"):
        await guarded.push()
    assert project.served("rev-parse", "axiom/fix").strip() == other


async def test_a_server_that_does_not_answer_may_do_so_later(guarded: Guarded) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    (guarded.credentials / "host").write_text(f"127.0.0.1:{port}")
    guarded.server = replace(guarded.server, url=f"https://127.0.0.1:{port}")
    with pytest.raises(RepositoryError, match="git push failed") as caught:
        await guarded.push()
    assert caught.value.may_pass


@pytest.mark.parametrize(
    ("output", "by_server", "why"),
    [
        ("!\ta:refs/heads/b\t[rejected] (fetch first)\nDone\n", False, "fetch first"),
        ("!\ta:refs/heads/b\t[rejected] (non-fast-forward)\n", False, "non-fast-forward"),
        ("To x\n!\ta:refs/heads/b\t[remote rejected] (hook declined)\n", True, "hook declined"),
        ("!\ta:refs/heads/b\t[remote rejected] (non-fast-forward)\n", False, "non-fast-forward"),
        ("!\ta:refs/heads/b\t[remote failure] (no report)\n", True, "no report"),
    ],
)
def test_who_refused_a_branch_is_read_off_what_git_prints(output: str, by_server: bool, why: str) -> None:
    assert refusal_in(output) == Refusal(by_server, why)


def test_a_push_of_which_nothing_was_refused_has_no_refusal() -> None:
    assert refusal_in("To x\n=\ta:refs/heads/b\t[up to date]\nDone\n") is None


def test_changes_inside_a_submodule_are_refused() -> None:
    entry = Entry(path="lib/x", kind=EntryKind.FILE, digest="0" * 64)
    changes = Changes(base="", changes=(Change(path="lib/x", kind=ChangeKind.ADDED, entry=entry),))
    with pytest.raises(RepositoryError, match="'lib/x' lies in the submodule 'lib'"):
        _refuse_submodules(changes, ["lib"])
    _refuse_submodules(changes, ["li", "lib2"])


@pytest.mark.parametrize(("path", "seen"), [("a b", '"a b"'), ("a\nb", '"a\\012b"'), ('"', '"\\042"')])
def test_paths_are_quoted_byte_by_byte(path: str, seen: str) -> None:
    assert quoted(path) == seen.encode()
