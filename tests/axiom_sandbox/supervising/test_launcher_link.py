"""The socket to the launcher: one nonce for the sandbox's life, everybody else refused and recorded."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.axiom_sandbox.supervising.benches import open_bench, start

from axiom_sandbox.protocol.channel import Phase
from axiom_sandbox.protocol.launching import Lockdown, Network, ProcessLimits, Start
from axiom_sandbox.supervising.launcher_link import Hello, LauncherError, LauncherLink, LauncherLostError

HELLO: dict[str, Any] = {
    "type": "hello",
    "protocol": 1,
    "version": "0",
    "nonce": "a" * 64,
    "kernel": "k",
    "landlock_abi": 7,
}


class Peer:
    """Somebody at the socket."""

    def __init__(self, path: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.setblocking(False)
        self._path = path

    async def say(self, message: object) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        self._sock.connect(str(self._path))
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        await loop.sock_sendall(self._sock, data)
        return await self.hear()

    async def hear(self) -> dict[str, Any]:
        packet = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._sock, 65536), 10)
        return json.loads(packet) if packet else {}

    async def tell(self, message: object) -> None:
        await asyncio.get_running_loop().sock_sendall(self._sock, json.dumps(message).encode())

    def close(self) -> None:
        self._sock.close()


class Heard:
    """A link whose callbacks are written down."""

    def __init__(self, folder: Path) -> None:
        self.hellos: list[Hello] = []
        self.intruders: list[str] = []
        self.signals: list[int] = []
        self.path = folder / "launcher.sock"
        self.link = LauncherLink(
            self.path, folder / "pin", self.hellos.append, self.intruders.append, self.signals.append
        )


@pytest.fixture
async def heard(tmp_path: Path) -> Any:
    heard = Heard(tmp_path)
    await heard.link.open()
    yield heard
    await heard.link.close()


async def test_the_first_nonce_is_pinned_and_another_is_refused(heard: Heard, tmp_path: Path) -> None:
    launcher, other = Peer(heard.path), Peer(heard.path)
    assert await launcher.say(HELLO) == {"type": "welcome"}
    answer = await other.say({**HELLO, "nonce": "b" * 64})
    assert answer == {"type": "refused", "reason": "the nonce is not the pinned one"}
    assert heard.intruders == ["the nonce is not the pinned one"]
    assert await other.hear() == {}
    assert "a" * 64 not in (tmp_path / "pin").read_text()
    await heard.link.connected(1)  # the launcher is not disturbed


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"\x00\xff", "no hello: JSONDecodeError"),
        (b"[" * 100_000, "no hello: RecursionError"),
        ([], "the first packet is no hello"),
        ({**HELLO, "protocol": 2}, "protocol 2 instead of 1"),
        ({**HELLO, "nonce": "short"}, "no nonce"),
        ({**HELLO, "nonce": None}, "no nonce"),
        ({**HELLO, "nonce": "\ud800" * 64}, "no nonce"),
        ({**HELLO, "protocol": "\x1b]0;" + "x" * 50_000}, f"protocol '\\x1b]0;{'x' * 32} instead of 1"),
    ],
)
async def test_whoever_says_no_proper_hello_is_refused(heard: Heard, first: object, reason: str) -> None:
    answer = await Peer(heard.path).say(first)
    assert answer == {"type": "refused", "reason": reason}
    assert heard.intruders == [reason]
    assert not heard.link.pinned


async def test_silent_peers_do_not_keep_the_launcher_out(heard: Heard) -> None:
    silent = [Peer(heard.path) for _ in range(60)]
    for peer in silent:
        try:
            peer._sock.connect(str(heard.path))
        except BlockingIOError:
            await asyncio.sleep(0)  # the backlog is full until the loop has run
    await asyncio.sleep(0)
    assert await Peer(heard.path).say(HELLO) == {"type": "welcome"}
    for peer in silent:
        peer.close()


async def test_a_request_under_way_fails_when_the_launcher_goes(heard: Heard) -> None:
    launcher = Peer(heard.path)
    await launcher.say(HELLO)
    asking = asyncio.create_task(heard.link.freeze())
    assert (await launcher.hear())["type"] == "freeze"
    launcher.close()
    with pytest.raises(LauncherLostError, match="hung up"):
        await asking
    with pytest.raises(LauncherLostError, match="has not connected"):
        await heard.link.connected(0.05)


async def test_exits_that_happened_meanwhile_come_with_the_hello(heard: Heard) -> None:
    launcher = Peer(heard.path)
    await launcher.say({**HELLO, "processes": [{"name": "agent-1", "pid": 7, "fds": ["tty"], "exit": None}]})
    waiting = asyncio.create_task(heard.link.exited("agent-1"))
    launcher.close()
    ended = {"code": 3, "signal": None, "user_ms": 1, "system_ms": 1, "max_rss_kib": 1}
    await Peer(heard.path).say({**HELLO, "processes": [{"name": "agent-1", "pid": 7, "exit": ended}]})
    assert (await asyncio.wait_for(waiting, 60)).code == 3
    assert len(heard.hellos) == 2


async def test_a_signal_to_pid_1_is_told(heard: Heard) -> None:
    launcher = Peer(heard.path)
    await launcher.say(HELLO)
    await launcher.tell({"type": "signalled", "signal": 15})
    await launcher.tell({"type": "something new"})
    asking = asyncio.create_task(heard.link.count_threads())
    request = await launcher.hear()
    await launcher.tell({"type": "ok", "id": 999, "count": 1, "threads": 1})  # answers nothing that was asked
    await launcher.tell({"type": "ok", "id": request["id"], "count": 4, "threads": 4})
    assert await asking == 4
    assert heard.signals == [15]


async def test_a_request_that_is_too_long_is_never_sent(heard: Heard) -> None:
    await Peer(heard.path).say(HELLO)
    with pytest.raises(LauncherError) as caught:
        await heard.link.close_fd("x" * 200_000, "tty")
    assert (caught.value.code, caught.value.stage) == ("EMSGSIZE", "request")


@pytest.mark.sandbox
async def test_an_agent_cannot_speak_to_the_supervisor_and_its_attempts_are_recorded_but_not_without_end(
    tmp_path: Path,
) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        # the socket as the agent sees it: it may connect, as anybody in the container
        for number in range(200):
            peer = Peer(bench.settings.launcher_socket)
            await peer.say({**HELLO, "nonce": f"{number:064}"})
            peer.close()
        assert 16 <= len(bench.events("intruder")) < 30
        await life.send(
            start("echo done > out; kill -TERM 1 || echo refused; while [ -e out ]; do sleep 0.02; done")
        )
        await life.until(lambda state: state.first_output_ms is not None)
        os.kill(bench.first_process(), signal.SIGTERM)
        (bench.workspace / "out").unlink()
        state = await life.reached(Phase.ROUND_ENDED, 1)
        assert "refused" in state.rounds[0].claim.text
        assert [item["detail"] for item in bench.events("intervention")] == ["PID 1 got signal 15 (number 1)"]


@pytest.mark.sandbox
async def test_a_real_launcher_starts_signals_freezes_and_hands_over(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        link = life.sandbox.link
        request = Start(
            name="sleeper",
            argv=("sleep", "60"),
            env=("PATH=/usr/bin:/bin",),
            cwd="/",
            stdout="pipe",
            lockdown=Lockdown(
                network=Network.NONE,
                write_paths=("/tmp",),
                limits=ProcessLimits(file_size=1, processes=10, open_files=10),
            ),
        )
        handover = await link.start(request)
        assert set(handover.fds) == {"stdout"}
        again = await link.take_fds("sleeper")
        assert again.pid == handover.pid
        handover.close()
        again.close()
        assert handover.fds == {}
        assert await link.freeze() == 1
        await link.thaw()
        with pytest.raises(LauncherError) as caught:
            await link.start(request)
        assert caught.value.code == "EEXIST"
        await link.signal("sleeper", 15)
        assert (await asyncio.wait_for(link.exited("sleeper"), 10)).signal == 15
        await link.signal("sleeper", 15)  # gone already: no error
        await link.release("sleeper")
        assert link.names == ()
        with pytest.raises(LauncherError):
            await link.signal("sleeper", 999)
