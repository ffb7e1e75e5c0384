"""Speaks the DevTools protocol with a Chromium over two pipes: no port is opened, so nobody else can speak with it.

Blocking, with one deadline for all that is said. Of the events only those are kept that somebody said to be interested in, so a page
cannot fill the memory by what it does.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

_LONGEST = 96 * 1024 * 1024
"""Bytes of a message: a picture in Base64."""
_MOST_EVENTS = 1000
_PIECE = 1024 * 1024
_BETWEEN = ("/bin/sh", "-c", 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1')
"""Chromium reads descriptor 3 and writes descriptor 4."""


Call = tuple[str, Mapping[str, Any]]
"""Method and parameters."""


class BrowserError(Exception):
    """There is no picture. The message says why."""


class Devtools:
    """One Chromium, from its start to its end."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], seconds: float) -> None:
        """Raises BrowserError."""
        self._until = time.monotonic() + seconds
        self._count, self._buffer = 0, bytearray()
        self._kept: frozenset[str] = frozenset()
        self._answers: dict[str, Call] = {}
        self.events: list[dict[str, Any]] = []
        try:
            self._process = subprocess.Popen(
                [*_BETWEEN, *command],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise BrowserError(f"the browser cannot be started: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    @property
    def seconds_left(self) -> float:
        """Until the deadline; not below 0."""
        return max(0.0, self._until - time.monotonic())

    def keep(self, names: Collection[str], answers: Mapping[str, Call] | None = None) -> None:
        """Events of these names are kept from now on; others are answered at once by a call, as a page may wait for that."""
        self._kept, self._answers = frozenset(names), dict(answers or {})

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Has something done. Raises BrowserError."""
        identifier = self._send(method, session, parameters)
        while True:
            message = self._read()
            if message.get("id") == identifier:
                break
            self._note(message)
        if "error" in message:
            raise BrowserError(f"the browser refuses {method}: {message['error'].get('message')}"[:300])
        result: dict[str, Any] = message.get("result") or {}
        return result

    def wait(self, *names: str, seconds: float | None = None) -> str:
        """The name of the first event of these that has come, or comes; empty when the time is over. Raises BrowserError."""
        until = self._until if seconds is None else min(self._until, time.monotonic() + seconds)
        while True:
            for event in self.events:
                if event["method"] in names:
                    return str(event["method"])
            try:
                message = self._read(until)
            except TimeoutError:
                return ""
            self._note(message)

    def forget(self, name: str) -> None:
        """Events of this name that have come."""
        self.events = [event for event in self.events if event["method"] != name]

    def _send(self, method: str, session: str, parameters: Mapping[str, Any]) -> int:
        self._count += 1
        body: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if session:
            body["sessionId"] = session
        self._write(json.dumps(body).encode() + b"\0")
        return self._count

    def _note(self, message: dict[str, Any]) -> None:
        if answer := self._answers.get(message.get("method", "")):
            self._send(answer[0], str(message.get("sessionId", "")), answer[1])
        if message.get("method") in self._kept and len(self.events) < _MOST_EVENTS:
            self.events.append(message)

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except OSError as error:
            raise BrowserError("the browser ended by itself") from error

    def _read(self, until: float | None = None) -> dict[str, Any]:
        """The next message. Raises BrowserError; with `until` TimeoutError when that is over."""
        source = self._process.stdout
        assert source is not None
        while (end := self._buffer.find(b"\0")) < 0:
            left = (self._until if until is None else until) - time.monotonic()
            if left <= 0 or not select.select([source], [], [], left)[0]:
                if until is not None:
                    raise TimeoutError
                raise BrowserError("the browser took too long")
            piece = os.read(source.fileno(), _PIECE)
            if not piece:
                raise BrowserError("the browser ended by itself")
            self._buffer += piece
            if len(self._buffer) > _LONGEST:
                raise BrowserError("the browser says too much")
        try:
            message = json.loads(self._buffer[:end])
        except ValueError as error:
            raise BrowserError("the browser says what nobody understands") from error
        finally:
            del self._buffer[: end + 1]
        return message if isinstance(message, dict) else {}
