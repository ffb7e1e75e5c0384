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
import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

import re2

TOO_MUCH = "more layers than can be looked through; leave the file out by exclude if it is meant to be there"
MAX_DEPTH = 3
"""Layers of wrapping."""
_MAX_UNPACKED = 32 * 1024 * 1024
"""Bytes that one file's layers may hold together."""
_MAX_MEMBERS = 1000
_SHOWN = 4
_MIN_RUN = 8
_MIXED = 0.4
"""How often letters, digits and cases change from one character to the next, where nobody wrote words."""
_NOT_A_RUN = re2.compile(rb"[^A-Za-z0-9]")


@dataclass(frozen=True)
class Form:
    """What a kind of secret looks like. The first group, or all of it, is the secret."""

    kind: str
    pattern: str
    hint: str
    """Words in small letters, of which one must occur: most files are passed over without a search."""
    shown: int = _SHOWN
    """Characters that only say whose it is."""
    random: bool = False
    """Whether the value must look random, as nothing else tells it from other text."""


# Boundaries are those of a word, so that a longer text of the same letters is none.
FORMS = (
    Form("private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----((?:\s|\\n|\\r)+[A-Za-z0-9+/=:,\s\\-]{64,}?)-----END", "private key", 0),
    Form("AWS access key id", r"\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b", "akia asia abia acca"),
    Form("GitHub token", r"\b((?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36,255})\b", "ghp_ gho_ ghu_ ghs_ ghr_"),
    Form("GitHub token", r"\b(github_pat_[A-Za-z0-9_]{60,255})\b", "github_pat_"),
    Form("GitLab token", r"\b(gl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent)-[A-Za-z0-9_-]{20,255})\b", "glpat glptt gldt glrt glcbt glsoat glft glimt glagent"),
    Form("Slack token", r"\b(xox[abeoprs]-[A-Za-z0-9-]{20,255})\b", "xox"),
    Form("Slack app token", r"\b(xapp-[0-9]-[A-Za-z0-9-]{30,255})\b", "xapp-"),
    Form("Slack webhook", r"hooks\.slack\.com/(?:services|workflows)/(T[A-Za-z0-9]{6,}/[A-Za-z0-9]{6,}/[A-Za-z0-9]{20,})", "hooks.slack.com", 1),
    Form("Stripe key", r"\b((?:sk|rk)_(?:live|test)_[A-Za-z0-9]{20,255})\b", "sk_live_ rk_live_ sk_test_ rk_test_"),
    Form("Stripe webhook secret", r"\b(whsec_[A-Za-z0-9+/]{32,255})", "whsec_"),
    Form("OpenAI key", r"\b(sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,255})", "sk-proj- sk-svcacct- sk-admin-"),
    Form("OpenAI key", r"\b(sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})\b", "t3blbkfj"),
    Form("Anthropic key", r"\b(sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{60,255})", "sk-ant-"),
    Form("OpenRouter key", r"\b(sk-or-v1-[a-f0-9]{64})\b", "sk-or-"),
    Form("Google API key", r"\b(AIza[A-Za-z0-9_-]{35})\b", "aiza"),
    Form("Google OAuth secret", r"\b(GOCSPX-[A-Za-z0-9_-]{28})", "gocspx-"),
    Form("Google OAuth token", r"\b(ya29\.[A-Za-z0-9_-]{30,1000})", "ya29."),
    Form("npm token", r"\b(npm_[A-Za-z0-9]{36})\b", "npm_"),
    Form("PyPI token", r"\b(pypi-AgE[A-Za-z0-9_-]{50,1000})", "pypi-age"),
    Form("RubyGems token", r"\b(rubygems_[a-f0-9]{48})\b", "rubygems_"),
    Form("crates.io token", r"\b(cio[A-Za-z0-9]{32})\b", "cio", random=True),
    Form("Docker Hub token", r"\b(dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,100})", "dckr_"),
    Form("Hugging Face token", r"\b((?:hf|api_org)_[A-Za-z]{34})\b", "hf_ api_org_"),
    Form("SendGrid key", r"\b(SG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50})\b", "sg."),
    Form("Mailgun key", r"\b(key-[a-f0-9]{32})\b", "key-"),
    Form("Twilio key", r"\b(SK[a-f0-9]{32})\b", "sk"),
    Form("Telegram bot token", r"\b([0-9]{8,10}:AA[A-Za-z0-9_-]{33})\b", ":aa", 0),
    Form("Discord bot token", r"\b([MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40})\b", "."),
    Form("Shopify token", r"\b(shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32})\b", "shp"),
    Form("DigitalOcean token", r"\b(do[opr]_v1_[a-f0-9]{64})\b", "_v1_"),
    Form("Databricks token", r"\b(dapi[a-f0-9]{32}(?:-[0-9])?)\b", "dapi"),
    Form("HashiCorp Vault token", r"\b(hv[sbr]\.[A-Za-z0-9_-]{24,300})", "hvs. hvb. hvr."),
    Form("Terraform Cloud token", r"\b([A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,70})", ".atlasv1."),
    Form("Grafana token", r"\b(gl(?:sa|c)_[A-Za-z0-9_+/=]{32,400})", "glsa_ glc_"),
    Form("New Relic key", r"\b(NRAK-[A-Z0-9]{27})\b", "nrak-"),
    Form("Linear key", r"\b(lin_api_[A-Za-z0-9]{40})\b", "lin_api_"),
    Form("Notion token", r"\b(ntn_[A-Za-z0-9]{40,60})\b", "ntn_"),
    Form("Atlassian token", r"\b(ATATT3[A-Za-z0-9_=-]{150,250})", "atatt3"),
    Form("age secret key", r"\b(AGE-SECRET-KEY-1[A-Z0-9]{58})\b", "age-secret-key-1"),
    Form("Azure storage key", r"(?i)AccountKey=([A-Za-z0-9+/]{86}==)", "accountkey=", 0),
    Form("JSON Web Token", r"\b(eyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,})", "eyj"),
    Form("password in an address", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/?#@'\"<>]{0,64}:([^\s:/?#@'\"<>${}*]{8,128})@[A-Za-z0-9.-]+", "://", 0, random=True),
    Form("AWS secret key", r"(?i)aws.{0,20}(?:secret|sk).{0,30}?[\"'\s:=]([A-Za-z0-9/+]{40})(?:[\"'\s]|$)", "aws", 0, random=True),
    Form(
        "secret in an assignment",
        r"(?i)(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|auth[_-]?key|private[_-]?key|credential)s?"
        r"[a-z0-9_.-]{0,24}[\"'\]]{0,2}\s{0,4}(?::|=>?|:=)\s{0,4}(?:[rbuf]{0,2}[\"'`])([^\s\"'`]{16,256})[\"'`]",
        "passw passphrase secret token key credential",
        0,
        random=True,
    ),
    Form(
        "secret in an environment file",
        r"(?m)^(?:export )?[A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)[A-Z0-9_]*=([^\s\"'`$<>{}()]{16,256})$",
        "passw secret token key",
        0,
        random=True,
    ),
)  # fmt: skip

_PLACEHOLDERS = re2.compile(
    rb"(?i)example|changeme|change-me|placeholder|your[_-]|xxxx|\*\*\*|dummy|redacted|fake|sample|insert|replace|todo"
    rb"|\$\{|\{\{|\$\(|<[a-z]|%\(|0{8}|12345678|abcdefgh"
)
_JOINS = re2.compile(
    rb"[\"'`]\s{0,200}(?:(?:#|//)[^\n]*\n\s{0,200})?(?:\+|\\\r?\n|\.|,|&)?\s{0,200}(?:(?:#|//)[^\n]*\n\s{0,200})?[rbuf]{0,2}[\"'`]"
)
"""Between two string literals that a compiler, or a join, puts together."""
_BASE64 = re2.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_BASE64_LINES = re2.compile(rb"(?:[A-Za-z0-9+/]{60,76}\r?\n){1,}[A-Za-z0-9+/]{1,76}={0,2}")
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
            (form, tuple(form.hint.encode().split()) or (b"",), _compiled(form.pattern))
            for form in (*FORMS, *own)
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


def looks_random(value: bytes) -> bool:
    """A long run of letters and digits mixed, as a person would not write it; names of words are none."""
    if max(map(len, _NOT_A_RUN.split(value))) < _MIN_RUN:
        return False
    kinds = [_kind_of(char) for char in value]
    changes = sum(one != other for one, other in pairwise(kinds)) / len(value)
    is_mixed = (kinds.count("digit") >= 2 and len(set(kinds)) > 1) or changes >= _MIXED
    return is_mixed and entropy(value) >= (3.0 if len(value) < 24 else 3.4)


def _kind_of(char: int) -> str:
    text = chr(char)
    return (
        "digit" if text.isdigit() else "upper" if text.isupper() else "lower" if text.islower() else "other"
    )


def entropy(value: bytes) -> float:
    """Bits for each character, by how often each occurs."""
    counts = Counter(value)
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())


def _is_placeholder(form: Form, value: bytes) -> bool:
    if form.kind == "private key":
        return entropy(b"".join(value.split())) < 4.5
    if form.random:
        return _PLACEHOLDERS.search(value) is not None
    body = value[form.shown :]
    return value.endswith(b"EXAMPLE") or (len(body) >= 12 and len(set(body)) <= 4)


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
    ("gzip", b"\x1f\x8b", lambda: zlib.decompressobj(31)),
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


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = 64 * 1024 * 1024
    return options


def _compiled(pattern: str) -> Any:
    return re2.compile(pattern.encode(), _options())
