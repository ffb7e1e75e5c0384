"""A fetcher's whole life: the workspace as a blob, or why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.axiom_sandbox.repositories.test_fetching import commit, git, make
from tests.axiom_sandbox.supervising.benches import Bench

from axiom.channel import CommandRefusedError
from axiom_sandbox.protocol.channel import FailureReason, GiveFeedback, Phase
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.jobs import FetchGit
from axiom_sandbox.snapshots import read_tree
from axiom_sandbox.supervising.fetcher import FetcherSandbox


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = make(tmp_path / "origin")
    commit(folder, one="1", two="22")
    return folder


def bench_of(tmp_path: Path, repository: Path) -> Bench:
    job = FetchGit(url=f"file://{repository}", revision="main")
    return Bench(tmp_path, role=Role.FETCHER, changes={"job": job})


async def test_a_fetcher_refuses_local_repositories_and_says_so(tmp_path: Path, repository: Path) -> None:
    bench = bench_of(tmp_path, repository)
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
    monkeypatch.setattr("axiom_sandbox.supervising.fetcher._ALLOWED", "file")
    bench = bench_of(tmp_path, repository)
    life = await bench.begin(FetcherSandbox)
    try:
        state = await life.reached(Phase.FETCHED)
        [blob] = state.blobs
        assert set(read_tree(bench.settings.state / "blobs" / blob.digest).entries) == {"one", "two"}
        assert state.revision_id == git(repository, "rev-parse", "HEAD").strip()
        assert (state.workspace_files, state.workspace_bytes) == (2, 3)
        await life.end()
        life = await bench.begin(FetcherSandbox)
        assert (await life.reached(Phase.FETCHED)).blobs == (blob,)
    finally:
        await life.end()
        await bench.box.stop()


async def test_what_takes_long_is_told(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("axiom_sandbox.supervising.fetcher._ALLOWED", "file")
    monkeypatch.setattr("axiom_sandbox.supervising.sandbox._FIRST_PROGRESS_SECONDS", 0.0)
    bench = bench_of(tmp_path, repository)
    life = await bench.begin(FetcherSandbox)
    try:
        state = await life.until(lambda state: state.progress is not None or state.phase is Phase.FETCHED)
        assert state.progress is not None
        assert state.progress.stage == "fetching"
        assert (await life.reached(Phase.FETCHED)).progress is None
    finally:
        await life.end()
        await bench.box.stop()
