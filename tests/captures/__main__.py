"""Record the captures anew: `python -m tests.captures [CLI…] [--story NAME] [--older]`, or `make captures`."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from tests.captures.clis import CLIS, OLDER_CLIS, Cli
from tests.captures.launching import command, driver, home_files
from tests.captures.playing import PLAYERS
from tests.captures.recording import Normaliser, Recorder, Talk, start, written
from tests.captures.stories import STORIES, Story
from tests.fakes.scripted_model import ScriptedModel


async def record(cli: Cli, story: Story, argv: tuple[str, ...]) -> str:
    """The capture of one story, as it is written down."""
    recorder = Recorder()
    folder = Path(tempfile.mkdtemp(prefix="axiom-capture-"))
    workspace, home = folder / "workspace", folder / "home"
    workspace.mkdir()
    home.mkdir()
    try:
        async with ScriptedModel(story.script) as model:
            machine = driver(cli.name, argv, workspace, home, os.environ["PATH"], model.url, asks=story.ask)
            for file in home_files(machine, model.url):
                (home / file.path).parent.mkdir(parents=True, exist_ok=True)
                (home / file.path).write_text(file.content)

            async def begin(session: str) -> Talk:
                started = command(machine, session)
                env = dict(entry.split("=", 1) for entry in started.env)
                return await start(recorder, started.argv, env, workspace, folder / "errors")

            try:
                await PLAYERS[cli.name](story, begin, workspace).play()
            except (TimeoutError, EOFError, AssertionError):
                print(written(recorder, {}, str), (folder / "errors").read_text(), file=sys.stderr)  # type: ignore[arg-type]
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    paths = {str(workspace): "/workspace", str(home): "/home/agent", str(cli.folder): "/opt/agent"}
    head = {"cli": cli.name, "version": cli.version, "story": story.name}
    return written(
        recorder,
        head,
        Normaliser({**paths, str(folder): "/tmp/capture", f'"{socket.gethostname()}"': '"host"'}),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="captures", description="Record what the real CLIs say.")
    parser.add_argument("clis", nargs="*", choices=[[], *CLIS], help="which ones (default: all)")
    parser.add_argument("--story", choices=[story.name for story in STORIES], help="this one alone")
    parser.add_argument("--older", action="store_true", help="of the older version of each")
    chosen = parser.parse_args()
    known = OLDER_CLIS if chosen.older else CLIS
    for name in chosen.clis or known:
        cli = known[name]
        argv = cli.argv()
        cli.captures.mkdir(exist_ok=True)
        for story in STORIES:
            if chosen.story in (None, story.name):
                text = asyncio.run(record(cli, story, argv))
                (cli.captures / f"{story.name}.jsonl").write_text(text)
                print(
                    f"{name} {cli.version} {story.name}: {len(text.splitlines())} lines, {len(text)} bytes",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
