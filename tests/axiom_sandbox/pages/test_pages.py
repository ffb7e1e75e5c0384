"""Pages in a real Chromium: as a pod's browser serves it, and in the room that a person's machine makes for each picture."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image
from tests.axiom_sandbox.pages.servers import HANG, browser_program, site

from axiom.backends.browser_room import browser_settings
from axiom_sandbox.pages.chromium import take
from axiom_sandbox.pages.serving import listen
from axiom_sandbox.pages.wire import Taken
from axiom_sandbox.protocol.pages import Form, Shot, Shown
from axiom_sandbox.supervising.browser import Browser, checked
from axiom_sandbox.supervising.launcher_link import LauncherError
from axiom_sandbox.supervising.settings import BrowserSettings
from axiom_sandbox.supervising.tunnel import Tunnel, addresses_of

pytestmark = pytest.mark.sandbox

RESTLESS = """<!doctype html><title>restless</title>
<style>
  @keyframes turn { from { transform: none } to { transform: rotate(360deg) } }
  div { width: 99px; height: 44px; background: #c30; animation: turn 1s linear infinite }
  p { opacity: 0; transition: opacity 2s } p.there { opacity: 1 }
</style>
<div></div><p id=late>here at last</p><output id=clock></output><input autofocus value=typed>
<script>
  setTimeout(() => late.className = 'there', 1000);
  setInterval(() => clock.textContent = new Date().toISOString().slice(0, 16), 50);
  setTimeout(() => new Image().src = '/told?' + new Date().getFullYear() + Intl.DateTimeFormat().resolvedOptions().timeZone, 100);
</script>"""
HOSTILE = """<!doctype html><title>hostile</title>
<script>
  alert('one'); confirm('two');
  window.open('/window');
  for (const host of ['10.0.0.1', '169.254.169.254', 'example.org', '[fd00::1]', '0.0.0.0'])
    { new Image().src = `http://${host}:80/`; fetch(`http://${host}:8443/`).catch(() => 0); }
  location.hash = 'there';
</script>
<a id=a href="data:application/octet-stream,x" download=x>save</a><script>a.click()</script>
<body style="background: #0a0">"""


def shot(port: int, path: str = "/", form: Form = Form.PIXELS, seconds: float = 30, **more: int) -> Shot:
    return Shot(port=port, path=path, form=form, seconds=seconds, **{"width": 320, "height": 200, **more})


@dataclass
class Loopback:
    """Stands for the launcher: what it would connect to inside, is here."""

    dialled: list[str] = field(default_factory=list)

    async def dial(self, address: str) -> int:
        self.dialled.append(address)
        host, _, port = address.rpartition(":")
        if host != "127.0.0.1":
            raise LauncherError("ECONNREFUSED", "", "nobody listens")
        connection = socket.socket()
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            connection.connect((host, int(port)))
        return connection.detach()


def in_rooms() -> tuple[Browser, Loopback]:
    browser_program()
    loopback = Loopback()
    return Browser(browser_settings(), loopback), loopback  # type: ignore[arg-type]


async def test_a_page_that_never_rests_gives_the_same_picture_each_time() -> None:
    browser, loopback = in_rooms()
    with site({"/": RESTLESS, "/told": ""}) as served:
        first, second = [await browser.take(shot(served.port)) for _ in range(2)]
        assert first.shown.error == ""
        assert (first.shown.status, first.shown.settled) == (200, True)
        assert first.picture == second.picture
        colours = Image.frombytes("RGB", (320, 200), first.picture).getcolors(100_000)
        assert colours is not None
        assert len(colours) > 10  # words are there
        assert [path for path in served.asked if path.startswith("/told")] == ["/told?2026UTC"] * 2
        assert set(loopback.dialled) == {f"127.0.0.1:{served.port}"}


async def test_a_page_that_waits_without_end_is_shown_as_it_is() -> None:
    browser, _ = in_rooms()
    page = "<body style='background:#00f'><script>onload = () => fetch('/never')</script>"
    with site({"/": page, "/never": HANG}) as served:
        taken = await browser.take(shot(served.port, seconds=60))
    assert (taken.shown.error, taken.shown.settled) == ("", False)
    assert taken.picture[:3] == b"\x00\x00\xff"


async def test_a_hostile_page_is_photographed_and_reaches_nothing_but_the_loopback() -> None:
    browser, loopback = in_rooms()
    with site({"/": HOSTILE}) as served:
        taken = await browser.take(shot(served.port))
    assert taken.shown.error == ""
    assert taken.picture[-3:] == b"\x00\xaa\x00"
    assert {address.rpartition(":")[0] for address in loopback.dialled} == {"127.0.0.1"}


async def test_a_page_that_stops_the_browser_gives_no_picture_and_leaves_no_process() -> None:
    browser, _ = in_rooms()
    with site({"/": "<script>while (true);</script>"}) as served:
        taken = await browser.take(shot(served.port, seconds=2))
    assert (taken.shown.error, taken.picture) == ("the browser took too long", b"")
    assert not children_that_live()


async def test_a_server_that_is_not_there_is_the_servers_fault() -> None:
    browser, _ = in_rooms()
    with socket.create_server(("127.0.0.1", 0)) as taken_port:
        port = taken_port.getsockname()[1]
    taken = await browser.take(shot(port))
    assert taken.shown.refused
    assert taken.shown.error.startswith("the page cannot be opened (net::ERR_")


async def test_a_pods_browser_takes_one_picture_after_the_other(tmp_path: Path) -> None:
    browser_program()
    where, rounds = tmp_path / "browser.sock", iter([True, True])
    serving = threading.Thread(target=listen, args=(where, lambda: next(rounds, False)))
    serving.start()
    browser = Browser(BrowserSettings(socket=where), Loopback())  # type: ignore[arg-type]
    with site({"/": "<body style='background:#0f0'>", "/other": "<body>"}) as served:
        first, other = [await browser.take(shot(served.port, path, Form.WEBP)) for path in ("/", "/other")]
    await asyncio.to_thread(serving.join)
    assert [taken.shown.error for taken in (first, other)] == ["", ""]
    assert first.picture != other.picture
    assert Image.open(io.BytesIO(first.picture)).convert("RGB").getpixel((319, 199)) == (0, 255, 0)
    assert Image.open(io.BytesIO(first.thumbnail)).size == (320, 200)


def test_the_profile_is_removed(tmp_path: Path) -> None:
    with site({"/": "<p>hello"}) as served:
        taken = take(shot(served.port), browser_program(), tmp_path)
    assert taken.shown.error == ""
    assert not list(tmp_path.iterdir())


def test_a_browser_that_is_none_is_told(tmp_path: Path) -> None:
    assert take(shot(1), "/nowhere/chromium", tmp_path).shown.error == "the browser ended by itself"
    assert take(shot(1), "/bin/true", tmp_path).shown.error == "the browser ended by itself"
    assert take(shot(1, seconds=0.3), "/bin/cat", tmp_path).shown.error.startswith("the browser")


async def test_without_a_browser_the_cure_is_told() -> None:
    browser = Browser(BrowserSettings(missing="install one"), Loopback())  # type: ignore[arg-type]
    assert (await browser.take(shot(1))).shown == Shown(error="install one")


async def test_a_room_that_does_not_open_is_told() -> None:
    command = (shutil.which("sh") or "", "-c", "echo no room >&2; exit 1")
    browser = Browser(BrowserSettings(command=command), Loopback())  # type: ignore[arg-type]
    assert (await browser.take(shot(1))).shown.error == "the browser failed: no room"


def webp(width: int, height: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (width, height)).save(sink, "WEBP", lossless=True)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("form", "picture", "thumbnail", "is_right"),
    [
        (Form.PIXELS, bytes(12), b"", True),
        (Form.PIXELS, bytes(11), b"", False),
        (Form.PIXELS, b"", b"", False),
        (Form.WEBP, webp(2, 2), webp(1, 1), True),
        (Form.WEBP, webp(3, 2), webp(1, 1), False),
        (Form.WEBP, webp(2, 2), b"", False),
        (Form.WEBP, b"<svg/>", webp(1, 1), False),
    ],
)
def test_what_the_browser_hands_out_is_looked_at(
    form: Form, picture: bytes, thumbnail: bytes, is_right: bool
) -> None:
    found = checked(shot(1, form=form, width=2, height=2), Taken(Shown(), picture, thumbnail))
    assert (found.picture == picture and not found.shown.error) is is_right


@pytest.mark.parametrize(
    ("host", "port", "addresses"),
    [
        ("127.0.0.1", 80, ("127.0.0.1:80",)),
        ("127.9.9.9", 80, ("127.9.9.9:80",)),
        ("::1", 80, ("[::1]:80",)),
        ("localhost", 80, ("127.0.0.1:80", "[::1]:80")),
        ("app.localhost", 80, ("127.0.0.1:80", "[::1]:80")),
        ("127.0.0.1", 0, ()),
        ("10.0.0.1", 80, ()),
        ("0.0.0.0", 80, ()),
        ("::", 80, ()),
        ("::ffff:10.0.0.1", 80, ()),
        ("localhost.example", 80, ()),
        ("notlocalhost", 80, ()),
        ("", 80, ()),
    ],
)
def test_the_tunnel_leads_to_the_loopback_alone(host: str, port: int, addresses: tuple[str, ...]) -> None:
    assert addresses_of(host, port) == addresses


@contextlib.asynccontextmanager
async def tunnelled() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    door = socket.create_server(("127.0.0.1", 0))
    tunnel = Tunnel(Loopback().dial)
    await tunnel.begin(door)
    reader, writer = await asyncio.open_connection(*door.getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        await tunnel.close()


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"\x05\x01\x00" + b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50", b"\x05\x00" + b"\x05\x02"),
        (b"\x05\x01\x00" + b"\x05\x01\x00\x03\x07example\x00\x50", b"\x05\x00" + b"\x05\x02"),
        (b"\x05\x01\x00" + b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", b"\x05\x00" + b"\x05\x07"),
        (b"\x05\x01\x00" + b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x00\x50", b"\x05\x00" + b"\x05\x05"),
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        (b"", b""),
    ],
)
async def test_the_tunnel_refuses_what_is_not_for_it(said: bytes, answer: bytes) -> None:
    async with tunnelled() as (reader, writer):
        writer.write(said)
        writer.write_eof()
        assert (await asyncio.wait_for(reader.read(), 30))[: len(answer)] == answer


def children_that_live() -> list[str]:
    """Command lines of browsers that descend from this process and have not ended within a moment."""
    until = time.monotonic() + 30
    while found := [line for line in _command_lines() if "--remote-debugging-pipe" in line]:
        if time.monotonic() > until:
            return found
        time.sleep(0.05)
    return []


def _command_lines() -> list[str]:
    found, parents, lines = [], {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(stat[1])
            lines[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    for pid in parents:
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid():
            found.append(lines.get(pid, ""))
    return found
