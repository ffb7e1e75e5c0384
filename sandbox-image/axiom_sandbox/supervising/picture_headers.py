"""What a picture file says of itself in its first bytes: its format and size. Pure.

No more of a picture that an agent wrote is ever read here: decoders of pictures have long been a way in.
"""

from __future__ import annotations

from dataclasses import dataclass

HEADER_BYTES = 64 * 1024
"""As many as are looked at; in a JPEG its size may stand behind what a camera had to say."""
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_NO_FRAME = (0xC4, 0xC8, 0xCC)
"""Markers of JPEG among those of frames that are none."""


@dataclass(frozen=True)
class Header:
    """Format and size."""

    media_type: str
    width: int
    height: int


def read_header(data: bytes) -> Header | None:
    """PNG, JPEG, GIF or WebP; None for anything else, and for a picture without an extent."""
    found = _read(data)
    return found if found and found.width > 0 and found.height > 0 else None


def _read(data: bytes) -> Header | None:
    if data.startswith(_PNG) and len(data) >= 24:
        return Header("image/png", int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        return Header("image/gif", _little(data[6:8]), _little(data[8:10]))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    return None


def _webp(data: bytes) -> Header | None:
    match data[12:16]:
        case b"VP8X":
            return Header("image/webp", 1 + _little(data[24:27]), 1 + _little(data[27:30]))
        case b"VP8L" if data[20] == 0x2F:
            bits = _little(data[21:25])
            return Header("image/webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
        case b"VP8 " if data[23:26] == b"\x9d\x01\x2a":
            return Header("image/webp", _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF)
        case _:
            return None


def _jpeg(data: bytes) -> Header | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            return Header(
                "image/jpeg", int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
            )
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
