"""Record the CLIs' interactive screens as asciicasts: `python -m tests.captures.terminals [CLI…]`.

The person reads the screen by its text alone: types the prompt when it is quiet, says yes to what it is asked, and leaves
when the model has said its last words. A recording is short, and differs in its timing from one time to the next.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import selectors
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ptyprocess  # type: ignore[import-untyped]
from tests.captures.clis import CLIS, ON_SCREEN, Cli
from tests.captures.launching import driver, home_files
from tests.captures.stories import DONE, PATCH
from tests.fakes.scripted_model import Script, ScriptedModel

from axiom_sandbox.drivers.contract import Turn

HERE = Path(__file__).parent
FOLDER = Path("/tmp/axiom-terminal")
"""Always the same, as its name is on the screens."""
COLUMNS, ROWS = 100, 30
QUIET_SECONDS = 2.0
LIMIT_SECONDS = 60
SCRIPT = Script.model_validate(
    {"turns": [[{"say": "I write the file, and try it."}, {"patch": PATCH}, {"shell": "sh -c 'cat hello.py'"}, DONE]]}
)  # fmt: skip
LAST_WORDS = "hello.py prints hello"
QUERIES = {
    b"\x1b[c": b"\x1b[?62;22c",
    b"\x1b[?u": b"\x1b[?0u",
    b"\x1b[>q": b"\x1bP>|axiom\x1b\\",
    b"\x1b[>0q": b"\x1bP>|axiom\x1b\\",
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b]10;?": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
    b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
}
"""What a terminal is asked, and what it answers."""
_CONTROL = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-9;?<>=!]*[ -/]*[@-~]|\x1b.")
OPTIONS = {
    "claude": ("--permission-mode", "manual"),
    "codex": (
        "-c",
        "features.daemon_auto_start=false",
        "-c",
        "check_for_update_on_startup=false",
        "--sandbox",
        "danger-full-access",
    ),
    "gemini": (),
}


def terminal_files(cli: str, workspace: Path) -> dict[str, str]:
    """What mode Terminal needs in the home besides: sandbox-image/agents/README.md."""
    match cli:
        case "claude":
            trusted = {
                str(workspace): {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
            }
            return {
                ".claude.json": json.dumps(
                    {"hasCompletedOnboarding": True, "theme": "dark", "projects": trusted}
                )
            }
        case _:
            return {}


class Screen:
    """A CLI in a terminal, recorded."""

    def __init__(self, argv: list[str], env: dict[str, str], folder: Path) -> None:
        self.events: list[tuple[float, str, str]] = []
        self.text = ""
        """All that was written, without what only moves and colours."""
        self._process = ptyprocess.PtyProcess.spawn(
            argv, env=env, cwd=str(folder), dimensions=(ROWS, COLUMNS)
        )
        self._begin = self._last = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.fd, selectors.EVENT_READ)

    def read(self, seconds: float) -> bool:
        """Reads what comes within that time; whether anything did."""
        if not self._selector.select(seconds):
            return False
        try:
            data = os.read(self._process.fd, 65536)
        except OSError:
            return False
        for query, answer in QUERIES.items():
            if query in data:
                self._process.write(answer)
        self._note("o", data.decode(errors="replace"))
        self.text += _CONTROL.sub("", data.decode(errors="replace"))
        return bool(data)

    def shows(self, words: str) -> bool:
        """Whether these words were written; where, and how far apart, is not seen."""
        return "".join(words.split()) in "".join(self.text.split())

    def type(self, text: str) -> None:
        """Keys."""
        self._note("i", text)
        self._process.write(text.encode())

    def until(self, wanted: Callable[[], bool], what: str) -> None:
        """Reads until it is wanted no longer. Raises TimeoutError."""
        end = time.monotonic() + LIMIT_SECONDS
        while not wanted():
            self.read(0.1)
            if time.monotonic() > end:
                raise TimeoutError(f"not on the screen: {what}; it shows: {self.text[-1500:]}")

    def quiet(self) -> None:
        """Reads until nothing has come for a while."""
        end = time.monotonic() + LIMIT_SECONDS
        while self.read(QUIET_SECONDS) and time.monotonic() < end:
            pass

    def end(self) -> None:
        """SIGKILL, as its last words were said."""
        self._process.close(force=True)

    def _note(self, code: str, data: str) -> None:
        now = time.monotonic()
        self.events.append((now - self._last, code, data))
        self._last = now

    def cast(self, title: str) -> Iterator[str]:
        """The asciicast, version 3."""
        term = {"cols": COLUMNS, "rows": ROWS, "type": "xterm-256color"}
        yield json.dumps({"version": 3, "term": term, "title": title, "idle_time_limit": 2})
        for seconds, code, data in self.events:
            yield json.dumps([round(seconds, 2), code, data], ensure_ascii=False)


def play(screen: Screen) -> None:
    """The person's side."""
    screen.until(lambda: screen.text.strip(), "anything")
    screen.quiet()
    for key in "Write hello.py.":
        screen.type(key)
        screen.read(0.05)
    screen.quiet()
    screen.type("\r")
    for _ in range(4):
        screen.quiet()
        if screen.shows(LAST_WORDS):
            return
        screen.type("\r")  # the first choice of a question is yes
    screen.until(lambda: screen.shows(LAST_WORDS), LAST_WORDS)


async def record(cli: Cli) -> str:
    """The recording of one CLI."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    workspace, home = FOLDER / "workspace", FOLDER / "home"
    workspace.mkdir(parents=True)
    home.mkdir()
    async with ScriptedModel(SCRIPT) as model:
        argv = cli.argv()
        machine = driver(cli.name, argv, workspace, home, os.environ["PATH"], model.url)
        files = {file.path: file.content for file in home_files(machine, model.url)}
        if cli.name == "codex":
            files[".codex/config.toml"] += (
                f'[projects."{workspace}"]\ntrust_level = "trusted"\n'
                '[notice.model_migrations]\n"gpt-5.5" = "gpt-6-sol"\n'
            )
        for path, content in (files | terminal_files(cli.name, workspace)).items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(content)
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        env |= dict(entry.split("=", 1) for entry in machine.command(Turn(1, "")).env)
        if cli.name == "claude":
            env["ANTHROPIC_AUTH_TOKEN"] = env.pop("ANTHROPIC_API_KEY")
        screen = Screen([*machine.program.command, *OPTIONS[cli.name]], env, workspace)
        try:
            await asyncio.to_thread(play, screen)
        finally:
            await asyncio.to_thread(screen.end)
    shutil.rmtree(FOLDER, ignore_errors=True)
    return "\n".join(screen.cast(f"{cli.name} {cli.version}")) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="terminals", description="Record the CLIs' interactive screens.")
    parser.add_argument("clis", nargs="*", choices=[[], *CLIS], help="which ones (default: all)")
    for name in parser.parse_args().clis or ON_SCREEN:
        text = asyncio.run(record(CLIS[name]))
        (HERE / name / "terminal.cast").write_text(text)
        print(f"{name}: {len(text.splitlines())} lines, {len(text)} bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
