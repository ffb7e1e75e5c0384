"""What is done about a context that fills up: decided, and done by a supervisor with real processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.axiom_sandbox.supervising.benches import Bench, Mortal, dying, open_bench, start
from tests.fakes.structured_agent import command

from axiom_sandbox.protocol.agents import DriverName, Fill
from axiom_sandbox.protocol.channel import ContextAct, ContextPolicy, Phase, StartAgent
from axiom_sandbox.protocol.events import ContextActed, SessionResumed
from axiom_sandbox.protocol.verdicts import Saying
from axiom_sandbox.supervising.context import MOST_ACTS, Deed, deed_for, go_on_fresh

COMPACT, SUMMARISE, STOP = ContextAct.COMPACT, ContextAct.SUMMARISE, ContextAct.STOP


def decided(
    act: ContextAct,
    used: int,
    acts: tuple[ContextAct, ...] = (),
    *,
    helped: bool = True,
    compacts: bool = True,
    by_itself: bool = False,
    window: int | None = None,
) -> ContextAct | None:
    policy = ContextPolicy(percent=80, act=act, window=window)
    fill = Fill(used=used, window=1000)
    found = deed_for(policy, fill, acts, helped=helped, compacts=compacts, by_itself=by_itself)
    return found.act if found else None


@pytest.mark.parametrize("act", ContextAct)
def test_nothing_is_done_below_the_limit_and_what_the_class_says_from_it_on(act: ContextAct) -> None:
    assert decided(act, 799) is None
    assert decided(act, 800) is act


def test_what_cannot_be_done_or_was_no_help_is_followed_by_the_next() -> None:
    assert decided(COMPACT, 900, compacts=False) is SUMMARISE
    assert decided(COMPACT, 900, (COMPACT,)) is COMPACT, "it was a help, for a while"
    assert decided(COMPACT, 900, (COMPACT,), helped=False) is SUMMARISE
    assert decided(COMPACT, 900, (COMPACT, SUMMARISE), helped=False) is STOP
    assert decided(SUMMARISE, 900, (SUMMARISE,), helped=False) is STOP
    assert decided(COMPACT, 900, (COMPACT,) * MOST_ACTS) is STOP


def test_an_agent_that_compacts_by_itself_is_let_do_so_first() -> None:
    assert decided(COMPACT, 850, compacts=False, by_itself=True) is None
    assert decided(COMPACT, 900, compacts=False, by_itself=True) is SUMMARISE
    assert decided(SUMMARISE, 800, compacts=False, by_itself=True) is SUMMARISE


def test_the_window_of_the_class_counts_before_the_agents_and_without_any_nothing_is_done() -> None:
    assert decided(STOP, 500, window=600) is STOP
    assert decided(STOP, 900, window=6000) is None
    policy = ContextPolicy(percent=80, act=STOP)
    assert deed_for(policy, Fill(used=10**9), (), helped=True, compacts=True, by_itself=False) is None


def test_a_deed_says_why_for_a_person() -> None:
    found = deed_for(
        ContextPolicy(percent=80, act=COMPACT),
        Fill(used=85, window=100),
        (),
        helped=True,
        compacts=False,
        by_itself=False,
    )
    assert found == Deed(
        SUMMARISE,
        "its context is 85% full, and context.atPercent is 80; this agent cannot be told to compact it in this mode",
    )


def test_a_fresh_session_is_told_the_task_and_the_summary_or_that_there_is_none() -> None:
    assert go_on_fresh("Do it.", "Half done.").endswith("The task:\n\nDo it.\n\nTheir summary:\n\nHalf done.")
    assert go_on_fresh("Do it.", " ").endswith("(They left none.)")


# --- done -----------------------------------------------------------------------------------------------------

FULL = [["window", "1000"], ["model", "850", "1"], ["hang"]]
WORK = [["window", "1000"], ["model", "200", "1"], ["tool", "echo made > out"], ["result", "Done."]]


def order(act: ContextAct, *plans: list[list[str]]) -> StartAgent:
    policy = ContextPolicy(percent=80, act=act)
    return start("", driver=DriverName.CLAUDE, command=command(*plans), context=policy)


def told(bench: Bench) -> list[str]:
    return (bench.workspace / "told").read_text().splitlines()


async def test_a_context_that_is_full_is_compacted_in_its_session(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(order(COMPACT, FULL, [["compacted"], *WORK]))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        assert state.rounds[0].claim.says is Saying.SUCCESS
        [act] = bench.events("context_act")
        assert (act["act"], act["fill"]["used"]) == ("Compact", 850)
        [resumed] = bench.events("resumed")
        assert (resumed["purpose"], resumed["fresh"], resumed["number"]) == ("compact", False, 1)
        assert len({item["session"] for item in bench.events("session")}) == 1
        assert [line.split()[:2] for line in told(bench)] == [["new", "do"], ["resume", "/compact"]]
        assert [item["trigger"] for item in bench.events("compaction")] == ["manual"]
        assert state.vitals is not None
        assert state.vitals.fill == Fill(used=200, window=1000)


async def test_a_fresh_session_goes_on_by_the_summary_of_the_full_one(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready(make=dying(SessionResumed, before=False))
        await life.send(order(SUMMARISE, FULL, [["result", "I was half done."]], WORK))
        assert isinstance(life.sandbox, Mortal)
        await asyncio.wait_for(life.sandbox.died.wait(), 30)
        await life.end()
        life = await bench.begin()
        state = await life.reached(Phase.ROUND_ENDED, 1)
        assert state.rounds[0].claim.says is Saying.SUCCESS
        assert [(item["purpose"], item["fresh"]) for item in bench.events("resumed")] == [
            ("summarise", False),
            ("fresh", True),
        ]
        first, second = dict.fromkeys(item["session"] for item in bench.events("session"))
        assert first != second
        [task, asked, fresh] = bench.events("user_msg")
        assert (task["text"], task["by"], asked["by"], fresh["by"]) == (
            "do it",
            "",
            "supervisor",
            "supervisor",
        )
        assert asked["text"].startswith("Your context is nearly full.")
        assert "do it" in fresh["text"]
        assert fresh["text"].endswith("I was half done.")
        assert (bench.workspace / "out").read_text() == "made\n"


async def test_what_was_decided_and_not_begun_is_begun_after_a_restart(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready(make=dying(ContextActed, before=False))
        await life.send(order(COMPACT, FULL, [["compacted"], *WORK]))
        assert isinstance(life.sandbox, Mortal)
        await asyncio.wait_for(life.sandbox.died.wait(), 30)
        await life.end()
        life = await bench.begin()
        state = await life.reached(Phase.ROUND_ENDED, 1)
        assert state.rounds[0].claim.says is Saying.SUCCESS
        assert [item["purpose"] for item in bench.events("resumed")] == ["compact"]


async def test_compacting_that_is_no_help_ends_in_a_fresh_session_and_then_the_turn(tmp_path: Path) -> None:
    full_at_once = [["model", "850", "1"], ["window", "1000"], ["hang"]]
    summary = [["result", "A summary."]]
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(order(COMPACT, FULL, [["compacted"], *full_at_once], summary, full_at_once))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        assert [item["act"] for item in bench.events("context_act")] == ["Compact", "Summarise", "Stop"]
        assert state.rounds[0].claim.says is Saying.NONE
        assert "that it began anew was no help" in state.rounds[0].claim.text


async def test_a_turn_that_ends_well_before_it_hears_the_interrupt_is_not_gone_on_with(
    tmp_path: Path,
) -> None:
    finishing = [["window", "1000"], ["model", "850", "1"], ["overtake", "Done."]]
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(order(SUMMARISE, finishing, [["result", "A summary."]]))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        assert [item["act"] for item in bench.events("context_act")] == ["Summarise"]
        assert bench.events("resumed") == []
        claim = state.rounds[0].claim
        assert (claim.says, claim.text) == (Saying.SUCCESS, "Done.")


async def test_a_turn_that_is_stopped_for_its_context_is_captured(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(order(STOP, [["tool", "echo made > out"], *FULL]))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        assert [item["act"] for item in bench.events("context_act")] == ["Stop"]
        assert bench.events("resumed") == []
        assert state.rounds[0].claim.text.startswith("[its context is 85% full")
        assert state.rounds[0].changed_paths == len({"told", "out"})


async def test_a_policy_that_can_do_nothing_says_so(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(order(STOP, [["tool", "echo made > out"], ["result", "Done."]]))
        await life.reached(Phase.ROUND_ENDED, 1)
        [said] = [item for item in bench.events("intervention") if item["action"] == "context"]
        assert "context.atPercent (80) did nothing" in said["detail"]
