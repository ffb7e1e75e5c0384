"""A real CLI on pipes: what it is told and what it says, line by line, and how that is written down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Message = dict[str, Any]
LIMIT_SECONDS = 120
MOST_LINE_BYTES = 64 * 2**20


class Recorder:
    """Collects lines with their direction and the time since the beginning."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, str, str]] = []
        self._begin = time.monotonic()

    def add(self, direction: str, text: str) -> None:
        """`to` and `from` the CLI, or a `note` of ours."""
        self.lines.append((time.monotonic() - self._begin, direction, text))


class Talk:
    """A conversation with one process of a CLI."""

    def __init__(self, recorder: Recorder, process: asyncio.subprocess.Process) -> None:
        self.heard: list[Message] = []
        self.answer: Callable[[Message], Message | None] = lambda _: None
        """What is said at once to a message of the CLI."""
        self.limit = float(LIMIT_SECONDS)
        """Seconds that it may take to say what is waited for."""
        self._recorder = recorder
        self._process = process
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    def say(self, message: Message) -> None:
        """One line for the CLI."""
        assert self._process.stdin is not None
        text = json.dumps(message, separators=(",", ":"))
        self._recorder.add("to", text)
        self._process.stdin.write(text.encode() + b"\n")

    async def until(self, wanted: Callable[[Message], object], what: str = "") -> Message:
        """The first message, heard or yet to come, that is wanted. Raises TimeoutError or EOFError."""
        seen = 0
        try:
            async with asyncio.timeout(self.limit):
                while True:
                    for message in self.heard[seen:]:
                        if wanted(message):
                            return message
                    seen = len(self.heard)
                    if self._reading.done():
                        raise EOFError(f"the CLI ended before {what or 'what was waited for'}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            raise TimeoutError(
                f"not heard within {self.limit:g} s: {what}; last: {self.heard[-3:]}"
            ) from error

    async def leave(self) -> int:
        """Nothing more is said; the CLI's exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self._end()

    async def kill(self) -> None:
        """SIGKILL for the CLI and all that it started."""
        self._recorder.add("note", "kill -9")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._end()

    async def _end(self) -> int:
        async with asyncio.timeout(LIMIT_SECONDS):
            await self._reading
            code = await self._process.wait()
        self._recorder.add("note", f"exit {code}")
        return code

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            text = line.decode().rstrip("\n")
            self._recorder.add("from", text)
            with contextlib.suppress(ValueError):
                message = json.loads(text)
                self.heard.append(message)
                if (said := self.answer(message)) is not None:
                    self.say(said)
            self._news.set()
        self._news.set()


async def start(
    recorder: Recorder, argv: Sequence[str], env: Mapping[str, str], folder: Path, errors: Path
) -> Talk:
    """Starts a CLI in a process group of its own."""
    recorder.add("note", "start " + json.dumps([Path(argv[0]).name, *argv[1:]]))
    with errors.open("ab") as written:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=env,
            cwd=folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=written,
            limit=MOST_LINE_BYTES,
            start_new_session=True,
        )
    return Talk(recorder, process)


class Normaliser:
    """Gives what differs from run to run the same name each time: ids by order of their appearance, paths, times."""

    _UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
    _LONG_HEX = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{16,64}(?![0-9a-zA-Z])")
    _PREFIXED = re.compile(r"\b(?:ses|msg|prt|per|evt)_[0-9A-Za-z]{20,32}\b")
    _TIME = re.compile(r"\b20\d\d-\d\d-\d\dT\d\d[:-]\d\d[:-]\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?")
    _DAY = re.compile(r"/20\d\d/\d\d/\d\d/")
    _PORT = re.compile(r"(127\.0\.0\.1|localhost):\d+")
    _SYSTEM = re.compile(r"\(\w+ [\d.]+; (\w+)\)")
    _NUMBER = re.compile(
        r'("(?:pid|processId|[a-z_]*ms|[a-zA-Z]*Ms|[a-zA-Z]*_at|[a-zA-Z]*At|[a-z_]*timestamp|duration|wallTime'
        r'[a-zA-Z]*|osVersion|retryDelay)":\s*"?)\d+(?:\.\d+)?(?![\d-])'
    )

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = sorted(paths.items(), key=lambda item: -len(item[0]))
        self._names: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """One line."""
        for path, name in self._paths:
            text = text.replace(path, name)
        text = self._UUID.sub(lambda found: self._name(found[0], "00000000-0000-7000-8000-{:012d}"), text)
        text = self._LONG_HEX.sub(lambda found: self._name(found[0], "{:0" + str(len(found[0])) + "d}"), text)
        text = self._PREFIXED.sub(
            lambda found: self._name(found[0], found[0][:4] + "{:0" + str(len(found[0]) - 4) + "d}"), text
        )
        text = self._DAY.sub("/2026/01/01/", text)
        text = self._TIME.sub("2026-01-01T00:00:00.000Z", text)
        text = self._PORT.sub(r"\g<1>:8000", text)
        text = self._SYSTEM.sub(r"(Linux; \g<1>)", text)
        return self._NUMBER.sub(r"\g<1>0", text)

    def _name(self, found: str, form: str) -> str:
        if found not in self._names:
            self._names[found] = form.format(len(self._names) + 1)
        return self._names[found]


def written(recorder: Recorder, head: Message, normalise: Normaliser) -> str:
    """The file of a capture: a line that says what it is, then a line for each line, with whole seconds."""
    lines = [json.dumps(head)]
    for seconds, direction, text in recorder.lines:
        lines.append(json.dumps({"t": int(seconds), direction: normalise(text)}, ensure_ascii=False))
    return "\n".join(lines) + "\n"
