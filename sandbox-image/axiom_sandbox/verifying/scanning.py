"""Finding secrets in bytes, by their form. Pure.

A list of forms that vendors gave their keys, so that a key is told from other text; a private key's block; and, for what
has no form of its own, a name that says secret beside a value that looks random. What is wrapped is looked at, too: a few
layers deep, and bounded.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import re2

from axiom_sandbox.secrets.forms import FORMS, Form, entropy, is_placeholder, looks_random
from axiom_sandbox.secrets.patterns import compiled

TOO_MUCH = "more layers than can be looked through; leave the file out by exclude if it is meant to be there"
MAX_DEPTH = 3
"""Layers of wrapping."""
_MAX_UNPACKED = 32 * 1024 * 1024
"""Bytes that one file's layers may hold together."""
_MAX_MEMBERS = 1000


FORMS_IN_FILES = (
    Form("private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----((?:\s|\\n|\\r)+[A-Za-z0-9+/=:,\s\\-]{64,}?)-----END", "private key", 0),
    *FORMS,
    Form("AWS secret key", r"(?i)aws.{0,20}(?:secret|sk).{0,30}?[\"'\s:=]([A-Za-z0-9/+]{40})(?:[\"'\s]|$)", "aws", 0, random=True),
    Form(
        "secret in an assignment",
        r"(?i)(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|auth[_-]?key|private[_-]?key|credential)s?"
        r"[a-z0-9_.-]{0,24}[\"'\]\[]{0,2}(?:\?{0,1}\s{0,4}:\s{0,4}[a-z_][a-z0-9_.\[\]| ]{0,40}){0,1}\s{0,4}(?::|=>?|:=)\s{0,4}\({0,1}(?:[rbuf]{0,2}[\"'`])([^\s\"'`]{16,256})[\"'`]",
        "passw passphrase secret token key credential",
        0,
        random=True,
    ),
)  # fmt: skip
"""The forms of `axiom_sandbox.secrets`, and those that may reach over several lines of a file."""

_JOINS = re2.compile(
    rb"[\"'`]\s{0,200}(?:(?:#|//)[^\n]*\n\s{0,200})?(?:\+|\\\r?\n|\.|,|&)?\s{0,200}(?:(?:#|//)[^\n]*\n\s{0,200})?[rbuf]{0,2}[\"'`]"
)
"""Between two string literals that a compiler, or a join, puts together."""
_BASE64 = re2.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_BASE64_LINES = re2.compile(rb"(?:[A-Za-z0-9+/_-]{16,128}[ \t]*\r?\n[ \t]*){1,}[A-Za-z0-9+/_-]{1,128}={0,2}")
_HEXADECIMAL = re2.compile(rb"(?:[0-9a-fA-F]{2}){16,}|(?:(?:\\x|\\u00|0x|%)[0-9a-fA-F]{2}[,\s]{0,4}){16,}")
_NOT_HEXADECIMAL = re2.compile(rb"\\x|\\u00|0x|[%,\s]")
_NUMBERS = re2.compile(rb"(?:[0-9]{2,3}\s*,\s*){15,}[0-9]{2,3}")
_WIDE = (
    re2.compile(rb"(?:[\t\n\r -~]\x00{1,3}){16,}"),
    re2.compile(rb"(?:\x00{1,3}[\t\n\r -~]){16,}"),
)
"""The lower and the higher half first."""
_NUMBER = re2.compile(rb"[0-9]+")
_ZIP_END, _ZIP_TAIL = b"PK\x05\x06", 70_000
_CHUNK = 65536


@dataclass(frozen=True)
class Found:
    """One secret."""

    kind: str
    value: bytes
    line: int
    shown: int
    wrapped: str = ""
    """What it is wrapped in; empty: nothing."""

    def without_line(self) -> Found:
        """For names, which have no lines."""
        return replace(self, line=0)

    def masked(self, text: str) -> str:
        """A text that may hold the secret, without it."""
        value = self.value.decode("utf-8", "replace")
        return text.replace(value, f"{value[: self.shown]}…") if value else text


class Scanner:
    """Looks for every form, and for patterns of somebody's own."""

    def __init__(self, patterns: tuple[str, ...] = ()) -> None:
        own = tuple(Form("secret of a pattern of the criterion", pattern, "", 0) for pattern in patterns)
        self._forms = [
            (form, tuple(form.hint.encode().split()) or (b"",), compiled(form.pattern.encode()))
            for form in (*FORMS_IN_FILES, *own)
        ]

    def scan(self, data: bytes) -> Iterator[Found]:
        """Each secret in a file's content, once. What holds more layers than can be looked through is told as one, too."""
        seen: set[bytes] = set()
        try:
            for one in self._scan(data, MAX_DEPTH, _Budget(_MAX_UNPACKED)):
                if one.value not in seen:
                    seen.add(one.value)
                    yield one
        except _TooMuchError:
            yield Found(TOO_MUCH, hashlib.sha256(data).hexdigest().encode(), 0, 0)

    def _scan(self, data: bytes, depth: int, budget: _Budget, *, joined: bool = False) -> Iterator[Found]:
        for form, one in self._plain(data):
            if not (joined and form.random):  # a list of names, joined, looks as random as a password
                yield one
        if depth == 0:
            return
        for how, offset, inner in _unwrapped(data, budget):
            is_joined = how == _JOINED
            line = data.count(b"\n", 0, offset) + 1
            for one in self._scan(inner, depth - 1, budget, joined=joined or is_joined):
                outer = "" if is_joined else how
                wrapped = f"{outer} of {one.wrapped}" if outer and one.wrapped else outer or one.wrapped
                yield replace(one, line=one.line if is_joined else line, wrapped=wrapped)

    def _plain(self, data: bytes) -> Iterator[tuple[Form, Found]]:
        lower = data.lower()
        for form, hints, pattern in self._forms:
            if not any(hint in lower for hint in hints):
                continue
            for match in pattern.finditer(data):
                group = 1 if pattern.groups and match.group(1) else 0
                value = match.group(group)
                if (
                    value
                    and not (form.random and not looks_random(value))
                    and not _is_placeholder(form, value)
                ):
                    yield (
                        form,
                        Found(form.kind, value, data.count(b"\n", 0, match.start(group)) + 1, form.shown),
                    )


class _TooMuchError(Exception):
    """A file's layers hold more than is looked at: whoever hides something behind them must not get through."""


class _Budget:
    """Bytes that may still be unwrapped."""

    def __init__(self, most: int) -> None:
        self.left = most

    def take(self, size: int) -> None:
        """Raises _TooMuchError."""
        self.left -= size
        if self.left < 0:
            raise _TooMuchError


def _is_placeholder(form: Form, value: bytes) -> bool:
    if form.kind == "private key":
        return entropy(b"".join(value.split())) < 4.5
    return is_placeholder(form, value)


_JOINED = "joined literals"


def _unwrapped(data: bytes, budget: _Budget) -> Iterator[tuple[str, int, bytes]]:
    """What is wrapped in the data: how, where it begins, and what it is. Raises _TooMuchError."""
    for how, offset, inner in _layers(data, budget):
        budget.take(len(inner))
        yield how, offset, inner


def _layers(data: bytes, budget: _Budget) -> Iterator[tuple[str, int, bytes]]:
    for how, magic, make in _COMPRESSIONS:
        if data.startswith(magic):
            yield how, 0, _decompressed(data, make, budget)
        elif len(magic) > 2 and (at := data.find(magic)) > 0:  # behind a script that unpacks itself
            yield how, at, _decompressed(data[at:], make, budget)
    if _ZIP_END in data[-_ZIP_TAIL:]:
        yield from (("zip", 0, inner) for inner in _unzipped(data, budget))
    if b"\0" in data:
        for wide in _WIDE:
            for match in wide.finditer(data):
                yield "UTF-16", match.start(), match.group().replace(b"\0", b"")
    if len(joined := _JOINS.sub(b"", data)) != len(data):
        yield _JOINED, 0, joined
    for match in _HEXADECIMAL.finditer(data):
        digits = _NOT_HEXADECIMAL.sub(b"", match.group())
        yield "hexadecimal", match.start(), binascii.unhexlify(digits[: len(digits) // 2 * 2])
    for match in _NUMBERS.finditer(data):
        numbers = (int(number) for number in _NUMBER.findall(match.group()))
        yield "numbers", match.start(), bytes(number for number in numbers if number < 256)
    for pattern in (_BASE64, _BASE64_LINES):
        for match in pattern.finditer(data):
            if inner := _unbase64(match.group()):
                yield "Base64", match.start(), inner


def _unbase64(text: bytes) -> bytes:
    plain = b"".join(text.split()).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    if len(plain) % 4 == 1:
        plain = plain[:-1]
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4))
    except ValueError:
        return b""


class _Decompressor(Protocol):
    """What the decompressors of the standard library have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_COMPRESSIONS: tuple[tuple[str, bytes, Callable[[], _Decompressor]], ...] = (
    ("gzip", b"\x1f\x8b\x08", lambda: zlib.decompressobj(31)),
    ("zlib", b"\x78", zlib.decompressobj),
    ("bzip2", b"BZh", bz2.BZ2Decompressor),
    ("xz", b"\xfd7zXZ\0", lzma.LZMADecompressor),
)


def _decompressed(data: bytes, make: Callable[[], _Decompressor], budget: _Budget) -> bytes:
    """What comes out before the first fault, of all streams one after another. Raises _TooMuchError."""
    found = bytearray()
    while data:
        stream, at = make(), 0
        try:
            while at < len(data) and not stream.eof:
                found += stream.decompress(data[at : at + _CHUNK], budget.left + 1 - len(found))
                at += _CHUNK
                if len(found) > budget.left:
                    raise _TooMuchError
        except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
            break
        if not stream.eof:
            break
        found += b"\n"
        data = stream.unused_data + data[at:]
    return bytes(found)


def _unzipped(data: bytes, budget: _Budget) -> Iterator[bytes]:
    """The members that can be read. Raises _TooMuchError."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return
    with archive:
        for number, info in enumerate(archive.infolist()):
            if number == _MAX_MEMBERS:
                raise _TooMuchError
            yield info.filename.encode("utf-8", "replace")
            try:
                yield _member(archive, info, budget)
            except (
                OSError,
                EOFError,
                zlib.error,
                zipfile.BadZipFile,
                NotImplementedError,
                RuntimeError,
                ValueError,
            ):
                continue


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> bytes:
    found = bytearray()
    with archive.open(info) as member:
        member._expected_crc = None  # type: ignore[attr-defined]  # noqa: SLF001 - what is read counts, whatever its checksum says
        while chunk := member.read(_CHUNK):
            found += chunk
            if len(found) > budget.left:
                raise _TooMuchError
    return bytes(found)
