"""What a terminal's output ended in the middle of: an escape sequence or a character of which more is to come. Pure."""

from __future__ import annotations

_ESC, _CAN, _SUB, _BEL = 0x1B, 0x18, 0x1A, 0x07
_STRINGS = frozenset(b"P]X^_")
"""What begins a string behind ESC: DCS, OSC, SOS, PM, APC."""


def unfinished(data: bytes) -> bytes:
    """The end of `data` that waits for more; empty where it ends between two things."""
    at = data.rfind(b"\x1b")
    while at > 0 and _is_open_string(data, at):
        at = data.rfind(b"\x1b", 0, at)
    if at >= 0 and not _is_complete(data, at):
        return data[at:]
    return _part_of_character(data)


def _is_open_string(data: bytes, at: int) -> bool:
    """This ESC may be the first half of the ST that ends a string: then the string began earlier."""
    return data[at : at + 2] in (b"\x1b", b"\x1b\\")


def _is_complete(data: bytes, at: int) -> bool:
    rest = data[at + 1 :]
    if not rest:
        return False
    kind = rest[0]
    if kind in _STRINGS:
        return any(end in rest for end in (b"\x07", b"\x1b\\", b"\x18", b"\x1a"))
    body = rest[1:] if kind == ord("[") else rest
    for byte in body:
        if byte in (_CAN, _SUB):
            return True
        if kind == ord("[") and 0x40 <= byte <= 0x7E:
            return True
        if kind != ord("[") and 0x30 <= byte <= 0x7E:
            return True
    return False


def _part_of_character(data: bytes) -> bytes:
    for length in range(1, min(4, len(data) + 1)):
        lead = data[-length]
        if lead & 0xC0 == 0x80:
            continue
        wanted = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC0 else 1
        return data[-length:] if wanted > length else b""
    return b""
