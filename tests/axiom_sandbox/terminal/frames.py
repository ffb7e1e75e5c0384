"""Frames of what a real emulator shows."""

from __future__ import annotations

from axiom_sandbox.terminal.frames import Frame
from axiom_sandbox.terminal.screens import make_screen


def frame_of(output: str, columns: int = 40, rows: int = 6) -> Frame:
    """What a terminal shows after a program wrote this; a line's end is \\n."""
    screen = make_screen(columns, rows)
    try:
        screen.feed(output.replace("\n", "\r\n").encode(errors="replace"))
        return screen.frame()
    finally:
        screen.close()
