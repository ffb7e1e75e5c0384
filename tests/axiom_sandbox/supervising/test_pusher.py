"""A pusher's whole life: takes the changes, pushes, and says what is there; or why nothing is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.axiom_sandbox.repositories.test_fetching import commit, git
from tests.axiom_sandbox.repositories.test_pushing import Project
from tests.axiom_sandbox.supervising.benches import Bench, Life

from axiom.channel import CommandRefusedError
from axiom_sandbox.protocol.channel import FailureReason, GiveFeedback, Phase, Pushed, SandboxState
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.jobs import FetchGit, PushBranch
from axiom_sandbox.snapshots import digest_of, read_tree
from axiom_sandbox.supervising.pusher import PusherSandbox

NOBODY = "https://127.0.0.1:1/nobody-listens.git"


class Impatient(PusherSandbox):
    """A pusher that does not rest between its tries."""

    pauses = (0.0, 0.0)


@dataclass(frozen=True)
class Order:
    """A project with a change, and the push of it."""

    project: Project
    changes: Path
    job: PushBranch

    @property
    def head(self) -> str:
        return self.project.served("rev-parse", "axiom/fix").strip()


@pytest.fixture
async def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Order:
    monkeypatch.setattr("axiom_sandbox.supervising.pusher._ALLOWED", "file:https")
    project = Project(tmp_path)
    base = await project.begin()
    (project.work / "new").write_text("n")
    job = PushBranch(
        source=FetchGit(url=project.url, revision=base),
        base=read_tree(project.archive).digest,
        url=project.url,
        branch="axiom/fix",
        message="fix",
        time=1,
    )
    return Order(project, project.captured(), job)


@asynccontextmanager
async def life_of(order: Order, job: PushBranch) -> AsyncIterator[tuple[Life, Bench]]:
    bench = Bench(order.project.folder, role=Role.PUSHER, changes={"job": job})
    life = await bench.begin(Impatient)
    try:
        await life.reached(Phase.READY)
        yield life, bench
    finally:
        await life.end()
        await bench.box.stop()


async def outcome(order: Order, job: PushBranch) -> tuple[SandboxState, list[str]]:
    """How it ends, and what the ledger tells of the tries."""
    async with life_of(order, job) as (life, bench):
        await life.channel.put_changes(order.changes, digest_of(order.changes))
        state = await life.until(lambda state: state.phase in (Phase.PUSHED, Phase.FAILED))
        return state, [event["action"] for event in bench.events("intervention")]


async def test_a_pusher_says_what_is_at_the_server(order: Order) -> None:
    state, told = await outcome(order, order.job)
    assert state.pushed == Pushed(branch="axiom/fix", commit=order.head)
    assert told == ["push", "pushed"]


async def test_changes_of_another_base_are_not_pushed(order: Order) -> None:
    state, told = await outcome(order, order.job.model_copy(update={"base": "0" * 64}))
    assert state.failure is not None
    assert state.failure.reason is FailureReason.PUSH_FAILED
    assert "another base" in state.failure.message
    assert told == ["push"]


async def test_a_pusher_takes_no_other_commands(order: Order) -> None:
    async with life_of(order, order.job) as (life, _):
        with pytest.raises(CommandRefusedError, match="takes no GiveFeedback"):
            await life.send(GiveFeedback(round=2, text=""))


async def test_a_server_that_cannot_be_reached_is_tried_three_times(order: Order) -> None:
    state, told = await outcome(order, order.job.model_copy(update={"url": NOBODY}))
    assert state.failure is not None
    assert "git push failed" in state.failure.message
    assert told == ["push", "push failed", "push failed"]


async def test_what_another_try_cannot_mend_is_not_tried_again(order: Order) -> None:
    project = order.project
    git(project.origin, "checkout", "-q", "-b", "axiom/fix")
    commit(project.origin, other="theirs")
    git(project.origin, "push", "-q", str(project.folder / "served.git"), "axiom/fix")
    state, told = await outcome(order, order.job)
    assert state.failure is not None
    assert "holds other commits" in state.failure.message
    assert told == ["push"]
