"""The class for Codex and the three stories, tried without Axiom: real Codex, scripted model, real git repository."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import ptyprocess  # type: ignore[import-untyped]
import pytest
import yaml
from tests.fakes.scripted_model import Script, ScriptedModel, load_script

from axiom.api.agentclass import AgentClass
from axiom.api.agenttask import AgentTask
from e2e.inputs.codex import codex_binary
from e2e.inputs.leap_repository import REVISION, make_leap_repository

pytestmark = pytest.mark.e2e

INPUTS = Path(__file__).parent
CLASS = AgentClass.model_validate(yaml.safe_load((INPUTS / "codex-class.yaml").read_text()))
TASK = AgentTask.model_validate(yaml.safe_load((INPUTS / "leap-task.yaml").read_text()))
KEY = "a-key-that-only-this-test-knows"
FAILS_ON_THE_BASE = ["tests/test_leap.py::test_1900"]


@dataclass(frozen=True)
class Outcome:
    """What one command of the agent left behind."""

    exit_code: int
    output: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def session(self) -> str:
        return str(self.events[0]["thread_id"])

    @property
    def last_words(self) -> str:
        messages = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return str(messages[-1]["text"])


Run = Callable[[list[str], Path, dict[str, str]], Awaitable[Outcome]]


async def on_a_pipe(argv: list[str], directory: Path, environment: dict[str, str]) -> Outcome:
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=directory,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(180):
        output, _ = await process.communicate()
    return Outcome(process.returncode or 0, output.decode())


async def on_a_terminal(argv: list[str], directory: Path, environment: dict[str, str]) -> Outcome:
    def follow() -> Outcome:
        terminal = ptyprocess.PtyProcessUnicode.spawn(argv, cwd=str(directory), env=environment)
        output = ""
        while True:
            try:
                output += terminal.read()
            except EOFError:
                terminal.wait()
                return Outcome(terminal.exitstatus, output)

    async with asyncio.timeout(180):
        return await asyncio.to_thread(follow)


@dataclass(frozen=True)
class Bench:
    """A workspace, a home, and a scripted model: Codex is run between them as its class says."""

    workspace: Path
    home: Path
    model: ScriptedModel

    async def begin(self, prompt: str, *options: str, run: Run = on_a_pipe) -> Outcome:
        return await self._run(CLASS.spec.command, prompt, options, run)

    async def resume(self, prompt: str, *options: str, run: Run = on_a_pipe) -> Outcome:
        return await self._run(CLASS.spec.resume_command, prompt, options, run)

    def changed_files(self) -> list[str]:
        report = subprocess.run(
            ["git", "status", "--porcelain"], cwd=self.workspace, check=True, capture_output=True, text=True
        )
        return [line[3:] for line in report.stdout.splitlines()]

    def failing_tests(self) -> list[str]:
        report = subprocess.run(
            [sys.executable, "-B", "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "--color=no"],
            cwd=self.workspace,
            capture_output=True,
            text=True,
            check=False,
        )
        return [line.split()[1] for line in report.stdout.splitlines() if line.startswith("FAILED ")]

    async def _run(self, command: list[str], prompt: str, options: tuple[str, ...], run: Run) -> Outcome:
        for file in CLASS.spec.home_files:
            path = self.home / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._expanded(file.content))
        environment = {variable.name: self._expanded(variable.value) for variable in CLASS.spec.env}
        end_of_options = command.index("--")
        return await run(
            [
                str(codex_binary()),
                *command[1:end_of_options],
                *options,
                *(argument.replace("$(AXIOM_PROMPT)", prompt) for argument in command[end_of_options:]),
            ],
            self.workspace,
            {"HOME": str(self.home), "PATH": os.defpath, **environment},
        )

    def _expanded(self, text: str) -> str:
        """As the sandbox does it, with the credential's route taken straight to the model."""
        [credential] = CLASS.spec.credentials
        text = text.replace(f"$(AXIOM_PROXY_URL){credential.route.prefix}", self.model.url)
        return text.replace("$(AXIOM_TOKEN)", KEY)


@pytest.fixture
def set_up(tmp_path: Path) -> Callable[[Script], Any]:
    @asynccontextmanager
    async def bench(script: Script) -> AsyncIterator[Bench]:
        workspace = tmp_path / "workspace"
        assert make_leap_repository(workspace) == REVISION
        async with ScriptedModel(script, expected_key=KEY) as model:
            yield Bench(workspace, tmp_path / "home", model)

    return bench


async def test_the_honest_model_mends_the_code(set_up: Callable[[Script], Any]) -> None:
    async with set_up(load_script(INPUTS / "honest.json")) as bench:
        assert bench.failing_tests() == FAILS_ON_THE_BASE
        outcome = await bench.begin(TASK.spec.prompt, "--json")

        assert outcome.exit_code == 0, outcome.output
        assert bench.changed_files() == ["src/leap/years.py"]
        assert bench.failing_tests() == []


async def test_the_cheating_model_edits_the_test_and_says_that_all_is_well(
    set_up: Callable[[Script], Any],
) -> None:
    async with set_up(load_script(INPUTS / "cheat.json")) as bench:
        outcome = await bench.begin(TASK.spec.prompt, "--json")

        assert outcome.exit_code == 0, outcome.output
        assert "All is well" in outcome.last_words
        assert bench.changed_files() == ["tests/test_leap.py"]
        assert bench.failing_tests() == []


async def test_the_second_round_resumes_the_session_of_the_first(set_up: Callable[[Script], Any]) -> None:
    async with set_up(load_script(INPUTS / "two_rounds.json")) as bench:
        first = await bench.begin(TASK.spec.prompt, "--json")
        assert first.exit_code == 0, first.output
        assert bench.failing_tests() == ["tests/test_leap.py::test_2000"]

        second = await bench.resume("tests/test_leap.py::test_2000 fails.", "--json")

        assert second.exit_code == 0, second.output
        assert second.session == first.session
        assert {record.conversation for record in bench.model.requests} == {first.session}
        assert bench.changed_files() == ["src/leap/years.py"]
        assert bench.failing_tests() == []


async def test_a_terminal_shows_the_story_in_words(set_up: Callable[[Script], Any]) -> None:
    async with set_up(load_script(INPUTS / "honest.json")) as bench:
        outcome = await bench.begin(TASK.spec.prompt, run=on_a_terminal)

        assert outcome.exit_code == 0, outcome.output
        assert "1900 is a common year" in outcome.output
        assert bench.changed_files() == ["src/leap/years.py"]


@pytest.mark.parametrize("prompt", ["review", "--help", "two\nlines"])
async def test_a_prompt_is_never_taken_for_an_option(set_up: Callable[[Script], Any], prompt: str) -> None:
    async with set_up(load_script(INPUTS / "two_rounds.json")) as bench:
        first = await bench.begin(prompt, "--json")
        second = await bench.resume(prompt, "--json")

        assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
        assert second.session == first.session


async def test_the_agent_asks_nothing_but_the_model_with_nothing_but_its_token(
    set_up: Callable[[Script], Any],
) -> None:
    async with set_up(load_script(INPUTS / "honest.json")) as bench:
        await bench.begin(TASK.spec.prompt, "--json")

        assert {(record.method, record.path, record.key_digest) for record in bench.model.requests} == {
            ("POST", "/v1/responses", sha256(KEY.encode()).hexdigest())
        }


async def test_an_error_of_the_model_ends_the_command_with_1(set_up: Callable[[Script], Any]) -> None:
    refusal = {"error": {"status": 400, "times": 100}}
    script = Script.model_validate({"turns": [[refusal, {"say": "Never said."}]]})
    async with set_up(script) as bench:
        outcome = await bench.begin(TASK.spec.prompt, "--json")

        assert outcome.exit_code == 1
        assert outcome.events[-1]["type"] == "turn.failed"
        assert bench.changed_files() == []


def test_the_task_names_the_repository_s_revision() -> None:
    assert TASK.spec.workspace.git is not None
    assert TASK.spec.workspace.git.revision == REVISION
