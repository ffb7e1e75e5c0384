"""Checkpoints of a real agent's sandbox: what they hold, what they cost the agent, and that another sandbox goes on from them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.axiom_sandbox.supervising.benches import PATIENCE, Bench, Life, open_bench, pack_base, start
from tests.fakes.structured_agent import command

from axiom.channel import CommandRefusedError
from axiom_sandbox.protocol.agents import DriverName
from axiom_sandbox.protocol.channel import (
    FailureReason,
    GiveFeedback,
    Phase,
    SandboxState,
    Stop,
    TakeCheckpoint,
)
from axiom_sandbox.protocol.checkpoints import Changed, CheckpointTaken, Keeping, Manifest, PartName, Why
from axiom_sandbox.snapshots import digest_of, read_changes
from axiom_sandbox.snapshots.states import read_state
from axiom_sandbox.supervising.agent import AgentSandbox
from axiom_sandbox.terminal.screens import make_screen

pytestmark = pytest.mark.sandbox

WORKING = "echo begun; echo v1 > work; echo s1 > ~/session; while [ ! -e go ]; do sleep 0.05; done; cat work"


def manifest_of(bench: Bench, taken: CheckpointTaken) -> Manifest:
    return Manifest.model_validate_json((bench.settings.state / "blobs" / taken.digest).read_bytes())


async def demanded(life: Life) -> CheckpointTaken:
    """A checkpoint that somebody asks for, in the middle of whatever the agent does."""
    before = len((await life.channel.state(timeout=0)).checkpoints)
    await life.send(TakeCheckpoint(by="test"))
    state = await life.until(lambda state: len(state.checkpoints) > before or bool(state.checkpoint_trouble))
    assert not state.checkpoint_trouble
    return state.checkpoints[-1]


async def emulated(life: Life) -> None:
    """Until the agent's terminal is shown to an emulator."""
    assert isinstance(life.sandbox, AgentSandbox)
    async with asyncio.timeout(PATIENCE):
        while True:
            present = life.sandbox._round.present if life.sandbox._round else None
            if present and present.pump and present.pump.screen.attached:
                return
            await asyncio.sleep(0.02)


async def bring(life: Life, archive: Path, source: Bench, taken: CheckpointTaken) -> SandboxState:
    """What a carrier does for a sandbox that begins from a checkpoint."""
    await life.until(lambda state: state.awaits_checkpoint == taken.digest)
    manifest = manifest_of(source, taken)
    for digest in (*(part.digest for part in manifest.parts), taken.digest):
        await life.channel.put_checkpoint(source.settings.state / "blobs" / digest, digest)
    await life.channel.put_workspace(archive, digest_of(archive))
    return await life.reached(Phase.READY)


def of(bench: Bench, part: PartName, taken: CheckpointTaken) -> Path:
    found = manifest_of(bench, taken).part(part)
    assert found is not None
    return bench.settings.state / "blobs" / found.digest


async def test_each_turn_leaves_a_checkpoint_whose_manifest_says_what_it_is(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready({"kept": "old\n", "gone": "x\n"})
        await life.send(start("echo new > kept; rm gone; echo more > added; printf 'cut \\033[3'"))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        [taken] = state.checkpoints
        manifest = manifest_of(bench, taken)
        assert (manifest.number, manifest.why, manifest.round, manifest.turn_over) == (1, Why.TURN, 1, True)
        assert manifest.last_prompt == "do it"
        assert manifest.workspace.created.first == ("added",)
        assert manifest.workspace.modified.first == ("kept",)
        assert manifest.workspace.deleted.first == ("gone",)
        assert manifest.workspace.directory == "/workspace"
        assert manifest.workspace.files == 2
        assert {part.name for part in manifest.parts} | {PartName.SCREEN} == set(PartName)
        assert manifest.terminal is not None
        assert (manifest.terminal.columns, manifest.terminal.rows) == (120, 40)
        assert bytes.fromhex(manifest.terminal.unfinished) == b"\x1b[3"
        assert of(bench, PartName.TERMINAL, taken).read_bytes().endswith(b"cut \x1b[3")
        records = bench.records()
        assert records[manifest.ledger.records - 1].hash == manifest.ledger.head
        names = [blob.name for blob in state.blobs]
        assert names[-1] == "checkpoint-1", "behind all of its parts"
        assert {part.digest for part in manifest.parts} <= {blob.digest for blob in state.blobs}
        [event] = bench.events("checkpoint")
        assert (event["digest"], event["frozen_ms"]) == (taken.digest, 0)
        bench.check_chain()


async def test_an_agent_at_work_is_frozen_for_a_checkpoint_and_goes_on(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        with pytest.raises(CommandRefusedError, match="has not been started"):
            await life.send(TakeCheckpoint(by="test"))
        await life.send(start(WORKING))
        await life.until(lambda state: state.first_output_ms is not None)
        await emulated(life)
        taken = await demanded(life)
        manifest = manifest_of(bench, taken)
        assert (manifest.why, manifest.turn_over) == (Why.DEMAND, False)
        assert manifest.terminal is not None
        again = make_screen(manifest.terminal.columns, manifest.terminal.rows)
        again.feed(of(bench, PartName.SCREEN, taken).read_bytes())
        shown, twice = again.view(), again.snapshot().restoring
        again.close()
        assert twice == of(bench, PartName.SCREEN, taken).read_bytes(), "a fresh emulator shows the very same"
        assert shown.lines[0] == "begun"
        assert (shown.cursor, tuple(sorted(shown.modes))) == (
            manifest.terminal.cursor,
            manifest.terminal.modes,
        )
        assert manifest.terminal is not None
        assert not manifest.terminal.raw
        assert manifest.terminal.termios is not None
        (bench.workspace / "go").touch()
        state = await life.reached(Phase.ROUND_ENDED, 1)
        assert state.rounds[0].claim.text.endswith("v1")
        assert [one.number for one in state.checkpoints] == [1, 2]


async def test_rules_leave_files_out_of_checkpoints_and_of_nothing_else(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready({"given.log": "old\n"})
        script = "echo new > given.log; echo x > own.log; mkdir made; echo x > made/file; echo x > work"
        keeping = Keeping(ignore=("*.log", "made/"))
        await life.send(start(script).model_copy(update={"keeping": keeping}))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        [taken] = state.checkpoints
        told = manifest_of(bench, taken).workspace
        assert (told.ignore, told.ignored) == (keeping.ignore, Changed(count=2, first=("made", "own.log")))
        assert (told.created.first, told.modified.first) == (("work",), ("given.log",))
        tree = read_state(of(bench, PartName.WORKSPACE, taken))
        assert {node.path for node in tree.nodes} == {"", "given.log", "work"}
        [changes] = [blob.digest for blob in state.blobs if blob.name == "changes-1"]
        captured = {change.path for change in read_changes(bench.settings.state / "blobs" / changes).changes}
        assert captured == {"given.log", "own.log", "made/file", "work"}


async def test_a_workspace_that_is_too_large_to_be_kept_is_said_with_the_cure(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        begin = start("touch a b c").model_copy(update={"keeping": Keeping(max_files=2)})
        await life.send(begin)
        state = await life.reached(Phase.ROUND_ENDED, 1)
        assert state.checkpoints == ()
        assert (
            "there are more than 2 files; leave files out with checkpoints.ignore" in state.checkpoint_trouble
        )


async def test_a_timer_takes_checkpoints_while_the_agent_works(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        begin = start(WORKING).model_copy(update={"checkpoint_seconds": 0.2})
        await life.send(begin)
        state = await life.until(lambda state: len(state.checkpoints) >= 2)
        assert {one.why for one in state.checkpoints} == {Why.TIMER}
        first, second = state.checkpoints[:2]
        assert manifest_of(bench, second).before == first.digest


async def test_a_sandbox_that_is_stopped_for_a_while_keeps_a_checkpoint_first(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start(WORKING))
        await life.until(lambda state: state.first_output_ms is not None)
        await life.send(Stop(reason="Suspended", checkpoint=True))
        state = await life.until(lambda state: state.phase is Phase.STOPPED)
        assert [one.why for one in state.checkpoints] == [Why.SUSPEND]


async def test_a_sandbox_whose_pod_is_told_to_end_keeps_a_checkpoint_in_the_time_that_it_has(
    tmp_path: Path,
) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start(WORKING))
        await life.until(lambda state: state.first_output_ms is not None)
        life.sandbox.leave(PATIENCE)
        state = await life.until(lambda state: state.phase is Phase.STOPPED)
        assert [one.why for one in state.checkpoints] == [Why.LEAVING]
        assert bench.events("closed")


async def test_nothing_is_kept_twice_where_the_turn_is_over(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("echo done"))
        await life.reached(Phase.ROUND_ENDED, 1)
        await life.send(Stop(reason="Suspended", checkpoint=True))
        state = await life.until(lambda state: state.phase is Phase.STOPPED)
        assert [one.why for one in state.checkpoints] == [Why.TURN]


async def test_another_sandbox_goes_on_in_the_same_session_with_the_same_files(tmp_path: Path) -> None:
    plans = command(
        [
            ["tool", "echo v1 > work; mkdir -p ~/.claude/projects; echo s1 > ~/.claude/projects/session"],
            ["hear"],
        ],
        [["tool", "cat work ~/.claude/projects/session > seen"], ["result", "done"]],
    )
    program = {"command": plans, "driver": DriverName.CLAUDE}
    async with open_bench(tmp_path / "a") as first:
        archive = pack_base(tmp_path, {"kept": "old\n"})
        life = await first.begin()
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        await life.channel.put_workspace(archive, digest_of(archive))
        await life.reached(Phase.READY)
        await life.send(start("", **program))
        while not (first.workspace / "work").exists() or not first.events("tool_return"):
            await asyncio.sleep(0.02)
        taken = await demanded(life)
        kept = manifest_of(first, taken).driver.session
        assert kept is not None
        session = kept.id
        await life.end()

        again = command([["tool", "cat work ~/.claude/projects/session > seen"], ["result", "done"]])
        async with open_bench(tmp_path / "b", changes={"checkpoint": taken.digest}) as second:
            life = await second.begin()
            state = await bring(life, archive, first, taken)
            assert state.restored is not None
            assert (state.restored.ok, state.restored.number) == (True, 1)
            begin = start("", command=again, driver=DriverName.CLAUDE)
            await life.send(begin.model_copy(update={"next_checkpoint": 2}))
            state = await life.reached(Phase.ROUND_ENDED, 1)
            told = (second.workspace / "told").read_text()
            assert "resume You go on in the same session, but in another sandbox" in told
            assert [one["session"] for one in second.events("resumed")] == [session]
            assert (second.workspace / "seen").read_text() == "v1\ns1\n"
            assert [one.number for one in state.checkpoints] == [2]
            packs = {part.digest for part in manifest_of(first, taken).parts if part.name is PartName.PACK}
            lying = {path.name for path in (second.settings.state / "restored").iterdir()}
            assert packs
            assert not packs & lying, "what is in place is not kept twice"
            assert packs <= {part.digest for part in manifest_of(second, state.checkpoints[0]).parts}
            assert manifest_of(second, state.checkpoints[0]).before == taken.digest


async def test_feedback_reaches_the_session_of_a_checkpoint_at_a_turns_end(tmp_path: Path) -> None:
    async with open_bench(tmp_path / "a") as first:
        archive = pack_base(tmp_path, {})
        life = await first.begin()
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        await life.channel.put_workspace(archive, digest_of(archive))
        await life.send(start("echo one > work; echo mine > ~/own"))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        [taken] = state.checkpoints
        await life.end()
        async with open_bench(tmp_path / "b", changes={"checkpoint": taken.digest}) as second:
            life = await second.begin()
            await bring(life, archive, first, taken)
            begin = start(
                "exit 9",
                number=2,
                resume_command=("/bin/sh", "-c", "echo $0; cat work ~/own", "$(AXIOM_PROMPT)"),
            )
            await life.send(begin.model_copy(update={"going_on": "mend it"}))
            state = await life.reached(Phase.ROUND_ENDED, 2)
            assert state.rounds[0].claim.text == "mend it\none\nmine"


async def test_a_checkpoint_that_does_not_hold_is_said_and_not_used(tmp_path: Path) -> None:
    change: dict[str, Any] = {"version": 99}
    async with open_bench(tmp_path / "a") as first:
        archive = pack_base(tmp_path, {"kept": "old\n"})
        life = await first.begin()
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        await life.channel.put_workspace(archive, digest_of(archive))
        await life.send(start("echo one > work"))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        [taken] = state.checkpoints
        await life.end()
        body = json.loads((first.settings.state / "blobs" / taken.digest).read_bytes())
        bad = tmp_path / "bad"
        bad.write_text(json.dumps({**body, **change}))
        digest = digest_of(bad)
        parts = [part["digest"] for part in body["parts"]]
        async with open_bench(tmp_path / "b", changes={"checkpoint": digest}) as second:
            life = await second.begin()
            await life.until(lambda state: state.awaits_checkpoint == digest)
            for part in parts:
                await life.channel.put_checkpoint(first.settings.state / "blobs" / part, part)
            await life.channel.put_checkpoint(bad, digest)
            await life.channel.put_workspace(archive, digest_of(archive))
            state = await life.reached(Phase.READY)
            assert state.restored is not None
            assert not state.restored.ok
            assert "another version" in state.restored.message
            assert [path.name for path in second.workspace.iterdir()] == ["kept"], "it has its base"


async def test_a_session_that_the_agent_does_not_come_into_is_no_checkpoint(tmp_path: Path) -> None:
    async with open_bench(tmp_path / "a") as first:
        archive = pack_base(tmp_path, {})
        life = await first.begin()
        await life.reached(Phase.WAITING_FOR_WORKSPACE)
        await life.channel.put_workspace(archive, digest_of(archive))
        await life.send(start("", command=command([["result", "done"]]), driver=DriverName.CLAUDE))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        [taken] = state.checkpoints
        await life.end()
        async with open_bench(tmp_path / "b", changes={"checkpoint": taken.digest}) as second:
            life = await second.begin()
            await bring(life, archive, first, taken)
            begin = start("", number=2, command=("/bin/false",), driver=DriverName.CLAUDE)
            await life.send(begin)
            state = await life.until(lambda state: state.phase is Phase.FAILED)
            assert state.failure is not None
            assert state.failure.reason is FailureReason.RESTORE_FAILED


async def test_old_checkpoints_that_are_stored_leave_the_sandbox(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("echo 1 > work", resume_command=("/bin/sh", "-c", "date +%N >> work")))
        await life.reached(Phase.ROUND_ENDED, 1)
        for number in (2, 3, 4):
            state = await life.channel.state(timeout=0)
            for blob in state.blobs:
                await life.channel.confirm_blob(blob.digest)
            await life.send(GiveFeedback(round=number, text="more"))
            state = await life.reached(Phase.ROUND_ENDED, number)
        names = {blob.name for blob in state.blobs}
        assert {"checkpoint-3", "checkpoint-4"} <= names
        assert not names & {"checkpoint-1", "checkpoint-2"}
        assert {"changes-1", "changes-2"} <= names
        lying = {path.name for path in (bench.settings.state / "blobs").iterdir()}
        assert lying == {blob.digest for blob in state.blobs}
