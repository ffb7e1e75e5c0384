"""What the runners share whose tests run in a process of another language: they start it, read what a witness of ours in
it says, and pass that on to the driver. Runs as `python -I -B relay.py RUNNER`, and hands itself to the runner's `main`.

This process never runs code of the workspace, and is closed to those that do. The witness gets a secret of its own on
descriptor 3, before anything of the workspace is loaded, and signs each line on descriptor 4 as `suites/reports.py`
says; a line that it did not sign is counted as forged. What a witness says counts only once it has said, too, that the
tests' own files were loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import hmac
import importlib.util
import json
import os
import random
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MAX_CHANNEL, MAX_OUTPUT = 8 * 1024 * 1024, 256 * 1024
_PR_SET_DUMPABLE = 4
_SECRET_BYTES = 32

Send = Callable[..., None]
Message = dict[str, Any]


def load(name: str) -> Any:
    """A file of this folder as a module."""
    spec = importlib.util.spec_from_file_location(f"axiom_{Path(name).stem}", FOLDER / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def begin(names: Sequence[str]) -> tuple[Message, Send]:
    """Closes this process to others; the plan, and the function that reports to the driver.

    Args:
        names: the files that the runner consists of, as its adapter lists them.
    """
    if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        sys.exit("this process cannot be closed to others")
    plan, send = load("run_pytest.py").connect()
    send("hello", runner=hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in names)).hexdigest())
    return plan, send


@dataclass
class Ended:
    """How a process of the workspace ended, and what its witness said."""

    code: int = 0
    messages: list[Message] = field(default_factory=list)
    forged: int = 0
    output: bytes = b""
    """The end of what it printed."""

    def said(self, kind: str) -> list[Message]:
        """The messages of a kind."""
        return [message for message in self.messages if message.get("kind") == kind]

    @property
    def ending(self) -> str:
        """In words, for people."""
        if self.code < 0:
            return f"its process was ended by signal {-self.code}"
        return f"its process ended early, with exit code {self.code}"


def run(
    argv: Sequence[str], env: dict[str, str], cwd: str, told: Message, on: Callable[[Message], None]
) -> Ended:
    """Runs a process with a witness in it to its end; then nothing of its group is alive.

    Args:
        told: what the witness reads after its secret.
        on: is called with each message at once.
    """
    secret = os.urandom(_SECRET_BYTES)
    feed, feeding = os.pipe()
    reading, channel = os.pipe()
    printed, printing = os.pipe()

    def place() -> None:
        import fcntl

        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 64) for descriptor in (feed, channel)]
        for number, descriptor in enumerate(high, 3):
            os.dup2(descriptor, number)

    process = subprocess.Popen(
        argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=printing, stderr=printing,
        pass_fds=(3, 4), start_new_session=True,
        preexec_fn=place,  # noqa: PLW1509 - no other thread is alive
    )  # fmt: skip
    for descriptor in (feed, channel, printing):
        os.close(descriptor)
    giver = threading.Thread(target=_give, args=(feeding, secret + json.dumps(told).encode()))
    giver.start()
    ended = _listen(process, reading, printed, _Lines(secret, on))
    giver.join()
    return ended


def _give(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(OSError), open(descriptor, "wb") as target:
        target.write(data)


class _Lines:
    """Signed lines, taken apart."""

    def __init__(self, secret: bytes, on: Callable[[Message], None]) -> None:
        self._secret, self._on, self._rest, self._bytes = secret, on, b"", 0
        self.messages: list[Message] = []
        self.forged = 0

    def feed(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > MAX_CHANNEL:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            mac, _, body = line.partition(b" ")
            right = hmac.digest(self._secret, body, "sha256")[:16].hex().encode()
            message = _parsed(body) if hmac.compare_digest(mac, right) else None
            if message is None or message.get("n") != len(self.messages):
                self.forged += 1
                continue
            self.messages.append(message)
            self._on(message)


def _parsed(body: bytes) -> Message | None:
    try:
        message = json.loads(body)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _listen(process: subprocess.Popen[bytes], reading: int, printed: int, lines: _Lines) -> Ended:
    output = b""
    watch = os.pidfd_open(process.pid)
    with selectors.DefaultSelector() as selector:
        for descriptor in (watch, reading, printed):
            os.set_blocking(descriptor, False)
            selector.register(descriptor, selectors.EVENT_READ)
        alive = True
        while alive or selector.get_map():
            events = selector.select(None if alive else 0)
            if not alive and not events:
                break  # somebody outside the group may hold the pipes open
            for key, _ in events:
                if key.fd == watch:
                    alive = False
                    selector.unregister(watch)
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(process.pid, signal.SIGKILL)
                elif data := _read(key.fd):
                    if key.fd == reading:
                        lines.feed(data)
                    else:
                        sys.stdout.buffer.write(data)
                        output = (output + data)[-MAX_OUTPUT:]
                else:
                    selector.unregister(key.fd)
    for descriptor in (watch, reading, printed):
        os.close(descriptor)
    sys.stdout.flush()
    return Ended(process.wait(), lines.messages, lines.forged, output)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


class Suite:
    """What several processes reported, brought into the driver's form."""

    def __init__(self, plan: Message, send: Send, separator: str) -> None:
        self.plan, self._send, self._separator = plan, send, separator
        self._found: dict[str, list[str]] = {test: [] for test in plan["tests"]}
        self._sentinels: list[str] = []
        self._results: list[Message] = []
        self._stamps = load("run_pytest.py").Stamps(plan["workspace"], plan["ours"])
        self._ran: dict[str, set[int]] = {}
        self.shuffle = random.Random(plan["seed"])  # noqa: S311 - an order, not a secret

    def sentinel(self, name: str) -> str:
        """Notes a test that must fail."""
        self._sentinels.append(name)
        return name

    def is_wanted(self, name: str) -> bool:
        """Whether a test is one that was asked for, or belongs to one."""
        return name in self._sentinels or any(self._covers(test, name) for test in self._found)

    def start(self, name: str) -> None:
        """A test has begun."""
        if self.is_wanted(name) and name not in self._sentinels:
            self._send("start", test=name)

    def error(self, file: str, message: str) -> None:
        """A file whose tests could not be run to their end."""
        self._send("error", file=file, message=message[-1200:])

    def take(self, name: str, result: Message) -> None:
        """What became of a test."""
        if not self.is_wanted(name):
            return
        for test, names in self._found.items():
            if self._covers(test, name) and name not in (*names, *self._sentinels):
                names.append(name)
        self._results.append({"test": name, **result})

    def covered(self, files: dict[str, Iterable[int]]) -> None:
        """Lines of the code under test that ran in one process."""
        for path, lines in files.items():
            self._ran.setdefault(path, set()).update(lines)

    def check(self, ended: Ended) -> None:
        """Says what a process did that no honest one does."""
        for _ in range(ended.forged):
            self._send("forged")
        if changed := self._stamps.changed():
            self._send("tampered", parts=changed)

    def tampered(self, parts: Sequence[str]) -> None:
        """What somebody replaced that tests rest on."""
        self._send("tampered", parts=[str(part)[:200] for part in parts])

    def finish(self, lines_of: dict[str, list[int]], status: int) -> None:
        """Reports all of it, and ends the report."""
        self._send("collected", tests=self._found, sentinels=self._sentinels)
        for result in self._results:
            self._send("test", **{"message": "", "tampered": [], **result})
        if lines_of:
            files = {
                path: {"lines": lines, "ran": sorted(self._ran.get(path, ()))}
                for path, lines in lines_of.items()
            }
            self._send("coverage", files=files)
        self._send("end", status=status)

    def _covers(self, test: str, name: str) -> bool:
        whole_file = "::" not in test and name.startswith(f"{test}::")
        return name == test or whole_file or name.startswith(test + self._separator)


def main() -> None:
    """Lets a runner of this folder run."""
    load(sys.argv[1]).main(sys.modules[__name__])


if __name__ == "__main__":
    main()
