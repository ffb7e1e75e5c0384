"""Two texts → the hunks of a unified diff (Myers), with a bound on the work: what costs more is shown as replaced. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_CONTEXT = 3
_MOST_EDITS = 2_000
"""Between two texts; what is stored on the way grows with its square."""


@dataclass
class Effort:
    """How many steps all texts together may take: 10 s or so."""

    left: int = 20_000_000


class _Edit(NamedTuple):
    """Lines from `old` to `old_end` become those from `new` to `new_end`."""

    old: int
    old_end: int
    new: int
    new_end: int


def hunks(before: bytes, after: bytes, effort: Effort) -> Iterator[bytes]:
    """From `@@` on; nothing for equal texts. A line ends at its newline alone."""
    old, new = _lines(before), _lines(after)
    for group in _grouped(_edits(old, new, effort)):
        yield from _hunk(old, new, group)


def _lines(text: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in text.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _edits(old: Sequence[bytes], new: Sequence[bytes], effort: Effort) -> list[_Edit]:
    begin, most = 0, min(len(old), len(new))
    while begin < most and old[begin] == new[begin]:
        begin += 1
    end = 0
    while end < most - begin and old[-1 - end] == new[-1 - end]:
        end += 1
    left, right = old[begin : len(old) - end], new[begin : len(new) - end]
    if not left and not right:
        return []
    found = _shortest(left, right, effort)
    if found is None:
        return [_Edit(begin, len(old) - end, begin, len(new) - end)]
    return [
        _Edit(begin + one.old, begin + one.old_end, begin + one.new, begin + one.new_end) for one in found
    ]


def _shortest(old: Sequence[bytes], new: Sequence[bytes], effort: Effort) -> list[_Edit] | None:
    """None: it takes too long."""
    numbers: dict[bytes, int] = {}
    left = [numbers.setdefault(line, len(numbers)) for line in old]
    right = [numbers.setdefault(line, len(numbers)) for line in new]
    width, height = len(left), len(right)
    most = min(width + height, _MOST_EDITS)
    middle = most + 1
    reached = array("i", bytes(4 * (2 * most + 3)))
    trace: list[array[int]] = []
    for edits in range(most + 1):
        trace.append(reached[middle - edits - 1 : middle + edits + 2])
        for diagonal in range(-edits, edits + 1, 2):
            at = middle + diagonal
            down = diagonal == -edits or (diagonal != edits and reached[at - 1] < reached[at + 1])
            x = begun = reached[at + 1] if down else reached[at - 1] + 1
            y = x - diagonal
            while x < width and y < height and left[x] == right[y]:
                x, y = x + 1, y + 1
            reached[at] = x
            effort.left -= x - begun + 1
            if x >= width and y >= height:
                return _walked_back(trace, edits, x, y)
        if effort.left < 0:
            return None
    return None


def _walked_back(trace: Sequence[array[int]], last: int, x: int, y: int) -> list[_Edit]:
    """From the end to the beginning: `trace` has what was reached before each number of edits."""
    found: list[_Edit] = []
    for edits in range(last, 0, -1):
        reached, diagonal = trace[edits], x - y
        middle = edits + 1 + diagonal
        down = diagonal == -edits or (diagonal != edits and reached[middle - 1] < reached[middle + 1])
        if down:
            at, other = reached[middle + 1], reached[middle + 1] - diagonal - 1
            edit = _Edit(at, at, other, other + 1)
        else:
            at, other = reached[middle - 1], reached[middle - 1] - diagonal + 1
            edit = _Edit(at, at + 1, other, other)
        if found and (edit.old_end, edit.new_end) == (found[-1].old, found[-1].new):
            following = found.pop()
            edit = _Edit(edit.old, following.old_end, edit.new, following.new_end)
        found.append(edit)
        x, y = at, other
    return found[::-1]


def _grouped(edits: Sequence[_Edit]) -> Iterator[list[_Edit]]:
    """What is near enough to share its context."""
    group: list[_Edit] = []
    for edit in edits:
        if group and edit.old - group[-1].old_end > 2 * _CONTEXT:
            yield group
            group = []
        group.append(edit)
    if group:
        yield group


def _hunk(old: Sequence[bytes], new: Sequence[bytes], group: Sequence[_Edit]) -> Iterator[bytes]:
    first, last = group[0], group[-1]
    before = min(_CONTEXT, first.old)
    after = min(_CONTEXT, len(old) - last.old_end)
    begin, end = first.old - before, last.old_end + after
    yield (f"@@ -{_span(begin, end)} +{_span(first.new - before, last.new_end + after)} @@\n".encode())
    at = begin
    for edit in group:
        yield from _marked(b" ", old[at : edit.old])
        yield from _marked(b"-", old[edit.old : edit.old_end])
        yield from _marked(b"+", new[edit.new : edit.new_end])
        at = edit.old_end
    yield from _marked(b" ", old[at:end])


def _span(begin: int, end: int) -> str:
    count = end - begin
    number = begin + 1 if count else begin
    return f"{number}" if count == 1 else f"{number},{count}"


def _marked(mark: bytes, lines: Sequence[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield mark + line
        if not line.endswith(b"\n"):
            yield b"\n\\ No newline at end of file\n"
