"""Pages that an agent serves are photographed while it works: when, what is told, and once with a real server and browser."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.axiom_sandbox.pages.servers import browser_program
from tests.axiom_sandbox.supervising.benches import open_bench, start

from axiom_sandbox.pages.wire import Taken
from axiom_sandbox.protocol.channel import Phase
from axiom_sandbox.protocol.events import Event, Gap, Screenshot
from axiom_sandbox.protocol.pages import Form, Shot, Shown
from axiom_sandbox.protocol.pictures import UNMASKED, PagePictures, PictureReason, PictureSettings
from axiom_sandbox.supervising.camera import Allowance
from axiom_sandbox.supervising.launcher_link import LauncherError
from axiom_sandbox.supervising.page_camera import PageCamera

PAGE = PagePictures(port=3000, path="/a?b=c", seconds=60, width=320, height=200)


@dataclass
class Stage:
    """A browser, an agent's server and a clock that a test moves."""

    shows: list[Taken] = field(default_factory=lambda: [picture(b"one")])
    missing: str = ""
    listens: bool = True
    runs: bool = True
    now: float = 1000.0
    shots: list[Shot] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    kept: list[tuple[str, bytes | Path]] = field(default_factory=list)
    dialled: int = 0

    async def take(self, shot: Shot) -> Taken:
        self.shots.append(shot)
        return self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]

    async def dial(self, address: str) -> int:
        self.dialled += 1
        assert address == "127.0.0.1:3000"
        if not self.listens:
            raise LauncherError("ECONNREFUSED", "", "nobody listens")
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours.detach()

    async def record(self, *events: Event) -> int:
        self.events += events
        return len(self.events)

    async def keep(self, pieces: Mapping[str, bytes | Path]) -> tuple[str, ...]:
        self.kept += pieces.items()
        return tuple(str(piece) for piece in pieces.values())

    @contextlib.asynccontextmanager
    async def filming(self, **more: Any) -> AsyncIterator[None]:
        camera = PageCamera(
            pages=(PAGE,),
            browser=self,  # type: ignore[arg-type]
            dial=self.dial,
            record=self.record,
            keep=self.keep,
            clock=lambda: self.now,
            may_look=lambda: self.runs,
            round=lambda: 2,
            look_seconds=0.001,
            **more,
        )
        running = asyncio.ensure_future(camera.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.001)

    async def some_looks(self) -> None:
        """Long enough for several; what must not happen has had its chances."""
        for _ in range(20):
            await asyncio.sleep(0.001)


def picture(data: bytes = b"", **shown: Any) -> Taken:
    return Taken(Shown(width=320, height=200, settled=True, **shown), data, b"small" if data else b"")


async def test_a_page_is_photographed_once_it_is_there_and_then_again_in_its_time() -> None:
    stage = Stage(shows=[picture(b"one"), picture(b"one"), picture(b"two")])
    async with stage.filming():
        await stage.until(lambda: len(stage.events) == 1)
        stage.now += 59
        await stage.some_looks()
        assert len(stage.shots) == 1
        for number in (2, 3):
            stage.now += 60
            await stage.until(lambda number=number: len(stage.events) == number)
    first, second, third = stage.events
    assert first == Screenshot(
        round=2,
        why=(PictureReason.PAGE,),
        digest="b'one'",
        size=3,
        media_type="image/webp",
        width=320,
        height=200,
        thumbnail="b'small'",
        path="http://127.0.0.1:3000/a?b=c",
        settled=True,
    )
    assert isinstance(second, Screenshot)
    assert isinstance(third, Screenshot)
    assert [(one.digest, one.repeated) for one in (second, third)] == [("b'one'", True), ("b'two'", False)]
    assert {name for name, _ in stage.kept} == {UNMASKED, f"{UNMASKED}-thumbnail"}
    assert stage.shots[0] == Shot(port=3000, path="/a?b=c", width=320, height=200, seconds=30, form=Form.WEBP)


async def test_a_server_that_is_not_there_costs_no_browser_and_no_words() -> None:
    stage = Stage(listens=False)
    async with stage.filming():
        await stage.until(lambda: stage.dialled > 5)
        assert (stage.shots, stage.events) == ([], [])
        stage.listens = True
        await stage.until(lambda: stage.events)


async def test_a_server_that_does_not_show_its_page_yet_is_asked_again() -> None:
    stage = Stage(shows=[picture(error="refused", refused=True), picture(b"one")])
    async with stage.filming():
        await stage.until(lambda: stage.events)
    assert [type(event) for event in stage.events] == [Screenshot]


async def test_what_goes_wrong_is_told_and_tried_again_in_its_time() -> None:
    stage = Stage(shows=[picture(error="the browser took too long"), picture(b"one")])
    async with stage.filming():
        await stage.until(lambda: stage.events)
        await stage.some_looks()
        assert len(stage.shots) == 1
        stage.now += 60
        await stage.until(lambda: len(stage.events) == 2)
    gap = stage.events[0]
    assert isinstance(gap, Gap)
    assert gap.reason == (
        "the page http://127.0.0.1:3000/a?b=c was not photographed: the browser took too long"
    )


async def test_without_a_browser_the_ledger_says_so_once() -> None:
    stage = Stage(missing="install one")
    async with stage.filming():
        await stage.until(lambda: stage.events)
        await stage.some_looks()
    [gap] = stage.events
    assert isinstance(gap, Gap)
    assert (gap.reason, stage.dialled) == ("pages are not photographed: install one", 0)


async def test_an_agent_that_is_frozen_is_not_looked_at() -> None:
    stage = Stage(runs=False)
    async with stage.filming():
        await stage.some_looks()
        assert stage.dialled == 0


async def test_pictures_have_an_end() -> None:
    stage = Stage()
    async with stage.filming(allowed=Allowance(pictures=1)):
        await stage.until(lambda: len(stage.events) == 2)
    assert isinstance(stage.events[1], Gap)


@pytest.mark.sandbox
async def test_what_a_real_agent_serves_is_photographed(tmp_path: Path) -> None:
    browser_program()
    script = (
        "echo '<!doctype html><body style=\"background: #0af\">' > index.html;"
        " python3 -m http.server 18555 --bind 127.0.0.1 & while [ ! -e stop ]; do sleep 0.1; done; kill $!"
    )
    page = PagePictures(port=18555, path="/", seconds=600, width=320, height=200)
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start(script, pictures=PictureSettings(pages=(page,))))
        async with asyncio.timeout(90):
            while not bench.events("screenshot"):
                await asyncio.sleep(0.1)
        (bench.workspace / "stop").touch()
        state = await life.reached(Phase.ROUND_ENDED, 1)
        [shot] = bench.events("screenshot")
        assert (shot["why"], shot["path"], shot["round"]) == (["page"], "http://127.0.0.1:18555/", 1)
        name = f"{UNMASKED}-{shot['digest'][:16]}"
        shown = Image.open(io.BytesIO(bench.blob(state, name))).convert("RGB")
        assert (shown.size, shown.getpixel((300, 150))) == ((320, 200), (0, 0xAA, 0xFF))
