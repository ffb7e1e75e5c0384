from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from axiom_sandbox.protocol.events import Event, Gap, Screenshot
from axiom_sandbox.protocol.pictures import PictureReason
from axiom_sandbox.supervising.camera import Allowance, Camera
from axiom_sandbox.supervising.picture_folder import PictureFolder
from axiom_sandbox.supervising.studio import Pictured, Studio, StudioError
from axiom_sandbox.terminal.drawing_wire import Drawn
from axiom_sandbox.terminal.frames import Cursor, Frame, Row, Run, Style

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 30, 20) + b"\x08\x02\0\0\0"


def frame(text: str) -> Frame:
    return Frame(20, (Row((Run(0, tuple(text), Style(1, 0)),)),), Cursor(3, 0), 1, 0)


class Sketches(Studio):
    """Draws text as itself."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault, self.drawn = fault, 0

    async def draw(self, frame: Frame) -> Pictured:
        if self.fault:
            raise StudioError(self.fault)
        self.drawn += 1
        text = frame.text.encode()
        drawn = Drawn(width=160, height=16, text_digest=hashlib.sha256(text).hexdigest())
        return Pictured(drawn, b"picture of " + text, b"thumbnail of " + text)


class Bench:
    """A camera, and what becomes of its pictures."""

    def __init__(self, folder: Path, studio: Studio | None = None, **allowed: int) -> None:
        self.now, self.shown, self.offset = 0.0, "", 0
        self.events: list[Event] = []
        self.blobs: dict[str, str] = {}
        self.full = False
        self.pictures = folder / "pictures"
        self.camera = Camera(
            studio=studio or Sketches(),
            folder=PictureFolder(folder, ("pictures",)),
            scratch=folder / "scratch",
            record=self._record,
            keep=self._keep,
            clock=lambda: self.now,
            round=1,
            allowed=Allowance(**allowed),
        )
        self.camera.watch(lambda: frame(self.shown), lambda: self.offset)

    async def _record(self, *events: Event) -> int:
        self.events += events
        return len(self.events)

    async def _keep(self, pieces: Mapping[str, bytes | Path]) -> tuple[str, ...]:
        if self.full:
            raise OSError(28, "No space left on device")
        digests = []
        for name, piece in pieces.items():
            data = piece if isinstance(piece, bytes) else piece.read_bytes()
            digests.append(hashlib.sha256(data).hexdigest())
            self.blobs[digests[-1]] = name
        return tuple(digests)

    def show(self, text: str) -> None:
        self.shown, self.offset = text, self.offset + len(text) + 1

    async def take(self, why: PictureReason = PictureReason.STATE) -> list[Event]:
        """What is recorded when something happens ten seconds later."""
        before = len(self.events)
        self.now += 10
        self.camera.press(why)
        await self.camera.settle(30)
        return self.events[before:]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "pictures").mkdir()
    return Bench(tmp_path)


async def test_a_picture_is_an_event_and_two_blobs(bench: Bench) -> None:
    bench.show("hello")
    [event] = await bench.take(PictureReason.CLAIM)
    assert isinstance(event, Screenshot)
    assert event.why == (PictureReason.CLAIM,)
    assert bench.blobs == {event.digest: "screenshot", event.thumbnail: "screenshot-thumbnail"}
    assert (event.width, event.height, event.columns, event.rows, event.cursor) == (160, 16, 20, 1, (3, 0))
    assert event.text_digest == hashlib.sha256(b"hello").hexdigest()
    assert (event.output, event.repeated, event.size) == (6, False, len(b"picture of hello"))


async def test_equal_screens_have_events_of_their_own_and_share_a_picture(bench: Bench) -> None:
    bench.show("same")
    [first] = await bench.take()
    bench.show("same")
    [second] = await bench.take()
    bench.show("other")
    [third] = await bench.take()
    bench.show("same")
    [fourth] = await bench.take()
    found = [event for event in (first, second, third, fourth) if isinstance(event, Screenshot)]
    assert [event.repeated for event in found] == [False, True, False, False]
    assert found[0].digest == found[1].digest == found[3].digest != found[2].digest
    assert isinstance(bench.camera.studio, Sketches)
    assert bench.camera.studio.drawn == 3
    assert len(bench.blobs) == 4


async def test_nothing_is_photographed_before_anything_was_shown(bench: Bench) -> None:
    assert await bench.take() == []
    bench.show("now")
    assert len(await bench.take()) == 1


async def test_what_a_terminal_showed_last_can_be_photographed_once_it_is_gone(bench: Bench) -> None:
    bench.show("last words")
    bench.camera.look_away()
    bench.show("of another process")
    [event] = await bench.take(PictureReason.CLAIM)
    assert isinstance(event, Screenshot)
    assert event.text_digest == hashlib.sha256(b"last words").hexdigest()


async def test_a_class_without_pictures_has_none(bench: Bench) -> None:
    bench.camera.studio = bench.camera.folder = None
    bench.show("unseen")
    assert await bench.take() == []
    assert not bench.camera.sees_terminals


async def test_a_picture_that_fails_is_a_gap_and_three_of_them_the_end(bench: Bench) -> None:
    bench.camera.studio = Sketches("no ink")
    reasons = []
    for number in range(4):
        bench.show(f"{number}")
        reasons += [event.reason for event in await bench.take() if isinstance(event, Gap)]
    assert reasons == ["no ink", "no ink", "no ink; no more pictures are taken of this terminal"]


async def test_a_full_disk_is_a_gap(bench: Bench) -> None:
    bench.full = True
    bench.show("text")
    [event] = await bench.take()
    assert isinstance(event, Gap)
    assert event.what == "screenshot"
    assert "No space left on device" in event.reason


async def test_there_is_an_end_to_the_pictures_of_one_sandbox(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pictures=2)
    found: list[Event] = []
    for number in range(5):
        bench.show(f"{number}")
        found += await bench.take()
    assert [event.event for event in found] == ["screenshot", "screenshot", "gap"]


# --- what tools write -------------------------------------------------------------------------------------------------


async def test_a_picture_that_a_tool_wrote_is_a_screenshot(bench: Bench) -> None:
    (bench.pictures / "page.png").write_bytes(PNG)
    [event] = await bench.take()
    assert isinstance(event, Screenshot)
    assert (event.why, event.path, event.media_type) == ((PictureReason.FILE,), "page.png", "image/png")
    assert (event.width, event.height, event.size, event.columns) == (30, 20, len(PNG), None)
    assert bench.blobs == {hashlib.sha256(PNG).hexdigest(): "screenshot-file"}
    assert await bench.take() == []


async def test_a_picture_that_is_written_again_is_another(bench: Bench) -> None:
    repeated = []
    for content in (PNG, PNG + b"more", PNG + b"more"):
        (bench.pictures / "new").write_bytes(content)
        (bench.pictures / "new").replace(bench.pictures / "page.png")
        repeated += [event.repeated for event in await bench.take() if isinstance(event, Screenshot)]
    assert repeated == [False, False, True]


async def test_too_many_pictures_are_a_gap(tmp_path: Path) -> None:
    bench = Bench(tmp_path, files=2)
    bench.pictures.mkdir()
    for number in range(4):
        (bench.pictures / f"{number}.png").write_bytes(PNG)
    assert [event.event for event in await bench.take()] == ["screenshot", "screenshot", "gap"]
