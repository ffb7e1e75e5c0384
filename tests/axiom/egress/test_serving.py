"""Where the proxy listens."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.fakes.vendor import CANARY, KEY, Vendor, credential, run_way

from axiom.egress.directory import StaticDirectory
from axiom.egress.errors import SettingsError
from axiom.egress.metrics import Metrics
from axiom.egress.proxy import create_app, create_runner
from axiom.egress.serving import listen_tcp, serve_unix
from axiom.egress.settings import Address, ProxySettings


async def test_only_this_user_can_connect_and_the_socket_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "egress.sock"
    async with serve_unix(path, {}, {}, KEY):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


async def test_a_socket_that_was_left_behind_is_replaced(vendor: Vendor, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "egress.sock"))
    async with (
        run_way(tmp_path, [credential(vendor.url)]) as way,
        way.request("GET", "/openai/v1/x") as response,
    ):
        assert response.status == 200


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "egress.sock"
    path.write_text("important")
    async with AsyncExitStack() as stack:
        with pytest.raises(SettingsError, match="there can be no socket"):
            await stack.enter_async_context(serve_unix(path, {}, {}, KEY))
    assert path.read_text() == "important"


async def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(SettingsError, match="too long"):
            await stack.enter_async_context(serve_unix(tmp_path / ("x" * 108), {}, {}, KEY))


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        runner = create_runner(
            create_app(ProxySettings(), lambda: [KEY], StaticDirectory({}, {"x": CANARY}), Metrics())
        )
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}"):
            await listen_tcp(runner, Address("127.0.0.1", port))
        await runner.cleanup()


async def _hung_up(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(60):
            return await reader.read(1) == b""
    except ConnectionResetError:
        return True


async def test_one_peer_cannot_hold_more_connections_than_its_share() -> None:
    runner = create_runner(create_app(ProxySettings(), lambda: (), StaticDirectory({}, {}), Metrics()))
    try:
        address = await listen_tcp(runner, Address("127.0.0.1", 0), most_for_one_peer=2)
        held = [await asyncio.open_connection(*address) for _ in range(2)]
        for _, writer in held:
            writer.write(b"GET / HTTP/1.1\r\n")
            await writer.drain()
        reader, writer = await asyncio.open_connection(*address)
        assert await _hung_up(reader)
        writer.close()
        elsewhere, other = await asyncio.open_connection(*address, local_addr=("127.0.0.2", 0))
        other.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await elsewhere.readline()).startswith(b"HTTP/1.1 401 ")
        for _, one in (*held, (elsewhere, other)):
            one.close()
    finally:
        await runner.cleanup()


async def test_a_connection_on_which_no_whole_request_comes_is_closed() -> None:
    app = create_app(ProxySettings(), lambda: (), StaticDirectory({}, {}), Metrics())
    runner = create_runner(app, silent_seconds=0.1)
    try:
        reader, writer = await asyncio.open_connection(*await listen_tcp(runner, Address("127.0.0.1", 0)))
        writer.write(b"GET /openai/v1/models HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert await _hung_up(reader)
        writer.close()
    finally:
        await runner.cleanup()
