"""Workspaces of the largest sizes: through object storage, pods, capture and verification, with memory as it is configured."""

from __future__ import annotations

import io
import os
import tarfile
from hashlib import sha256

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.inputs import put_input
from e2e.support.world import SMALL, World, condition, is_complete

OUT = {"name": "out", "files": {"expect": [{"path": "out.txt"}]}}


def large_tar(files: int, total: int) -> bytes:
    """A tar.gz of so many files in folders of 500, hard to compress, with so many bytes in all."""
    noise, buffer = os.urandom(1 << 20), io.BytesIO()
    each = total // files
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for number in range(files):
            info = tarfile.TarInfo(f"d{number // 500:04}/f{number:06}")
            info.size = each
            start = number * 7919 % (len(noise) - each)
            tar.addfile(info, io.BytesIO(noise[start : start + each]))
    return buffer.getvalue()


@pytest.mark.e2e
def test_a_workspace_of_many_files_goes_all_the_way(world: World, cluster: Connection) -> None:
    play(world, cluster, files=10_000, total=50_000_000, storage="1Gi", limit_seconds=300)


@pytest.mark.campaign
def test_a_workspace_of_the_largest_size_goes_all_the_way_and_its_progress_is_told(
    world: World, cluster: Connection
) -> None:
    told = play(world, cluster, files=200_000, total=2_000_000_000, storage="3Gi", limit_seconds=3000)
    assert any("copying: " in text for text in told), told


def play(
    world: World, cluster: Connection, *, files: int, total: int, storage: str, limit_seconds: int
) -> set[str]:
    """One task with such a workspace, to its verdict; what was told while it was on its way."""
    world.make_class()
    data = large_tar(files, total)
    bucket = world.control_plane.environment["AXIOM_S3_BUCKET"]
    put_input(cluster, bucket, f"inputs/{world.kubectl.namespace}/large.tar.gz", data)
    last = f"d{(files - 1) // 500:04}/f{files - 1:06}"
    world.make_task(
        "large", f"await {last}", "write out.txt x", "exit 0",
        workspace={"archive": {"key": "large.tar.gz", "digest": sha256(data).hexdigest()}},
        criteria=[OUT, {"name": "scope", "diff": {"allowed": ["out.txt"]}}],
        limits={"deadline": "50m", "maxRounds": 1, "resources": {**SMALL, "storage": storage}},
    )  # fmt: skip
    told: set[str] = set()

    def look() -> str | None:
        task = world.kubectl.get("agenttask", "large") or {}
        ready = condition(task, "SandboxReady")
        if ready.get("reason") == "WaitingForWorkspace":
            told.add(ready["message"])
        return None if is_complete(task) else f"{ready} {sorted(told)}"

    wait_until("the large task", look, limit_seconds=limit_seconds, interval_seconds=0.5)
    status = (world.kubectl.get("agenttask", "large") or {})["status"]
    assert status["verdict"] == "Pass", status["message"]
    assert (status["workspace"]["files"], status["attempt"]) == (files, 1)
    assert status["workspace"]["bytes"] == files * (total // files)
    return told


@pytest.mark.e2e
def test_a_workspace_that_leaves_no_room_to_work_is_refused_with_the_cure(
    world: World, cluster: Connection
) -> None:
    world.make_class()
    bucket = world.control_plane.environment["AXIOM_S3_BUCKET"]
    data = large_tar(600, 60_000_000)
    put_input(cluster, bucket, f"inputs/{world.kubectl.namespace}/roomy.tar.gz", data)
    world.make_task("roomy", workspace={"archive": {"key": "roomy.tar.gz"}})  # storage: 64Mi
    status = world.wait_complete("roomy", limit_seconds=180)
    assert "verdict" not in status
    assert "70% of limits.resources.storage; raise that" in status["message"]
