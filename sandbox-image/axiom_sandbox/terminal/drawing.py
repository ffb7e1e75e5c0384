"""A process that draws frames: `python -m axiom_sandbox.terminal.drawing`, with frames on standard input.

Drawing takes time and memory, so it is not done where an agent is watched over. This process gives way to everything else on
the machine, sees frames alone, masks secrets in them before it draws, and may be killed at any moment.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
from dataclasses import dataclass
from typing import BinaryIO

from axiom_sandbox.secrets.scanning import Scanner
from axiom_sandbox.terminal.drawing_wire import Drawn, framed, read_message
from axiom_sandbox.terminal.frame_masking import mask_frame
from axiom_sandbox.terminal.frames import Frame
from axiom_sandbox.terminal.pictures import FontsMissingError, Painter, Picture, find_fonts

_NICENESS = 10
_MEMORY_BYTES = 1024 * 1024 * 1024


@dataclass(frozen=True)
class Drawer:
    """Frames → pictures without secrets."""

    painter: Painter
    scanner: Scanner

    def draw(self, frame: Frame) -> tuple[Drawn, Picture]:
        """The picture of a frame."""
        clean, masked = mask_frame(frame, self.scanner)
        picture = self.painter.paint(clean)
        digest = hashlib.sha256(clean.text.encode(errors="replace")).hexdigest()
        drawn = Drawn(width=picture.width, height=picture.height, text_digest=digest, masked=masked)
        return drawn, picture


def _serve(source: BinaryIO, sink: BinaryIO) -> int:
    secrets = read_message(source)
    if secrets is None:
        return 0
    try:
        drawer = Drawer(Painter(find_fonts()), Scanner(json.loads(secrets)))
    except (FontsMissingError, OSError) as error:
        sink.write(framed(Drawn(error=str(error)).model_dump_json().encode()) + framed(b"") + framed(b""))
        return 1
    while (body := read_message(source)) is not None:
        drawn, picture = drawer.draw(Frame.from_json(body))
        sink.write(
            framed(drawn.model_dump_json().encode()) + framed(picture.webp) + framed(picture.thumbnail)
        )
        sink.flush()
    return 0


def main() -> int:
    """Exit code 0 at the end of the frames, 1 if there is nothing to draw with."""
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return _serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    sys.exit(main())
