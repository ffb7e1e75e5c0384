"""A pusher's whole life: takes the changes, pushes, and says what is there; or why nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.axiom_sandbox.repositories.test_pushing import Project
from tests.axiom_sandbox.supervising.benches import Bench

from axiom.channel import CommandRefusedError
from axiom_sandbox.protocol.channel import FailureReason, GiveFeedback, Phase, Pushed
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.jobs import FetchGit, PushBranch
from axiom_sandbox.snapshots import digest_of, read_tree
from axiom_sandbox.supervising.pusher import PusherSandbox


@pytest.mark.parametrize("base", ["", "0" * 64], ids=["right", "wrong"])
async def test_a_pusher_says_what_is_at_the_server_or_why_nothing_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    monkeypatch.setattr("axiom_sandbox.supervising.pusher._ALLOWED", "file")
    project = Project(tmp_path)
    commit = await project.begin()
    (project.work / "new").write_text("n")
    changes = project.captured()
    job = PushBranch(
        source=FetchGit(url=project.url, revision=commit),
        base=base or read_tree(project.archive).digest,
        url=project.url,
        branch="axiom/fix",
        message="fix",
        time=1,
    )
    bench = Bench(tmp_path, role=Role.PUSHER, changes={"job": job})
    life = await bench.begin(PusherSandbox)
    try:
        await life.reached(Phase.READY)
        with pytest.raises(CommandRefusedError, match="takes no GiveFeedback"):
            await life.send(GiveFeedback(round=2, text=""))
        await life.channel.put_changes(changes, digest_of(changes))
        state = await life.until(lambda state: state.phase in (Phase.PUSHED, Phase.FAILED))
        if base:
            assert state.failure is not None
            assert state.failure.reason is FailureReason.PUSH_FAILED
            assert "another base" in state.failure.message
        else:
            head = project.served("rev-parse", "axiom/fix").strip()
            assert state.pushed == Pushed(branch="axiom/fix", commit=head)
    finally:
        await life.end()
        await bench.box.stop()
