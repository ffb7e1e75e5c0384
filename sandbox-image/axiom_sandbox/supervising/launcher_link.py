"""The trusted end of the socket to the launcher: pins its nonce, asks, and hears what it reports.

The wire is described in docs/design/launcher-protocol.md. Nothing here decides what to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axiom_sandbox.durable import replace_durably
from axiom_sandbox.protocol.launching import (
    MAX_PACKET_BYTES,
    PROTOCOL,
    Assertion,
    Exit,
    Expectation,
    Process,
    Processes,
    Start,
)

_MAX_FDS = 32
_HELLO_TIMEOUT = 2.0
_MAX_GREETINGS = 32
_LONGEST_SHOWN = 40
"""Characters of what a stranger says that are told."""


class LauncherError(Exception):
    """The launcher answered with an error. `code` is an errno's name, `stage` says where a start failed."""

    def __init__(self, code: str, stage: str, message: str) -> None:
        self.code, self.stage = code, stage
        super().__init__(message)


class LauncherLostError(Exception):
    """The launcher is not connected, and did not come back in time."""


@dataclass(frozen=True)
class Hello:
    """What the launcher says of itself when it connects."""

    version: str
    kernel: str
    landlock_abi: int


@dataclass(frozen=True)
class Handover:
    """Descriptors that came with an answer. Whoever takes them closes them."""

    pid: int
    fds: dict[str, int]
    missing: tuple[str, ...] = ()

    def close(self) -> None:
        """Closes what was not taken out of `fds`."""
        while self.fds:
            os.close(self.fds.popitem()[1])


@dataclass
class _Connection:
    sock: socket.socket
    waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = field(default_factory=dict)


class LauncherLink:
    """One launcher. Callbacks run in the event loop and must not block."""

    def __init__(
        self,
        path: Path,
        pin_file: Path,
        on_connected: Callable[[Hello], None],
        on_intruder: Callable[[str], None],
        on_signal: Callable[[int], None],
    ) -> None:
        self._path, self._pin_file = path, pin_file
        self._on_connected, self._on_intruder, self._on_signal = on_connected, on_intruder, on_signal
        self._connection: _Connection | None = None
        self._ready = asyncio.Event()
        self._exits: dict[str, asyncio.Future[Exit]] = {}
        self._processes: dict[str, Process] = {}
        self._next_id = 0
        self._listener: socket.socket | None = None
        self._probing = False
        self._greetings: dict[asyncio.Task[None], None] = {}
        """Peers that have not said who they are, oldest first."""

    async def open(self) -> None:
        """Listens. The socket is made anew: what lies there is from an earlier life of this process."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self._path))
        self._path.chmod(0o666)
        listener.listen(8)
        listener.setblocking(False)
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept)

    async def close(self) -> None:
        """Stops listening and hangs up. The launcher keeps everything."""
        loop = asyncio.get_running_loop()
        if self._listener:
            loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        greetings = list(self._greetings)
        for greeting in greetings:
            greeting.cancel()
        await asyncio.gather(*greetings, return_exceptions=True)
        self._drop("the supervisor ends")

    @property
    def pinned(self) -> bool:
        """Whether a launcher has been seen in this sandbox's life."""
        return self._pin_file.exists()

    async def connected(self, timeout: float) -> None:
        """Waits for the launcher. Raises LauncherLostError after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            raise LauncherLostError(f"the launcher has not connected for {timeout:.0f} s") from None

    def knows(self, name: str) -> Process | None:
        """A process that the launcher has, or has seen end."""
        return self._processes.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Every process that the launcher has not been told to forget."""
        return tuple(self._processes)

    async def start(self, start: Start) -> Handover:
        """Starts a process. Raises LauncherError, with the stage that failed."""
        body = start.model_dump(mode="json", exclude_none=True)
        body["channels"] = [dict(channel) for channel in body.get("channels", ())]
        self._exits.pop(start.name, None)
        answer, fds = await self._ask(body)
        self._processes[start.name] = Process(name=start.name, pid=answer["pid"], fds=tuple(answer["fds"]))
        return Handover(
            answer["pid"], dict(zip(answer["fds"], fds, strict=True)), tuple(answer.get("missing") or ())
        )

    async def take_fds(self, name: str) -> Handover:
        """Fresh duplicates of a running process's descriptors."""
        answer, fds = await self._ask({"type": "fds", "name": name})
        return Handover(self._processes[name].pid, dict(zip(answer["fds"], fds, strict=True)))

    async def close_fd(self, name: str, fd: str) -> None:
        """Makes the launcher close its own copy, so that the reader sees the end. That there is none is no error."""
        try:
            await self._ask({"type": "close", "name": name, "fd": fd})
        except LauncherError as error:
            if error.code not in ("EBADF", "ESRCH"):
                raise

    async def exited(self, name: str) -> Exit:
        """Waits until the process has ended."""
        process = self._processes.get(name)
        if process and process.exit:
            return process.exit
        return await asyncio.shield(self._exits.setdefault(name, asyncio.get_running_loop().create_future()))

    async def signal(self, name: str, number: int, scope: str = "group") -> None:
        """Signals a process or its group. A process that is gone already is no error."""
        try:
            await self._ask({"type": "signal", "name": name, "signal": number, "scope": scope})
        except LauncherError as error:
            if error.code != "ESRCH":
                raise

    async def freeze(self) -> int:
        """Stops every untrusted process; how many. Raises LauncherError ETIMEDOUT."""
        answer, _ = await self._ask({"type": "freeze"})
        return int(answer["stopped"])

    async def thaw(self) -> None:
        """Lets every untrusted process go on."""
        await self._ask({"type": "thaw"})

    async def kill(self) -> None:
        """Ends every untrusted process but the launcher."""
        await self._ask({"type": "kill"})

    async def count_threads(self) -> int:
        """How many threads the untrusted processes have together: what process limits count."""
        answer, _ = await self._ask({"type": "processes"})
        return int(answer["threads"])

    async def processes(self) -> Processes:
        """What runs, as far as it fits."""
        answer, _ = await self._ask({"type": "processes"})
        return Processes.model_validate(answer)

    async def probe(self, expect: Expectation) -> tuple[Assertion, ...]:
        """Runs the isolation probe from inside. The peer that it sends to our door is no intruder."""
        self._probing = True
        try:
            answer, _ = await self._ask({"type": "probe", "expect": expect.model_dump(mode="json")})
        finally:
            self._probing = False
        return tuple(Assertion.model_validate(item) for item in answer["assertions"])

    async def dial(self, address: str) -> int:
        """Descriptor of a connection to a port of the loopback inside, such as 127.0.0.1:8080; it may still be on its way.

        Raises LauncherError. Whoever takes the descriptor closes it.
        """
        _, fds = await self._ask({"type": "dial", "address": address})
        [descriptor] = fds
        return descriptor

    async def release(self, name: str) -> None:
        """Forgets an ended process."""
        await self._ask({"type": "release", "name": name})
        self._processes.pop(name, None)
        self._exits.pop(name, None)

    async def exit(self, code: int) -> None:
        """Ends the launcher, and with it the untrusted container."""
        await self._ask({"type": "exit", "code": code})

    async def _ask(self, body: dict[str, Any], timeout: float = 30.0) -> tuple[dict[str, Any], list[int]]:
        await self.connected(timeout)
        connection = self._connection
        assert connection is not None
        self._next_id += 1
        identifier = self._next_id
        packet = json.dumps({"id": identifier, **body}, ensure_ascii=False).encode("utf-8", "surrogateescape")
        if len(packet) > MAX_PACKET_BYTES:
            raise LauncherError(
                "EMSGSIZE", "request", f"the request has {len(packet)} bytes; {MAX_PACKET_BYTES} fit"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[dict[str, Any], list[int]]] = loop.create_future()
        connection.waiting[identifier] = future
        try:
            await loop.sock_sendall(connection.sock, packet)
            async with asyncio.timeout(timeout):
                answer, fds = await future
        except TimeoutError:
            raise LauncherLostError(
                f"the launcher did not answer {body['type']!r} for {timeout:.0f} s"
            ) from None
        except OSError as error:
            raise LauncherLostError(f"the launcher went away during {body['type']!r}: {error}") from error
        finally:
            connection.waiting.pop(identifier, None)
        if answer.get("type") == "error":
            raise LauncherError(answer.get("code", ""), answer.get("stage", ""), answer.get("message", ""))
        return answer, fds

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:  # nobody is there any more, or no descriptor is free: whoever waits is asked again
            return
        sock.setblocking(False)
        if len(self._greetings) >= _MAX_GREETINGS:  # silent peers must not keep the launcher out
            next(iter(self._greetings)).cancel()
        task = asyncio.ensure_future(self._greet(sock))
        self._greetings[task] = None
        task.add_done_callback(lambda done: self._greetings.pop(done, None))

    async def _greet(self, sock: socket.socket) -> None:
        """Takes the peer as the launcher, or refuses it."""
        welcomed = False
        try:
            hello, refusal = await self._heard(sock)
            if refusal:
                if not self._probing:
                    self._on_intruder(refusal)
                await self._tell(sock, {"type": "refused", "reason": refusal})
            elif await self._tell(sock, {"type": "welcome"}):
                self._take_over(sock, hello)
                welcomed = True
        finally:
            if not welcomed:
                sock.close()

    async def _heard(self, sock: socket.socket) -> tuple[dict[str, Any], str]:
        """The peer's hello, and why it is refused; "" if it is not."""
        try:
            async with asyncio.timeout(_HELLO_TIMEOUT):
                packet = await asyncio.get_running_loop().sock_recv(sock, MAX_PACKET_BYTES)
            hello = json.loads(packet)
        except (TimeoutError, ValueError, OSError, RecursionError) as error:
            return {}, f"no hello: {type(error).__name__}"
        return hello, self._refusal(hello)

    async def _tell(self, sock: socket.socket, message: dict[str, Any]) -> bool:
        try:
            await asyncio.get_running_loop().sock_sendall(sock, json.dumps(message).encode())
        except OSError:
            return False  # it has gone again
        return True

    def _take_over(self, sock: socket.socket, hello: dict[str, Any]) -> None:
        self._drop("the launcher connected again")
        self._connection = connection = _Connection(sock)
        listed = [Process.model_validate(item) for item in hello.get("processes") or ()]
        self._processes = {process.name: process for process in listed}
        for process in listed:
            if process.exit:
                self._ended(process.name, process.exit)
        asyncio.get_running_loop().add_reader(sock, self._readable, connection)
        self._ready.set()
        self._on_connected(
            Hello(
                str(hello.get("version", "")),
                str(hello.get("kernel", "")),
                int(hello.get("landlock_abi") or 0),
            )
        )

    def _refusal(self, hello: Any) -> str:
        """Why this hello is not our launcher's; empty if it is. Pins the first nonce."""
        if not isinstance(hello, dict) or hello.get("type") != "hello":
            return "the first packet is no hello"
        if hello.get("protocol") != PROTOCOL:
            return f"protocol {ascii(hello.get('protocol'))[:_LONGEST_SHOWN]} instead of {PROTOCOL}"
        nonce = hello.get("nonce")
        if not isinstance(nonce, str) or len(nonce) != 64 or not nonce.isascii():
            return "no nonce"
        digest = hashlib.sha256(nonce.encode()).hexdigest()
        if self._pin_file.exists():
            return "" if self._pin_file.read_text() == digest else "the nonce is not the pinned one"
        replace_durably(self._pin_file, digest.encode())
        return ""

    def _readable(self, connection: _Connection) -> None:
        try:
            packet, fds, _, _ = socket.recv_fds(
                connection.sock, MAX_PACKET_BYTES, _MAX_FDS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            packet, fds = b"", []
        if not packet:
            if connection is self._connection:
                self._drop("the launcher hung up")
            return
        message = json.loads(packet)
        match message.get("type"):
            case "ok" | "error":
                future = connection.waiting.get(message.get("id"))
                if future and not future.done():
                    future.set_result((message, list(fds)))
                    return
            case "exited":
                self._ended(message["name"], Exit.model_validate(message["exit"]))
            case "signalled":
                self._on_signal(int(message["signal"]))
        for descriptor in fds:
            os.close(descriptor)

    def _ended(self, name: str, ended: Exit) -> None:
        process = self._processes.get(name)
        if process:
            self._processes[name] = process.model_copy(update={"exit": ended})
        future = self._exits.setdefault(name, asyncio.get_running_loop().create_future())
        if not future.done():
            future.set_result(ended)

    def _drop(self, why: str) -> None:
        connection, self._connection = self._connection, None
        self._ready.clear()
        if not connection:
            return
        asyncio.get_running_loop().remove_reader(connection.sock)
        connection.sock.close()
        for future in connection.waiting.values():
            if not future.done():
                future.set_exception(LauncherLostError(why))
