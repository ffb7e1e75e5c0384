"""Pictures of a real agent's terminal, and of what its tools write: real launcher, terminal, emulator and fonts."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image
from tests.axiom_sandbox.supervising.benches import open_bench, start

from axiom_sandbox.protocol.channel import FailureReason, Phase, Stop
from axiom_sandbox.protocol.pictures import PictureSettings

pytestmark = pytest.mark.sandbox

TOKEN = "ghp_" + "a1B2c3D4e5F6" * 3


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(b"\0abc\0def"))
    + chunk(b"IEND", b"")
)


async def test_a_rounds_pictures_are_events_and_blobs_and_hold_no_secret(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        script = (
            f"printf '\\033[41m red \\033[0m\\n{TOKEN}\\n'; mkdir -p /tmp/shots;"
            f" echo {base64.b64encode(PNG).decode()} | base64 -d > /tmp/shots/page.png"
        )
        await life.send(start(script, pictures=PictureSettings(terminal=True, folder="/tmp/shots")))
        await life.reached(Phase.ROUND_ENDED, 1)
        await life.send(Stop(reason="enough"))
        state = await life.until(lambda state: state.phase is Phase.STOPPED)

        terminal, file = sorted(bench.events("screenshot"), key=lambda event: bool(event["path"]))
        assert terminal["why"] == ["claim"]
        assert (terminal["columns"], terminal["rows"], terminal["cursor"]) == (120, 40, [0, 2])
        assert terminal["masked"] == len(TOKEN)
        assert terminal["output"] == sum(event["size"] for event in bench.events("terminal"))
        blobs = {blob.digest: blob.name for blob in state.blobs}
        assert blobs[terminal["digest"]] == f"screenshot-{terminal['digest'][:16]}"
        assert blobs[terminal["thumbnail"]].startswith("screenshot-thumbnail-")
        shown = Image.open(io.BytesIO(bench.blob(state, blobs[terminal["digest"]]))).convert("RGB")
        assert shown.size == (terminal["width"], terminal["height"]) == (960, 640)
        assert len({shown.getpixel((x, 1)) for x in range(40)}) == 1

        assert (file["why"], file["path"], file["media_type"]) == (["file"], "page.png", "image/png")
        assert bench.blob(state, blobs[file["digest"]]) == PNG
        bench.check_chain()

        await life.channel.confirm_blob(terminal["digest"])
        await life.channel.confirm_blob(terminal["digest"])
        left = {blob.digest for blob in (await life.channel.state()).blobs}
        assert terminal["digest"] not in left
        assert file["digest"] in left


async def test_a_turn_that_is_ended_leaves_a_picture_of_what_was_shown(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        limits = {"processes": 16}
        await life.send(
            start("echo before; sleep 600", pictures=PictureSettings(terminal=True), limits=limits)
        )
        await life.until(lambda state: state.first_output_ms is not None)
        await life.send(Stop(reason="enough"))
        await life.running
        shot = bench.events("screenshot")[-1]
        assert "claim" in shot["why"]
        assert bench.records()[-1].event == "closed"
        assert FailureReason.INTERNAL_ERROR not in {event.get("reason") for event in bench.events("failure")}


async def test_nobody_who_did_not_ask_for_pictures_gets_any(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        life = await bench.ready()
        await life.send(start("echo shown"))
        await life.reached(Phase.ROUND_ENDED, 1)
        assert bench.events("screenshot") == bench.events("gap") == []
