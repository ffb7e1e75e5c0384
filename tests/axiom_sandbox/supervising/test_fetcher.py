"""Fetching git: by branch, tag, full and short commit; refusals that say what to correct; a fetcher's whole life."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.axiom_sandbox.supervising.benches import Bench

from axiom.channel import CommandRefusedError
from axiom_sandbox.protocol.channel import FailureReason, GiveFeedback, Phase
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.snapshots import read_tree
from axiom_sandbox.supervising.fetcher import FETCH_VARIABLE, FetchError, FetcherSandbox, fetch_git


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.example")
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "one").write_text("1")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    git(folder, "tag", "v1")
    (folder / "two").write_text("2")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "two")
    return folder


@pytest.mark.parametrize(
    ("revision", "files"),
    [("main", {"one", "two"}), ("v1", {"one"}), ("HEAD~1", {"one"}), ("short", {"one"})],
)
async def test_any_name_of_a_commit_is_found(
    tmp_path: Path, repository: Path, revision: str, files: set[str]
) -> None:
    commit = git(repository, "rev-parse", "HEAD~1").strip()
    wanted = {"HEAD~1": commit, "short": commit[:9]}.get(revision, revision)
    archive = tmp_path / "archive"
    await fetch_git(f"file://{repository}", wanted, tmp_path / "checkout", archive, "file")
    assert set(read_tree(archive).entries) == files
    assert not (tmp_path / "checkout").exists()


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
    with pytest.raises(FetchError, match=said):
        await fetch_git(address.format(repository), revision, tmp_path / "x", tmp_path / "a", "file")


async def test_a_fetcher_refuses_local_repositories_and_says_so(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FETCH_VARIABLE, f"file://{repository} main")
    bench = Bench(tmp_path, role=Role.FETCHER)
    life = await bench.begin(FetcherSandbox)
    try:
        with pytest.raises(CommandRefusedError, match="takes no GiveFeedback"):
            await life.send(GiveFeedback(round=2, text=""))
        state = await life.until(lambda state: state.phase is Phase.FAILED)
        assert state.failure is not None
        assert state.failure.reason is FailureReason.WORKSPACE_FAILED
        assert "not allowed" in state.failure.message
    finally:
        await life.end()
        await bench.box.stop()


async def test_a_fetcher_leaves_the_workspace_as_a_blob(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FETCH_VARIABLE, f"file://{repository} main")
    monkeypatch.setattr("axiom_sandbox.supervising.fetcher._ALLOWED", "file")
    bench = Bench(tmp_path, role=Role.FETCHER)
    life = await bench.begin(FetcherSandbox)
    try:
        state = await life.reached(Phase.FETCHED)
        [blob] = state.blobs
        assert set(read_tree(bench.settings.state / "blobs" / blob.digest).entries) == {"one", "two"}
        await life.end()
        life = await bench.begin(FetcherSandbox)
        assert (await life.reached(Phase.FETCHED)).blobs == (blob,)
    finally:
        await life.end()
        await bench.box.stop()
