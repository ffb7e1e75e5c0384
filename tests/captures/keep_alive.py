"""Measure whether a real CLI needs input to stay alive: `python -m tests.captures.keep_alive [CLI…] [--seconds N]`.

In one process, in mode Structured, with the scripted model: a turn; a pause without a byte; a turn with a tool that runs as
long; another turn. Printed as one JSON object for each CLI; docs/drivers.md says what was found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.captures.clis import CLIS, Cli
from tests.captures.launching import command, driver, home_files
from tests.captures.playing import PLAYERS
from tests.captures.recording import Recorder, Talk, start
from tests.captures.stories import Story
from tests.fakes.scripted_model import ScriptedModel

SECONDS = 1200


def story_of(seconds: int) -> Story:
    """The model's part; Claude Code does not let a bare `sleep` run."""
    long = f"python3 -c 'import time; time.sleep({seconds})'; echo 'wai'ted"
    turns: list[list[dict[str, Any]]] = [
        [{"say": "One."}],
        [{"shell": long}, {"say": "Two."}],
        [{"say": "Three."}],
    ]
    return Story("keep_alive", turns, prompts=("First.", "Second.", "Third."))


async def measure(cli: Cli, seconds: int, env: dict[str, str]) -> dict[str, Any]:
    """How long each turn took, what was said while nothing was asked, and how the process ended."""
    recorder, folder = Recorder(), Path(tempfile.mkdtemp(prefix="axiom-keep-alive-"))
    workspace, home = folder / "workspace", folder / "home"
    workspace.mkdir()
    home.mkdir()
    story, argv = story_of(seconds), cli.argv()
    took: list[float] = []
    try:
        async with ScriptedModel(story.script) as model:
            machine = driver(cli.name, argv, workspace, home, os.environ["PATH"], model.url)
            for file in home_files(machine, model.url):
                (home / file.path).parent.mkdir(parents=True, exist_ok=True)
                (home / file.path).write_text(file.content)

            async def begin(session: str) -> Talk:
                started = command(machine, session)
                given = dict(entry.split("=", 1) for entry in started.env) | env
                return await start(recorder, started.argv, given, workspace, folder / "errors")

            player = PLAYERS[cli.name](story, begin, workspace)
            talk = await begin("")
            talk.answer, talk.limit = player.answer, 60 + 2.0 * seconds
            await player.open(talk)
            unasked: list[str] = []
            for number, prompt in enumerate(story.prompts):
                if number == 1:
                    before = len(recorder.lines)
                    await asyncio.sleep(seconds)
                    unasked = [text[:200] for _, _, text in recorder.lines[before:]]
                asked_at = time.monotonic()
                await player.turn_over(talk, await player.ask(talk, prompt))
                took.append(round(time.monotonic() - asked_at, 1))
            session, code = player.session, await talk.leave()
            waited = any("waited" in text for _, direction, text in recorder.lines if direction == "from")
            return {
                "cli": cli.name,
                "version": cli.version,
                "seconds": seconds,
                "turns_took": took,
                "said_unasked": unasked,
                "tool_was_heard": waited,
                "requests": len(model.requests),
                "session": session,
                "exit": code,
            }
    except (TimeoutError, EOFError, AssertionError) as error:
        said = [f"{when:.0f} {who} {text[:300]}" for when, who, text in recorder.lines[-20:]]
        return {
            "cli": cli.name,
            "version": cli.version,
            "turns_took": took,
            "failed": str(error),
            "last": said,
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="keep_alive", description="Whether a CLI stays alive by itself.")
    parser.add_argument("clis", nargs="*", choices=[[], *CLIS], help="which ones (default: all)")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"of each pause ({SECONDS})")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the CLI")
    chosen = parser.parse_args()
    env = dict(entry.split("=", 1) for entry in chosen.env)
    for name in chosen.clis or CLIS:
        print(json.dumps(asyncio.run(measure(CLIS[name], chosen.seconds, env)), indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
