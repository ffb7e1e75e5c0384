from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from axiom_sandbox.supervising.studio import Studio, StudioError
from axiom_sandbox.terminal.frames import Cursor, Frame, Row, Run, Style

VALUE = "correct-horse-battery"
PLAIN = Style(0xFFFFFF, 0)


def frame(text: str) -> Frame:
    return Frame(40, (Row((Run(0, tuple(text), PLAIN),)),), Cursor(0, 0), 0xFFFFFF, 0)


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    studio = Studio([VALUE])
    yield studio
    await studio.close()


async def test_frames_come_back_as_pictures_with_secrets_masked(studio: Studio) -> None:
    shown, clean, other = [await studio.draw(frame(text)) for text in (VALUE, "*" * len(VALUE), "other")]
    assert Image.open(io.BytesIO(shown.webp)).size == (shown.drawn.width, shown.drawn.height) == (320, 16)
    assert shown.webp == clean.webp != other.webp
    assert shown.drawn.text_digest == clean.drawn.text_digest != other.drawn.text_digest
    assert (shown.drawn.masked, clean.drawn.masked) == (len(VALUE), 0)


async def test_a_process_that_was_killed_is_followed_by_another(studio: Studio) -> None:
    first = await studio.draw(frame("one"))
    assert studio._process is not None
    os.kill(studio._process.pid, signal.SIGKILL)
    with pytest.raises(StudioError, match="the process that draws ended"):
        await studio.draw(frame("one"))
    assert await studio.draw(frame("one")) == first


async def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next(studio: Studio) -> None:
    await studio.draw(frame("one"))
    asking = asyncio.ensure_future(studio.draw(frame("two")))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await studio.draw(frame("three"))).drawn.text_digest != (
        await studio.draw(frame("two"))
    ).drawn.text_digest


async def test_its_process_lives_only_while_there_is_something_to_draw() -> None:
    studio = Studio(idle_seconds=0)
    await studio.draw(frame("one"))
    async with asyncio.timeout(60):
        while studio.is_open:
            await asyncio.sleep(0.01)
    await studio.close()


async def test_a_process_that_draws_for_too_long_is_ended() -> None:
    studio = Studio(command=(sys.executable, "-c", "import time; time.sleep(600)"), drawing_seconds=0.1)
    with pytest.raises(StudioError, match="longer than"):
        await studio.draw(frame("one"))
    assert not studio.is_open


async def test_a_process_that_says_nonsense_is_ended() -> None:
    studio = Studio(
        command=(sys.executable, "-c", "import os, sys; os.write(1, b'\\xff' * 64); sys.stdin.buffer.read()")
    )
    with pytest.raises(StudioError, match="a message of 4294967295 bytes"):
        await studio.draw(frame("one"))
    assert not studio.is_open
