"""What the supervisor does with an agent, from its start to the captured workspace: real launcher, real terminal."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from tests.axiom_sandbox.supervising.benches import PATIENCE, open_bench, soon, start

from axiom.channel import CommandRefusedError
from axiom_sandbox.protocol.changes import CandidateSource
from axiom_sandbox.protocol.channel import (
    CommandEnvelope,
    FailureReason,
    GiveFeedback,
    HomeFile,
    Phase,
    PromptDelivery,
    Resize,
    SetDeadline,
    Stop,
    TerminalSize,
)
from axiom_sandbox.protocol.events import Event, Terminal
from axiom_sandbox.protocol.verdicts import Saying
from axiom_sandbox.snapshots import read_changes
from axiom_sandbox.supervising.agent import AgentSandbox
from axiom_sandbox.supervising.settings import SandboxSettings
from axiom_sandbox.terminal.recording import OUTPUT_LIMIT

HOUR = 3600

pytestmark = pytest.mark.sandbox


async def test_a_pod_that_waits_for_its_verdict_is_probed_again(tmp_path: Path) -> None:
    async with open_bench(tmp_path, changes={"probe_again_seconds": (0.1, 0.2)}) as bench:
        life = await bench.ready()
        await life.send(start("echo hello; sleep 1000 &"))
        await life.reached(Phase.ROUND_ENDED, 1)
        async with asyncio.timeout(60):
            while sum(record.event == "isolation" for record in bench.records()) < 3:
                await asyncio.sleep(0.05)
        probes = [record.payload for record in bench.records() if record.event == "isolation"]
        assert all(probe["passed"] for probe in probes), probes
        await life.send(GiveFeedback(round=2, text="again"))
        await life.reached(Phase.ROUND_ENDED, 2)


async def test_the_code_that_any_command_prints_last_is_the_work_where_the_task_says_so(
    tmp_path: Path,
) -> None:
    printed = "Thinking...\n```python\nx = 1\n```\n```sh\npython3 leap.py\n```\n"
    order = start(f"echo made > out; printf '%s' '{printed}'")
    given = {"candidate": CandidateSource.MESSAGE, "message_path": "src/leap.py"}
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(order.model_copy(update={"envelope": order.envelope.model_copy(update=given)}))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        archive = tmp_path / "changes"
        archive.write_bytes(bench.blob(state, "changes-1"))
        [change] = read_changes(archive).changes
        assert (change.path, change.entry and change.entry.size) == ("src/leap.py", len("x = 1\n"))


async def test_a_secret_in_a_last_line_without_an_end_is_told_of(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("printf 'key %s' ghp_aB3dE6gH9jK2mN5p'Q8rS1tU4vW7xY0zA3bC6'"))
        await life.reached(Phase.ROUND_ENDED, 1)
        told = [(one["kind"], one["place"]) for one in bench.events("signal")]
        assert told == [("Secret", "terminal")]


async def test_a_pod_whose_isolation_is_gone_begins_no_further_round(tmp_path: Path) -> None:
    async with open_bench(tmp_path, changes={"probe_again_seconds": (0.1, 0.2)}) as bench:
        life = await bench.ready()
        await life.send(start("echo hello"))
        await life.reached(Phase.ROUND_ENDED, 1)
        settings = life.sandbox.settings
        inside = settings.inside.model_copy(update={"launcher_socket": "/where/nobody/refuses"})
        life.sandbox.settings = settings.model_copy(update={"inside": inside})
        async with asyncio.timeout(60):
            await life.running
        state = life.sandbox.board.state
        assert state.failure is not None
        assert state.failure.reason is FailureReason.ISOLATION_FAILED
        assert "no further round begins" in state.failure.message


async def test_a_round_is_recorded_from_the_envelope_to_the_captured_workspace(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready({"kept": "old\n"})
        await life.send(start("echo made > out; echo I am done"))
        state = await life.reached(Phase.ROUND_ENDED, 1)

        [outcome] = state.rounds
        assert (outcome.claim.says, outcome.claim.text) == (Saying.SUCCESS, "I am done")
        assert [record.event for record in bench.records() if record.event != "files_changed"] == [
            "sandbox_started",
            "launcher_connected",
            "isolation",
            "workspace",
            "task_declared",
            "user_msg",
            "agent_started",
            "terminal",
            "agent_exited",
            "claim",
            "captured",
            "checkpoint",
        ]
        told = [change for event in bench.events("files_changed") for change in event["changes"]]
        assert [(one["path"], one["kind"], one["size"], one["digest"]) for one in told] == [
            ("out", "Added", 5, hashlib.sha256(b"made\n").hexdigest())
        ]
        tried = {item["name"] for item in bench.records()[2].payload["assertions"]}
        assert "launcher.second-connection-refused" in tried
        bench.check_chain()
        assert b"+made" in bench.blob(state, "diff-1")
        changes = bench.settings.state / "blobs" / outcome.changes
        assert [change.path for change in read_changes(changes).changes] == ["out"]

        await life.send(Stop(reason="enough"))
        state = await life.until(lambda state: state.phase is Phase.STOPPED)
        assert state.ledger.closed
        assert b"I am done" in bench.recording(state)
        assert bench.events("closed") == [{"reason": "enough"}]


class Slow(AgentSandbox):
    """A trusted side whose disk takes long to hold what a terminal shows."""

    def __init__(self, settings: SandboxSettings) -> None:
        super().__init__(settings)
        self.begun, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def record(self, *events: Event) -> int:
        if any(isinstance(event, Terminal) for event in events):
            self.begun.set()
            await self.may_go_on.wait()
        return await super().record(*events)


async def test_a_stop_waits_for_nothing_that_is_still_to_be_recorded(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready(make=Slow)
        sandbox = life.sandbox
        assert isinstance(sandbox, Slow)
        await life.send(start("echo shown; exec sleep 600"))
        async with asyncio.timeout(PATIENCE):
            await sandbox.begun.wait()
            await life.send(Stop(reason="enough"))
            while await sandbox.link.count_threads():
                await asyncio.sleep(0.01)
        sandbox.may_go_on.set()
        state = await life.until(lambda state: state.phase is Phase.STOPPED)
        assert b"shown" in bench.recording(state)
        assert len(bench.events("terminal")) == 1


@pytest.mark.parametrize(
    ("delivery", "command", "told"),
    [
        (PromptDelivery.ARGUMENT, 'printf %s "$1"', "one\ntwo '\"$(AXIOM_TOKEN)"),
        (PromptDelivery.STDIN, "cat", "one\ntwo\n" + "x" * 200_000),
        (PromptDelivery.TYPED, "stty -echo; echo ready >/dev/tty; head -n 1", "type me\n"),
    ],
)
async def test_the_prompt_arrives(tmp_path: Path, delivery: PromptDelivery, command: str, told: str) -> None:
    prompt = "type me" if delivery is PromptDelivery.TYPED else told
    argument = ("$(AXIOM_PROMPT)",) if delivery is PromptDelivery.ARGUMENT else ()
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(
            start(
                "",
                prompt=prompt,
                command=("/bin/sh", "-c", f"({command}) > told", "agent", *argument),
                prompt_delivery=delivery,
            )
        )
        await life.reached(Phase.ROUND_ENDED, 1)
        assert (bench.workspace / "told").read_text() == told


async def test_a_further_round_resumes_the_session_in_the_same_home(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        first = start(
            'echo "first: $(cat ~/.conf/note)" >> log; echo session > ~/session',
            home_files=(HomeFile(path=".conf/note", content="home is $(AXIOM_HOME), token $(AXIOM_TOKEN)"),),
            resume_command=(
                "/bin/sh",
                "-c",
                'echo "second: $1, $(cat ~/session)" >> log',
                "x",
                "$(AXIOM_PROMPT)",
            ),
            env={"GREETING": "at $(AXIOM_WORKSPACE)"},
        ).model_copy(update={"token": "secret-token"})
        await life.send(first)
        await life.reached(Phase.ROUND_ENDED, 1)
        await life.send(GiveFeedback(round=2, text="try again"))
        state = await life.reached(Phase.ROUND_ENDED, 2)

        log = (bench.workspace / "log").read_text().splitlines()
        assert log == ["first: home is /home/agent, token secret-token", "second: try again, session"]
        assert len({outcome.fingerprint for outcome in state.rounds}) == 2
        # Both patches have a line of the log and one that names the file; the second has a line more.
        assert [outcome.changed_percent for outcome in state.rounds] == [None, 15]
        assert [item["round"] for item in bench.events("user_msg")] == [1, 2]
        assert b"secret-token" not in b"".join(
            path.read_bytes() for path in bench.settings.state.glob("ledger/**/*") if path.is_file()
        )


async def test_the_environment_is_what_the_class_says_and_nothing_of_ours(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("env > env", env={"WHERE": "$(AXIOM_WORKSPACE)", "ODD": "$(UNKNOWN) $("}))
        await life.reached(Phase.ROUND_ENDED, 1)
        lines = dict(line.split("=", 1) for line in (bench.workspace / "env").read_text().splitlines())
        assert lines.pop("WHERE") == "/workspace"
        assert lines.pop("ODD") == "$(UNKNOWN) $("
        assert set(lines) <= {"HOME", "PATH", "TERM", "LANG", "PWD", "OLDPWD", "SHLVL", "_"}


async def test_an_attempt_may_begin_with_a_later_round(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("echo $1 > out", number=3))
        state = await life.reached(Phase.ROUND_ENDED, 3)
        assert [outcome.round for outcome in state.rounds] == [3]


async def test_daemons_left_behind_are_frozen_and_then_killed(tmp_path: Path) -> None:
    script = (
        "setsid sh -c 'while :; do date +%s%N > tick; done' >/dev/null 2>&1 & while ! [ -e tick ]; do :; done"
    )
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start(script))
        await life.reached(Phase.ROUND_ENDED, 1)
        assert "left behind" in bench.events("intervention")[0]["detail"]
        tick = (bench.workspace / "tick").read_bytes()
        assert await life.sandbox.link.count_threads() > 0
        await life.send(Stop(reason="enough"))
        await life.until(lambda state: state.phase is Phase.STOPPED)
        assert await life.sandbox.link.count_threads() == 0
        assert (bench.workspace / "tick").read_bytes() == tick


async def test_a_command_that_is_not_there_says_so(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("", command=("/opt/no/agent", "$(AXIOM_PROMPT)")))
        state = await life.until(lambda state: state.phase is Phase.FAILED)
        assert state.failure is not None
        assert state.failure.reason is FailureReason.START_FAILED
        assert "(spec.command of its AgentClass) cannot be started" in state.failure.message
        assert "; install it in the class's image" in state.failure.message
        assert "/opt/no/agent" in state.failure.message
        assert not state.rounds


@pytest.mark.parametrize(
    ("script", "limits", "reason", "says"),
    [
        ("trap '' TERM; while :; do echo on; sleep 0.1; done", {"deadline_ms": 1.5}, "DeadlineExceeded", "limits.deadline"),
        ("head -c 30M /dev/zero > big; sleep 60", {"storage_bytes": 32 * 2**20}, "StorageExceeded", "limits.resources.storage"),
    ],
)  # fmt: skip
async def test_an_agent_past_a_limit_is_ended_and_its_claim_recorded(
    tmp_path: Path, script: str, limits: dict[str, Any], reason: str, says: str
) -> None:
    limits = {name: soon(value) if name == "deadline_ms" else value for name, value in limits.items()}
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start(f"echo at work; {script}", limits=limits))
        state = await life.until(lambda state: state.phase is Phase.FAILED)
        assert state.failure is not None
        assert state.failure.reason == reason
        assert says in state.failure.message
        [outcome] = state.rounds
        assert outcome.claim.says is Saying.NONE
        assert says in outcome.claim.text
        assert "at work" in outcome.claim.text
        assert outcome.claim.signal == 9
        assert len(bench.events("agent_exited")) == 1
        assert await life.sandbox.link.count_threads() == 0
        bench.check_chain()


async def test_a_silent_agent_that_ignores_sigterm_is_ended_and_its_work_captured(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        script = "echo half > out; trap '' TERM; sleep 60 & while :; do wait; done"
        await life.send(start(script, limits={"idle_seconds": 1}))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        [outcome] = state.rounds
        assert (outcome.claim.says, outcome.changed_paths) == (Saying.NONE, 1)
        assert "limits.idle" in outcome.claim.text
        assert bench.events("intervention")[0]["by"] == "watchdog"


async def test_the_deadline_holds_between_rounds_and_can_be_moved(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("true"))
        await life.reached(Phase.ROUND_ENDED, 1)
        await life.send(SetDeadline(deadline_ms=soon(0.5)))
        state = await life.until(lambda state: state.phase is Phase.FAILED)
        assert state.failure is not None
        assert state.failure.message == "limits.deadline passed while the verdict on round 1 was awaited"


async def test_a_deadline_is_by_its_senders_clock_whatever_this_machines_shows(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        command = start("echo on; sleep 2; echo over", limits={"deadline_ms": soon(600 - HOUR)})
        await life.channel.send(CommandEnvelope(key="start", command=command, sent_ms=soon(-HOUR)))
        await life.until(lambda state: state.first_output_ms is not None)
        assert 500 < life.sandbox.seconds_left() < 600
        await life.end()
        life = await bench.begin()
        assert 500 < life.sandbox.seconds_left() < 600, "a supervisor that starts again knows it, too"
        await life.reached(Phase.ROUND_ENDED, 1)
        moved = SetDeadline(deadline_ms=soon(HOUR + 0.5))
        await life.channel.send(CommandEnvelope(key="sooner", command=moved, sent_ms=soon(HOUR)))
        state = await life.until(lambda state: state.phase is Phase.FAILED)
        assert state.failure is not None
        assert state.failure.reason is FailureReason.DEADLINE_EXCEEDED


async def test_a_stop_in_the_middle_records_what_is_known(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("echo begun; sleep 60"))
        await life.until(lambda state: state.first_output_ms is not None)
        await life.send(Stop(reason="Suspended"))
        state = await life.until(lambda state: state.phase is Phase.STOPPED)
        [outcome] = state.rounds
        assert outcome.claim.text == "[Suspended]\nbegun"
        assert (outcome.changes, outcome.claim.signal) == ("", 9)


async def test_commands_that_do_not_fit_are_refused_and_repeated_ones_are_harmless(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.begin()
        with pytest.raises(CommandRefusedError, match="409: round 2 cannot begin"):
            await life.send(GiveFeedback(round=2, text="too early"))
        with pytest.raises(CommandRefusedError, match="no terminal"):
            await life.send(Resize(terminal=TerminalSize(columns=80, rows=24)))
        life = bench.lives[0]
        begin = start("echo once >> out")
        await life.send(begin, key="k")
        await life.send(begin, key="k")
        with pytest.raises(CommandRefusedError, match="started already"):
            await life.send(begin, key="other")


async def test_the_terminal_is_resized_for_this_round_and_the_next(tmp_path: Path) -> None:
    show = "trap 'stty size >> sizes; exit' WINCH; stty size > sizes; echo ready; while :; do sleep 0.1; done"
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start(show, resume_command=("/bin/sh", "-c", "stty size >> sizes")))
        await life.until(lambda state: state.first_output_ms is not None)
        await life.send(Resize(terminal=TerminalSize(columns=66, rows=22)))
        await life.reached(Phase.ROUND_ENDED, 1)
        await life.send(GiveFeedback(round=2, text="more"))
        await life.reached(Phase.ROUND_ENDED, 2)
        assert (bench.workspace / "sizes").read_text().split("\n")[:3] == ["40 120", "22 66", "22 66"]


async def test_output_beyond_the_recording_s_limit_becomes_a_gap(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("stty -opost; head -c 80M /dev/zero | tr '\\0' x; echo; echo the end"))
        state = await life.reached(Phase.ROUND_ENDED, 1)
        [gap] = bench.events("gap")
        assert gap["what"] == "recording"
        assert gap["start"] < OUTPUT_LIMIT < gap["end"]
        assert gap["end"] >= 80 * 2**20
        stretches = [(item["start"], item["size"]) for item in bench.events("terminal")]
        assert stretches[-1][0] + stretches[-1][1] == gap["end"]
        assert state.rounds[0].claim.text.endswith("the end")


async def test_a_full_disk_of_ours_ends_the_sandbox_and_says_why(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("echo begun; while :; do sleep 0.1; echo more; done"))
        await life.until(lambda state: state.first_output_ms is not None)
        assert isinstance(life.sandbox, AgentSandbox)
        assert life.sandbox._recording is not None
        with Path("/dev/full").open("wb") as full:
            os.dup2(full.fileno(), life.sandbox._recording._descriptor)
        state = await life.until(lambda state: state.phase is Phase.FAILED)
        assert state.failure is not None
        assert state.failure.reason is FailureReason.LEDGER_FAILED
        assert "evidence cannot be made durable: the recording" in state.failure.message
        assert await life.sandbox.link.count_threads() == 0


async def test_long_polls_hear_of_a_segment_that_was_cut(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        before = await life.channel.state()
        polling = asyncio.create_task(life.channel.state(since=before.revision))
        await life.sandbox.ledger.cut("as the clock does")
        state = await asyncio.wait_for(polling, 60)
        assert state.revision > before.revision
        assert state.ledger.segments == before.ledger.segments + 1
