"""Record what the CLIs show and write in mode Terminal, driven by their own drivers: `python -m tests.captures.screens [CLI…] [--older]`.

A capture has everything that a driver was given and what it did, in order, so that it can be given the same again: bytes of
the screen, lines of the session's file, keys that were pressed, and the moments at which it looked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ptyprocess  # type: ignore[import-untyped]
from tests.captures.clis import CLIS, OLDER_CLIS, ON_SCREEN, Cli
from tests.captures.launching import home_files, screen_driver
from tests.captures.stories import DONE, PATCH
from tests.fakes.scripted_model import Script, ScriptedModel

from axiom_sandbox.drivers.contract import Sight, Step, Turn
from axiom_sandbox.drivers.screen import ScreenDriver
from axiom_sandbox.protocol.approvals import Approvals, Permission, decide
from axiom_sandbox.protocol.events import ApprovalAsked
from axiom_sandbox.supervising.session_tail import SessionTail
from axiom_sandbox.terminal.screens import make_screen

FOLDER = Path("/tmp/axiom-screens")
"""Always the same, as its name is on the screens."""
COLUMNS, ROWS = 100, 30
LIMIT_SECONDS = 90
SESSION = "11111111-2222-4333-8444-555555555555"
PROMPT = "Write hello.py.\n\nIt prints hello.\nThen try it."
APPROVALS = Approvals.model_validate(
    {
        "rules": [
            {"name": "no-push", "pattern": r"git\s+push", "permission": "Deny", "message": "Do not push."},
        ]
    }
)


@dataclass(frozen=True)
class Story:
    """One capture."""

    name: str
    turns: list[list[dict[str, Any]]]
    interrupt: str = ""
    """A file in the workspace: once it is there, the agent is interrupted."""


STORIES = (
    Story(
        "plain",
        [
            [
                {"say": "I write the file, and try it."},
                {"patch": PATCH},
                {"shell": "sh -c 'cat hello.py'"},
                DONE,
            ]
        ],
    ),
    Story(
        "denied",
        [
            [{"shell": "touch first"}, {"shell": "git push || touch pushed"}, {"say": "Then not."}],
            [{"say": "I do without."}],
        ],
    ),
    Story("interrupted", [[{"shell": "touch started; sleep 60"}, {"say": "Never said."}]], "started"),
)


class Playing:
    """A CLI in a terminal with its driver, recorded."""

    def __init__(self, driver: ScreenDriver, turn: Turn, workspace: Path, home: Path) -> None:
        self.driver, self.lines = driver, list[dict[str, Any]]()
        self._workspace = workspace
        self._screen = make_screen(COLUMNS, ROWS, self._answer)
        self._tail = SessionTail(home, driver.record_files(turn), home.parent / "before")
        command = driver.command(turn)
        env = {**dict(entry.split("=", 1) for entry in command.env), "HOME": str(home)}
        self._process = ptyprocess.PtyProcess.spawn(
            list(command.argv), env=env, cwd=str(workspace), dimensions=(ROWS, COLUMNS)
        )
        os.set_blocking(self._process.fd, False)
        self._begun = time.monotonic()
        self._take(driver.begin(turn))

    def _answer(self, data: bytes) -> None:
        os.write(self._process.fd, data)

    def play(self, story: Story) -> None:
        """Until the turn is over. Raises TimeoutError."""
        interrupted = False
        while not self.driver.memory.outcome:
            time.sleep(0.1)
            self._read()
            now = round(time.monotonic() - self._begun, 2)
            self._note(look=now)
            self._take(self.driver.see(Sight(self._screen.view(), now)))
            if story.interrupt and not interrupted and (self._workspace / story.interrupt).exists():
                interrupted = True
                self._note(interrupt=True)
                self._take(self.driver.interrupt())
            if now > LIMIT_SECONDS:
                raise TimeoutError(f"{story.name}: it shows\n{self._screen.view().text}")

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._process.fd, 65536)
            except OSError:
                break
            if not data:
                break
            self._screen.feed(data)
            self._note(screen=data.decode("latin-1"))
        while data := self._tail.read():
            self._note(file=data.decode())
            self._take(self.driver.parse(data))

    def _take(self, step: Step) -> None:
        if step.keys:
            self._note(keys=step.keys.decode("latin-1"))
            os.write(self._process.fd, step.keys)
        for event in step.events:
            if isinstance(event, ApprovalAsked) and event.id in self.driver.memory.questions:
                decision = decide(APPROVALS, event.tool, event.input)
                assert decision.permission is not Permission.ASK
                self._take(self.driver.answer(event.id, decision))

    def _note(self, **line: Any) -> None:
        self.lines.append(line)

    def end(self) -> None:
        """Whatever it does."""
        if self._process.isalive():
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.close(force=True)


async def record(cli: Cli, story: Story) -> Iterator[str]:
    """The capture of one story."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    workspace, home = FOLDER / "workspace", FOLDER / "home"
    workspace.mkdir(parents=True)
    home.mkdir()
    async with ScriptedModel(Script.model_validate({"turns": story.turns})) as model:
        driver = screen_driver(
            cli.name, cli.argv(), workspace, home, os.environ["PATH"], model.url, approvals=APPROVALS
        )
        for file in home_files(driver, model.url):
            (home / file.path).parent.mkdir(parents=True, exist_ok=True)
            (home / file.path).write_text(file.content)
        playing = Playing(driver, Turn(1, PROMPT, session=SESSION), workspace, home)
        try:
            await asyncio.to_thread(playing.play, story)
        finally:
            await asyncio.to_thread(playing.end)
    pushed = (workspace / "pushed").exists()
    shutil.rmtree(FOLDER, ignore_errors=True)
    assert not pushed, "what was denied has run"
    head = {"cli": cli.name, "version": cli.version, "story": story.name, "size": [COLUMNS, ROWS]}
    return (json.dumps(line, ensure_ascii=False) for line in (head, *playing.lines))


def main() -> int:
    parser = argparse.ArgumentParser(prog="screens", description="Record the CLIs in mode Terminal.")
    parser.add_argument("clis", nargs="*", choices=[[], *CLIS], help="which ones (default: all)")
    parser.add_argument("--story", choices=[story.name for story in STORIES], help="this one alone")
    parser.add_argument("--older", action="store_true", help="of the older version of each")
    chosen = parser.parse_args()
    for name in chosen.clis or ON_SCREEN:
        cli = (OLDER_CLIS if chosen.older else CLIS)[name]
        for story in STORIES:
            if chosen.story in (None, story.name):
                text = "\n".join(asyncio.run(record(cli, story))) + "\n"
                (cli.captures / "screens").mkdir(parents=True, exist_ok=True)
                (cli.captures / "screens" / f"{story.name}.jsonl").write_text(text)
                print(
                    f"{name} {cli.version} {story.name}: {len(text.splitlines())} lines, {len(text)} bytes",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
