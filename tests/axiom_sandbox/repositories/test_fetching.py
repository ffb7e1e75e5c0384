"""Fetching git: any name of a commit, submodules or not, nothing of LFS, the bytes that the repository holds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from axiom_sandbox.repositories.access import Access, RepositoryError
from axiom_sandbox.repositories.fetching import Fetch, Fetched
from axiom_sandbox.snapshots import read_tree, unpack
from axiom_sandbox.snapshots.trees import Amount

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 123456\n"


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.example", "-c", "protocol.file.allow=always")
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def commit(folder: Path, **files: str) -> str:
    for name, content in files.items():
        (folder / name).write_bytes(content.encode())
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "more")
    return git(folder, "rev-parse", "HEAD").strip()


def make(folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "core.autocrlf", "false")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = make(tmp_path / "origin")
    commit(folder, one="1")
    git(folder, "tag", "v1")
    commit(folder, two="22")
    return folder


async def fetched(tmp_path: Path, url: str, revision: str = "main", submodules: bool = False) -> Fetched:
    fetch = Fetch(Access(url, "spec.workspace.git"), revision, submodules, "file")
    return await fetch.to(tmp_path / "archive", tmp_path / "checkout")


def paths(tmp_path: Path) -> set[str]:
    return set(read_tree(tmp_path / "archive").entries)


@pytest.mark.parametrize(
    ("revision", "files"),
    [("main", {"one", "two"}), ("v1", {"one"}), ("HEAD~1", {"one"}), ("short", {"one"})],
)
async def test_any_name_of_a_commit_is_found(
    tmp_path: Path, repository: Path, revision: str, files: set[str]
) -> None:
    first = git(repository, "rev-parse", "HEAD~1").strip()
    wanted = {"HEAD~1": first, "short": first[:9]}.get(revision, revision)
    result = await fetched(tmp_path, f"file://{repository}", wanted)
    assert paths(tmp_path) == files
    assert result.commit == git(repository, "rev-parse", "main" if "two" in files else "HEAD~1").strip()
    assert not (tmp_path / "checkout").exists()


async def test_what_was_packed_is_counted(tmp_path: Path, repository: Path) -> None:
    amount = Amount()
    fetch = Fetch(Access(f"file://{repository}", "f"), "main", submodules=False, protocols="file")
    result = await fetch.to(tmp_path / "archive", tmp_path / "checkout", amount)
    assert (amount.files, amount.bytes) == (result.info.files, result.info.bytes) == (2, 3)


@pytest.mark.parametrize(
    ("address", "revision", "said"),
    [
        ("file://{}", "nothing", "no revision 'nothing'; correct spec.workspace.git.revision"),
        ("file://{}/no", "main", "check spec.workspace.git.url"),
        ("ext::sh -c id", "main", "not allowed"),
    ],
)
async def test_what_cannot_be_fetched_says_what_to_correct(
    tmp_path: Path, repository: Path, address: str, revision: str, said: str
) -> None:
    with pytest.raises(RepositoryError, match=said):
        await fetched(tmp_path, address.format(repository), revision)


async def test_the_tree_holds_the_bytes_of_the_repository_whatever_its_attributes_say(tmp_path: Path) -> None:
    repository = make(tmp_path / "origin")
    git(repository, "config", "filter.shout.clean", "cat")
    commit(
        repository,
        **{
            ".gitattributes": "*.bat eol=crlf\n*.id ident\n*.up filter=shout\n*.w working-tree-encoding=UTF-16\n",
            "a.bat": "echo\n",
            "b.id": "$Id$\n",
            "c.up": "quiet\n",
        },
    )
    await fetched(tmp_path, f"file://{repository}")
    unpack(tmp_path / "archive", tmp_path / "tree")
    assert (tmp_path / "tree" / "a.bat").read_bytes() == b"echo\n"
    assert (tmp_path / "tree" / "b.id").read_bytes() == b"$Id$\n"
    assert (tmp_path / "tree" / "c.up").read_bytes() == b"quiet\n"


@pytest.fixture
def with_submodule(tmp_path: Path, repository: Path) -> Path:
    inner = make(tmp_path / "inner")
    commit(inner, deep="d")
    middle = make(tmp_path / "middle")
    git(middle, "submodule", "--quiet", "add", "../inner", "inner")
    commit(middle, mid="m")
    git(repository, "submodule", "--quiet", "add", "../middle", "vendor/middle")
    commit(repository, three="3")
    return repository


async def test_submodules_are_empty_directories_and_a_note_says_so(
    tmp_path: Path, with_submodule: Path
) -> None:
    result = await fetched(tmp_path, f"file://{with_submodule}")
    tree = read_tree(tmp_path / "archive")
    assert set(tree.entries) == {"one", "two", "three", ".gitmodules"}
    assert tree.empty_directories == ("vendor/middle",)
    [note] = result.notes
    assert "left empty: vendor/middle; spec.workspace.git.submodules: true fetches them" in note


async def test_submodules_are_fetched_at_any_depth_where_that_is_asked_for(
    tmp_path: Path, with_submodule: Path
) -> None:
    await fetched(tmp_path, f"file://{with_submodule}", submodules=True)
    assert {"vendor/middle/mid", "vendor/middle/inner/deep"} <= paths(tmp_path)
    assert not [path for path in paths(tmp_path) if ".git" in path.split("/")]


async def test_a_submodule_by_a_protocol_that_is_not_allowed_is_refused(
    tmp_path: Path, with_submodule: Path
) -> None:
    git(with_submodule, "config", "--file", ".gitmodules", "submodule.vendor/middle.url", "ext::sh -c id")
    commit(with_submodule, four="4")
    with pytest.raises(RepositoryError, match=r"not allowed|disallowed"):
        await fetched(tmp_path, f"file://{with_submodule}", submodules=True)


async def test_files_in_lfs_are_refused_by_name(tmp_path: Path, repository: Path) -> None:
    (repository / "assets").mkdir()
    commit(repository, **{".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "a.bin": "real"})
    await fetched(tmp_path, f"file://{repository}")
    commit(repository, **{"assets/model.bin": POINTER, "z.bin": POINTER})
    with pytest.raises(
        RepositoryError, match=r"'assets/model.bin' lies in Git LFS, and so do 1 other.*workspace.archive"
    ):
        await fetched(tmp_path, f"file://{repository}")


async def test_a_pointer_that_no_attribute_calls_one_is_a_file_like_others(
    tmp_path: Path, repository: Path
) -> None:
    commit(repository, **{"pointer.txt": POINTER})
    await fetched(tmp_path, f"file://{repository}")
    assert "pointer.txt" in paths(tmp_path)


async def test_configuration_of_the_machine_and_hooks_are_not_obeyed(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, home = tmp_path / "ran", tmp_path / "home"
    home.mkdir()
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {trace}\n")
        (hooks / name).chmod(0o755)
    (home / ".gitconfig").write_text(f"[core]\n\thooksPath = {hooks}\n")
    monkeypatch.setenv("HOME", str(home))
    await fetched(tmp_path, f"file://{repository}")
    assert not trace.exists()


async def test_a_symlink_that_leaves_the_tree_is_left_out_and_noted(tmp_path: Path, repository: Path) -> None:
    (repository / "link").symlink_to("/etc/passwd")
    commit(repository)
    result = await fetched(tmp_path, f"file://{repository}")
    assert "link" not in paths(tmp_path)
    assert any("1 entries are left out, such as 'link'" in note for note in result.notes)
