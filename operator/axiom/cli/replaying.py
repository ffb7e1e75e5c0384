"""What `axiom replay` does once its options are read.

A recording is never written to a person's terminal as it is: an emulator takes it, and what the screen shows is drawn, with
its colours and nothing else that a terminal would act on. Secrets are masked in the stream, and once more on the screen, where
a program may have put them together; while a run is followed, on the screen alone, as nothing can be held back there. So is
what came long before the moment that was asked for: that is found by the recording's index, and what lies before it goes to the
emulator as it is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

import typer
import zstandard

from axiom.cli.places import Where
from axiom.cli.reading import find, readable
from axiom.evidence.comparing import Side, compare
from axiom.evidence.files import fates, table
from axiom.evidence.finding import TaskEvidence
from axiom.evidence.harmless import plain
from axiom.evidence.masking import mask_lines, mask_text, scanner_of
from axiom.evidence.searching import Line, parsed
from axiom.evidence.segments import EvidenceError
from axiom.running.places import default_state
from axiom_sandbox.ledger.records import Record
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.secrets.masking import masked
from axiom_sandbox.terminal.casts import BadCastError, Cast, CastEvent, CastReader, Header, parse_header
from axiom_sandbox.terminal.masking import mask_cast
from axiom_sandbox.terminal.recording import Code
from axiom_sandbox.terminal.screens import EmulatorMissingError, Screen, ScreenState, make_screen, play
from axiom_sandbox.terminal.seeking import SeekableCast, has_index, pack, unpacking
from axiom_sandbox.terminal.text import drawable

_FRAME_SECONDS = 1 / 30
_LOOK_SECONDS = 0.2
_CASTS = (".cast", ".cast.zst")


@dataclass(frozen=True)
class Playing:
    """What was asked for."""

    at: str = ""
    to_print: bool = False
    files: bool = False
    speed: float = 1.0
    idle: float = 2.0
    follow: bool = False
    cast: Path | None = None


@dataclass(frozen=True)
class _Found:
    """A recording, and what is known beside it."""

    cast: SeekableCast
    noted: Callable[[], Iterator[Line]] | None
    """The agent's ledger."""


@dataclass(frozen=True)
class _Moment:
    """A place in a recording."""

    frame: int
    """The stretch in which it is looked for."""
    part: Callable[[Cast], tuple[list[CastEvent], list[CastEvent]]]
    """A recording, or its end from before that stretch on → what was shown by then, and what came after."""


def replay_run(where: Where, playing: Playing) -> None:
    """Plays, prints or writes the recording."""
    with readable(), _explained():
        if playing.follow:
            _follow(_growing(where), where)
            return
        found = _recording(where)
        if playing.files:
            _list_files(found, playing, where)
            return
        if playing.cast:
            _write(playing.cast, b"".join((found.cast.header.line, *_clean(found.cast.lines(), where))))
            return
        moment = _moment_of(found, playing)
        first = max(moment.frame - 1, 0)
        reader, lines = found.cast.reader(first), _clean(found.cast.lines(first), where)
        shown, rest = moment.part(
            Cast(found.cast.header, [event for line in lines if (event := reader.take(line))])
        )
        screen = make_screen(found.cast.header.columns, found.cast.header.rows)
        reader = found.cast.reader(0)
        play(screen, (event for line in found.cast.lines(0, first) if (event := reader.take(line))))
        play(screen, shown)
        if playing.to_print:
            _print(screen.snapshot(), where)
        else:
            _play(screen, shown[-1].at_ms if shown else 0, rest, playing, where)


def _list_files(found: _Found, playing: Playing, where: Where) -> None:
    """What the ledger tells of files, up to the moment that was asked for."""
    if found.noted is None:
        raise EvidenceError("--files needs the ledger beside the recording; name the run instead of the file")
    at = playing.at
    until = _milliseconds(found.cast.header, at) if at and not at.isdecimal() else None
    records: Iterator[Record] = (line.record for line in found.noted() if line.record is not None)
    if at.isdecimal():
        records = takewhile(lambda record: record.seq <= int(at), records)
    elif until is not None:
        began = found.cast.header.started_ms
        records = takewhile(lambda record: record.time_utc.timestamp() * 1000 - began <= until, records)
    for line in table(fates(records)):
        typer.echo(line if where.original else masked(scanner_of(), line))


def _clean(lines: Iterator[bytes], where: Where) -> Iterator[bytes]:
    return lines if where.original else mask_cast(lines, scanner_of())


def _moment_of(found: _Found, playing: Playing) -> _Moment:
    """The moment that was asked for; without one, the end is printed, and the beginning is where a replay begins."""
    cast, at = found.cast, playing.at
    if not at:
        return _Moment(0, lambda cast: (cast.events, []) if playing.to_print else ([], cast.events))
    if not at.isdecimal():
        at_ms = _milliseconds(cast.header, at)
        return _Moment(cast.at_time(at_ms), lambda cast: _split(cast, cast.at_time(at_ms)))
    seq = int(at)
    if found.noted is not None:
        offset = _offset_at(found.noted(), seq)
        return _Moment(
            cast.at_output(offset),
            lambda cast: (list(cast.output_until(offset)), cast.events[cast.at_output(offset) :]),
        )
    return _Moment(cast.at_seq(seq), lambda cast: _split(cast, _marked(cast, seq)))


def _split(cast: Cast, count: int) -> tuple[list[CastEvent], list[CastEvent]]:
    return cast.events[:count], cast.events[count:]


def _marked(cast: Cast, seq: int) -> int:
    """How many events there are up to the last mark that is not beyond a record. Raises EvidenceError."""
    marks = [(index, event.seq) for index, event in enumerate(cast.events) if event.seq is not None]
    if not marks:
        raise EvidenceError(
            "this recording has no marks of a ledger, so --at takes a time; name the run instead of the file"
        )
    return max((index + 1 for index, mark in marks if mark <= seq), default=0)


def _offset_at(lines: Iterator[Line], seq: int) -> int:
    """Bytes of output that the ledger had noted at a record. Raises EvidenceError."""
    offset = last = 0
    for line in lines:
        record = line.record
        if record is None:
            continue
        if record.seq > seq:
            return offset
        last = record.seq
        start, size = record.payload.get("start"), record.payload.get("size")
        if record.event == "terminal" and isinstance(start, int) and isinstance(size, int):
            offset = max(offset, start + size)
    if seq > last:
        raise EvidenceError(f"--at {seq}: the ledger ends with record {last}")
    return offset


def _milliseconds(header: Header, text: str) -> int:
    """Milliseconds since the recording began. Raises EvidenceError."""
    try:
        return round(parse_duration(text).total_seconds() * 1000)
    except ValueError:
        pass  # then it is a time of day
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise EvidenceError(
            f"--at {text!r}: write a sequence number (42), a time since the beginning (1m30s), or a time of day"
            " (2026-11-25T20:00:00Z)"
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000) - header.started_ms


def _recording(where: Where) -> _Found:
    """Raises EvidenceError."""
    if where.word.endswith(_CASTS) and Path(where.word).is_file():
        return _Found(_seekable(Path(where.word).read_bytes()), None)
    found = find(where)
    with_recording = [one for one in found if one.task and one.task.status.recording and one.blob]
    if not with_recording:
        raise EvidenceError(
            f"{where.word} holds no recording: no task that ran on a terminal is complete there"
        )
    if len(with_recording) > 1:
        names = ", ".join(f"{one.task.name} ({one.task.uid[:8]})" for one in with_recording if one.task)
        raise EvidenceError(f"{where.word} holds several runs; name one of them: {plain(names)}")
    one = with_recording[0]
    assert one.task is not None
    assert one.blob is not None
    return _Found(_seekable(one.blob(one.task.status.recording)), _lines_of(one))


def _lines_of(one: TaskEvidence) -> Callable[[], Iterator[Line]] | None:
    ledger = one.ledger("agent")
    return (lambda: parsed(ledger.lines())) if ledger else None


def _seekable(data: bytes) -> SeekableCast:
    """A recording as it is stored; one that has no index, as the gateway serves it, gets one. Raises BadCastError."""
    if has_index(BytesIO(data)):
        return SeekableCast(BytesIO(data))
    packed = BytesIO()
    try:
        pack(unpacking(BytesIO(data)), packed)
    except zstandard.ZstdError as error:
        raise BadCastError(f"the recording is damaged: {error}") from error
    return SeekableCast(packed)


def _write(target: Path, data: bytes) -> None:
    try:
        target.write_bytes(data)
    except OSError as error:
        raise EvidenceError(f"--cast {target} cannot be written: {error.strerror}") from error


class _Canvas:
    """A person's terminal, on which screens are drawn."""

    def __init__(self, stream: BinaryIO, where: Where) -> None:
        self._stream, self._masks = stream, not where.original

    def __enter__(self) -> _Canvas:
        self._stream.write(b"\x1b[?1049h\x1b[?25l\x1b[2J")
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.write(b"\x1b[0m\x1b[?25h\x1b[?1049l")
        self._stream.flush()

    def draw(self, screen: ScreenState) -> None:
        """Puts it where the last one was."""
        styled = drawable(screen.styled)
        body = (mask_text(styled) if self._masks else styled).replace(b"\r\n", b"\x1b[0m\x1b[K\r\n")
        self._stream.write(b"\x1b[?2026h\x1b[H" + body + b"\x1b[0m\x1b[J\x1b[?2026l")
        self._stream.flush()


def _print(screen: ScreenState, where: Where) -> None:
    text = screen.text if where.original else masked(scanner_of(), screen.text)
    sys.stdout.write(f"{plain(text)}\n")


def _play(screen: Screen, now: int, rest: list[CastEvent], playing: Playing, where: Where) -> None:
    """Goes on from the screen as it was at `now`, in milliseconds since the beginning."""
    if not sys.stdout.isatty():
        play(screen, rest)
        _print(screen.snapshot(), where)
        return
    with _Canvas(sys.stdout.buffer, where) as canvas:
        canvas.draw(screen.snapshot())
        due = drawn = time.monotonic()
        try:
            for event in rest:
                due += min((event.at_ms - now) / 1000 / playing.speed, playing.idle)
                now = event.at_ms
                wait = due - time.monotonic()
                if wait > 0 or time.monotonic() - drawn > _FRAME_SECONDS:
                    canvas.draw(screen.snapshot())
                    drawn = time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                play(screen, [event])
            canvas.draw(screen.snapshot())
        except KeyboardInterrupt:
            pass  # seen enough
    _print(screen.snapshot(), where)


def _growing(where: Where) -> Path:
    """The recording of a local run that is not over. Raises EvidenceError."""
    path = Path(where.word)
    if path.is_file():
        return path
    if where.places.cluster:
        raise EvidenceError(
            "--follow is for runs on this machine: a cluster's recording is served once its task is complete"
        )
    runs = (where.places.state or default_state()) / "runs"
    folders = [path] if path.is_dir() else sorted(runs.glob(f"{where.word}-*/scratch"))
    found = [file for folder in folders for file in folder.rglob("recording.cast")]
    if not found:
        raise EvidenceError(
            f"no run {where.word!r} is under way in {runs}; without --follow its replay is of what ended"
        )
    return max(found, key=lambda file: file.stat().st_mtime)


def _follow(path: Path, where: Where) -> None:
    """Shows what is there, and what comes, until the program on the terminal has ended or the file is gone."""
    with path.open("rb") as file:
        first = file.readline()
        header = parse_header(first)
        reader, screen = CastReader(header.version), make_screen(header.columns, header.rows)
        is_terminal = sys.stdout.isatty()
        canvas = _Canvas(sys.stdout.buffer, where)
        if is_terminal:
            canvas.__enter__()
        try:
            for lines in _arriving(file, path):
                events = [event for line in lines if (event := reader.take(line))]
                play(screen, events)
                if is_terminal and events:
                    canvas.draw(screen.snapshot())
                if any(event.code == Code.EXIT for event in events):
                    break
        except KeyboardInterrupt:
            pass  # seen enough
        finally:
            if is_terminal:
                canvas.__exit__()
    _print(screen.snapshot(), where)


def _arriving(file: BinaryIO, path: Path) -> Iterator[list[bytes]]:
    """Whole lines as they come; ends once the file is gone from where it was."""
    held = b""
    while True:
        data = file.read()
        if data:
            *lines, held = (held + data).split(b"\n")
            yield [line + b"\n" for line in lines]
        elif not path.exists():
            return
        else:
            time.sleep(_LOOK_SECONDS)


def print_difference(one: Where, other: Where) -> None:
    """The difference between two runs."""
    with readable():
        sides = [_side(where) for where in (one, other)]
        for line in compare(*sides):
            typer.echo(line)


def _side(where: Where) -> Side:
    found = find(where)
    if len(found) != 1:
        raise EvidenceError(f"{where.word} holds {len(found)} runs; name one of them")
    evidence = found[0]
    masks = not where.original
    ledgers = tuple(
        (
            ledger.name.rpartition("/")[2],
            tuple(parsed(mask_lines(ledger.lines()) if masks else ledger.lines())),
        )
        for ledger in evidence.ledgers
    )
    task = evidence.task
    if task is None:
        return Side(where.word, "unknown", (), (), ledgers, "")
    last = task.status.rounds[-1] if task.status.rounds else None
    usage = task.status.usage
    facts = [("rounds", str(len(task.status.rounds))), ("attempts", str(task.status.attempt))]
    facts += [("class", task.spec.agent_class_name), ("message", task.status.message)]
    if usage:
        facts += [("cost", usage.cost_usd or "unknown"), ("calls of a model", str(usage.requests))]
        facts += [("tokens in", str(usage.input_tokens)), ("tokens out", str(usage.output_tokens))]
    patch = ""
    if last and last.diff and evidence.blob:
        data = evidence.blob(last.diff)
        patch = (data if where.original else mask_text(data)).decode(errors="replace")
    return Side(
        f"{task.name} ({task.uid[:8]})",
        task.status.verdict or "none",
        tuple((result.name, result.verdict.value) for result in last.criteria) if last else (),
        tuple(facts),
        ledgers,
        patch,
    )


@contextmanager
def _explained() -> Iterator[None]:
    """What the terminal's parts raise, as evidence that cannot be read."""
    try:
        yield
    except (BadCastError, EmulatorMissingError) as error:
        raise EvidenceError(str(error)) from error
