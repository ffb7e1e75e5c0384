"""Serve a script until SIGTERM or SIGINT: `python -m tests.fakes.scripted_model --script FILE.json`.

Prints one line of JSON with the address once it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from .script import ScriptError, load_script
from .server import ScriptedModel


async def _serve(model: ScriptedModel) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with model:
        print(json.dumps({"url": model.url}), flush=True)
        await ended.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripted_model", description="A model that plays a script.")
    parser.add_argument("--script", type=Path, required=True, help="what to play (JSON)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen at (default: any free one)")
    parser.add_argument("--expect-key", help="answer 401 to any other API key")
    parser.add_argument("--log", type=Path, help="append a line of JSON here for each request")
    parser.add_argument(
        "--no-asides",
        action="store_true",
        help="a request that offers no tools is part of the story, as a judge's question is",
    )
    parser.add_argument("--watch-for", default="", help="the log tells which requests hold this text")
    options = parser.parse_args()
    try:
        script = load_script(options.script)
    except ScriptError as error:
        print(error, file=sys.stderr)
        return 2
    asyncio.run(
        _serve(
            ScriptedModel(
                script,
                expected_key=options.expect_key,
                log=options.log,
                host=options.host,
                port=options.port,
                asides=not options.no_asides,
                watched_for=options.watch_for,
            )
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
