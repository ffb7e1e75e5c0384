"""A copier's whole life: somebody's archive, a volume, another task's result; and why there is no workspace."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.axiom_sandbox.supervising.benches import Bench, Life, pack_base

from axiom.channel import CommandRefusedError
from axiom_sandbox.protocol.channel import FailureReason, GiveFeedback, Phase, SandboxState
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.jobs import CombineResult, CopyArchive, CopyVolume, Job
from axiom_sandbox.snapshots import capture, digest_of, read_tree
from axiom_sandbox.supervising.copier import CopierSandbox


@asynccontextmanager
async def copier(tmp_path: Path, job: Job) -> AsyncIterator[tuple[Bench, Life]]:
    bench = Bench(tmp_path, role=Role.COPIER, changes={"job": job})
    life = await bench.begin(CopierSandbox)
    try:
        yield bench, life
    finally:
        await life.end()
        await bench.box.stop()


def files(bench: Bench, state: SandboxState) -> set[str]:
    [blob] = state.blobs
    assert blob.name == "workspace"
    return set(read_tree(bench.settings.state / "blobs" / blob.digest).entries)


def given(tmp_path: Path) -> tuple[Path, str]:
    (tmp_path / "hello.txt").write_text("hello")
    archive = tmp_path / "given.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "hello.txt", "src/hello.txt")
    return archive, digest_of(archive)


async def test_somebodys_archive_becomes_the_workspace(tmp_path: Path) -> None:
    archive, digest = given(tmp_path)
    async with copier(tmp_path, CopyArchive(key="inputs/n/a.tar.gz", digest=digest)) as (bench, life):
        with pytest.raises(CommandRefusedError, match="takes no GiveFeedback"):
            await life.send(GiveFeedback(round=2, text=""))
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        await life.channel.put_workspace(archive, digest)
        state = await life.reached(Phase.FETCHED)
        assert files(bench, state) == {"src/hello.txt"}
        assert state.revision_id == f"sha256:{digest}"
        assert (state.workspace_files, state.workspace_bytes) == (1, 5)


@pytest.mark.parametrize(
    ("wanted", "content", "said"),
    [
        ("0" * 64, None, "spec.workspace.archive.digest says 0000"),
        ("", b"no tar at all", "no tar, tar.gz or tar.zst"),
    ],
)
async def test_an_archive_that_will_not_do_is_told(
    tmp_path: Path, wanted: str, content: bytes | None, said: str
) -> None:
    archive, _ = given(tmp_path)
    if content:
        archive.write_bytes(content)
    async with copier(tmp_path, CopyArchive(key="inputs/n/a", digest=wanted)) as (_bench, life):
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        await life.channel.put_workspace(archive, hashlib.sha256(archive.read_bytes()).hexdigest())
        state = await life.until(lambda state: state.phase is Phase.FAILED)
        assert state.failure is not None
        assert state.failure.reason is FailureReason.WORKSPACE_FAILED
        assert said in state.failure.message
        assert state.failure.message.startswith("spec.workspace.archive inputs/n/a: ")


async def test_a_volume_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = tmp_path / "volume"
    (volume / "data").mkdir(parents=True)
    (volume / "data" / "table.csv").write_text("1,2")
    monkeypatch.setattr(CopierSandbox, "source", volume)
    async with copier(tmp_path, CopyVolume(claim="data", path="data")) as (bench, life):
        assert files(bench, await life.reached(Phase.FETCHED)) == {"table.csv"}


async def test_the_result_of_another_task_is_its_base_with_its_changes(tmp_path: Path) -> None:
    base = pack_base(tmp_path, {"kept": "k", "changed": "old", "gone": "g"})
    work = tmp_path / "base"
    (work / "changed").write_text("new")
    (work / "added").write_text("a")
    (work / "gone").unlink()
    captured = capture(read_tree(base), work, tmp_path / "captured")
    async with copier(tmp_path, CombineResult(task="first")) as (bench, life):
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        await life.channel.put_workspace(base, digest_of(base))
        await life.channel.put_changes(captured.archive, captured.digest)
        assert files(bench, await life.reached(Phase.FETCHED)) == {"kept", "changed", "added"}


async def test_changes_of_another_base_are_refused(tmp_path: Path) -> None:
    base = pack_base(tmp_path, {"kept": "k"})
    captured = capture(read_tree(base), tmp_path / "base", tmp_path / "captured")
    (tmp_path / "other").mkdir()
    other = pack_base(tmp_path / "other", {"kept": "else"})
    async with copier(tmp_path, CombineResult(task="first")) as (_bench, life):
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        await life.channel.put_workspace(other, digest_of(other))
        await life.channel.put_changes(captured.archive, captured.digest)
        state = await life.until(lambda state: state.phase is Phase.FAILED)
        assert state.failure is not None
        assert "captured against another base" in state.failure.message
