"""A process that draws frames: `python -m axiom_sandbox.terminal.drawing`, with frames on standard input (`drawing_wire`).

Drawing takes time and memory, so it is not done where an agent is watched over. This process gives way to everything else on
the machine, sees frames alone, masks secrets in them before it draws, ends with whoever started it, and may be killed at any
moment.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import resource
import signal
import sys
from typing import BinaryIO

from axiom_sandbox.terminal.drawing_wire import Drawn, framed, read_message
from axiom_sandbox.terminal.frames import Frame

_NICENESS = 10
_MEMORY_BYTES = 1024 * 1024 * 1024
_PR_SET_PDEATHSIG = 1


def _give_way() -> None:
    """Before anything that takes long."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _serve(source: BinaryIO, sink: BinaryIO) -> int:
    secrets = read_message(source)
    if secrets is None:
        return 0
    from axiom_sandbox.secrets.scanning import Scanner
    from axiom_sandbox.terminal.frame_masking import mask_frame
    from axiom_sandbox.terminal.pictures import FontsMissingError, Painter, find_fonts

    try:
        painter, scanner = Painter(find_fonts()), Scanner(json.loads(secrets))
    except (FontsMissingError, OSError) as error:
        _answer(sink, Drawn(error=str(error)), b"", b"")
        return 1
    while (body := read_message(source)) is not None:
        clean, masked = mask_frame(Frame.from_json(body), scanner)
        picture = painter.paint(clean)
        digest = hashlib.sha256(clean.text.encode(errors="replace")).hexdigest()
        drawn = Drawn(width=picture.width, height=picture.height, text_digest=digest, masked=masked)
        _answer(sink, drawn, picture.webp, picture.thumbnail)
    return 0


def _answer(sink: BinaryIO, drawn: Drawn, picture: bytes, thumbnail: bytes) -> None:
    sink.write(framed(drawn.model_dump_json().encode()) + framed(picture) + framed(thumbnail))
    sink.flush()


def main() -> int:
    """Exit code 0 at the end of the frames, 1 if there is nothing to draw with."""
    _give_way()
    return _serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    sys.exit(main())
