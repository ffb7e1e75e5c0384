"""Where secrets stand in a text: by their forms, and by values that are known. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from axiom_sandbox.secrets.forms import BEGIN, END, FORMS, Form, is_placeholder, looks_random
from axiom_sandbox.secrets.patterns import compiled, together

SHORTEST_VALUE = 8
"""Characters: what is shorter is no secret, and would be found in ordinary text."""
_KEY = "private key"
_KEY_BODY = rb"[ \t>|+-]*(?:[A-Za-z0-9+/=\\]+|[A-Za-z0-9-]+: .*)[ \t\r]*"
"""A line of one, perhaps quoted or as a diff has it: Base64, or a header."""


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of a text that are a secret."""

    start: int
    end: int
    kind: str


class Scanner:
    """Looks for every form, and for values that are known."""

    def __init__(self, values: Iterable[str] = (), forms: Iterable[Form] = FORMS) -> None:
        """`values` are secrets as they are; those of less than 8 characters are left out."""
        self._values = tuple(
            sorted({value for value in values if len(value) >= SHORTEST_VALUE}, key=len, reverse=True)
        )
        self._forms = [(form, compiled(form.pattern.encode())) for form in forms]
        self._any = together([form.pattern.encode() for form, _ in self._forms])
        self._marks = compiled(b"(?:" + BEGIN + b")|(?:" + END + b")")
        self._begin = compiled(BEGIN)
        self._body = compiled(_KEY_BODY)

    def spans(self, text: str, *, in_key: bool = False) -> tuple[list[Span], bool]:
        """Secrets in whole lines, in order and apart; and whether the text ends inside a private key.

        `in_key`: the text before this one did.
        """
        plain = text.encode("ascii", "replace")  # a byte for each character, so places agree
        found = [*self._known(text), *self._formed(plain)]
        keys, ends_inside = self._keys(plain, in_key)
        return _united([*found, *keys]), ends_inside

    def _known(self, text: str) -> Iterable[Span]:
        for value in self._values:
            at = text.find(value)
            while at >= 0:
                yield Span(at, at + len(value), "known value")
                at = text.find(value, at + 1)

    def _formed(self, plain: bytes) -> Iterable[Span]:
        for number in self._any.Match(plain) or ():
            form, pattern = self._forms[number]
            group = 1 if pattern.groups else 0
            for match in pattern.finditer(plain):
                value = match.group(group)
                if (
                    value
                    and not (form.random and not looks_random(value))
                    and not is_placeholder(form, value)
                ):
                    yield Span(match.start(group), match.end(group), form.kind)

    def _keys(self, plain: bytes, in_key: bool) -> tuple[list[Span], bool]:
        """From a first line to a last one, whatever stands between; where the last is missing, up to what is no key."""
        spans = list[Span]()
        inside, start = in_key, 0
        if b"PRIVATE KEY" in plain:
            for mark in self._marks.finditer(plain):
                if inside:
                    stop = self._stop(plain, start, mark.start())
                    spans.append(Span(start, stop, _KEY))
                inside = self._begin.fullmatch(mark.group(0)) is not None
                start = mark.end()
        if inside:
            stop = self._stop(plain, start, len(plain))
            spans.append(Span(start, stop, _KEY))
            inside = stop == len(plain)
        return [span for span in spans if span.end > span.start], inside

    def _stop(self, plain: bytes, start: int, end: int) -> int:
        """The end of the last line in a row that could be a key's."""
        at = start
        while at < end:
            line_end = plain.find(b"\n", at, end)
            line_end = end if line_end < 0 else line_end + 1
            line = plain[at:line_end].strip()
            if line and self._body.fullmatch(line) is None:
                return at
            at = line_end
        return end


def _united(spans: list[Span]) -> list[Span]:
    """In order, and none over another."""
    united = list[Span]()
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        if united and span.start < united[-1].end:
            last = united[-1]
            united[-1] = Span(last.start, max(last.end, span.end), last.kind)
        else:
            united.append(span)
    return united
