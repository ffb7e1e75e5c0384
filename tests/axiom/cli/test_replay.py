"""`axiom replay`: the screen at any moment, by time and by the ledger's numbers, and two runs side by side."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.axiom.evidence.runs import AGENT, stored_run
from typer.testing import CliRunner

from axiom.cli.main import app
from axiom_sandbox.terminal.casts import BadCastError, Cast
from axiom_sandbox.terminal.screens import make_screen, screen_of
from axiom_sandbox.terminal.seeking import SeekableCast, pack

SECRET = "ghp_" + "aZ3bY4cX5dW6eV7fU8gT9hS0iR1jQ2kP3lO4"
HEADER = {"version": 3, "term": {"cols": 60, "rows": 5}, "timestamp": 1795255200, "title": "t"}
EVENTS: list[tuple[float, str, str]] = [
    (1.0, "o", "one \x1b[31mred\x1b[0m\r\n"),
    (0.0, "m", "#2"),
    (1.0, "o", f"two {SECRET[:8]}"),
    (1.0, "o", f"{SECRET[8:]} größe\r\n"),
    (0.0, "m", "#3"),
    (1.0, "o", "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[Hlast"),
    (0.0, "x", "0"),
]


def cast(events: list[tuple[float, str, str]] = EVENTS) -> bytes:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in (HEADER, *events)).encode()


SIZES = [len(text.encode()) for _, code, text in EVENTS if code == "o"]


def run_with(tmp_path: Path, **changes: Any) -> Path:
    """A run whose ledger notes each event of output."""
    terminal = [
        ("terminal", {"start": sum(SIZES[:number]), "size": size}) for number, size in enumerate(SIZES)
    ]
    stored_run(tmp_path, agent=[AGENT[0], *terminal, *AGENT[2:]], recording=cast(), **changes)
    return tmp_path


def axiom(*words: object) -> Any:
    return CliRunner().invoke(app, ["replay", *map(str, words)])


@pytest.mark.parametrize(
    ("at", "screen"),
    [
        ("1", ""),
        ("2", "one red"),
        ("3", "one red\ntwo ********"),
        ("4", f"one red\ntwo {'*' * 40} größe"),
        ("5", "last"),
        ("7", "last"),
        ("2s", "one red\ntwo ********"),
        ("2026-11-21T10:00:01Z", "one red"),
        ("", "last"),
    ],
)
def test_the_screen_is_as_it_then_was(tmp_path: Path, at: str, screen: str) -> None:
    words = ["--at", at] if at else []
    ended = axiom(run_with(tmp_path), "--print", *words)
    assert ended.stdout == f"{screen}\n"


def test_a_moment_beyond_the_ledger_is_refused(tmp_path: Path) -> None:
    ended = axiom(run_with(tmp_path), "--print", "--at", "99")
    assert ended.exit_code == 3
    assert "the ledger ends with record 8" in ended.stderr


def test_a_file_alone_is_found_by_the_marks_in_it(tmp_path: Path) -> None:
    file = tmp_path / "a.cast"
    file.write_bytes(cast())
    assert axiom(file, "--print", "--at", "2").stdout == "one red\n"
    assert axiom(file, "--print", "--at", "3").stdout == f"one red\ntwo {'*' * 40} größe\n"
    packed = tmp_path / "a.cast.zst"
    packed.write_bytes(packed_cast(cast()))
    assert axiom(packed, "--print", "--at", "2").stdout == "one red\n"


def test_a_moment_far_into_a_recording_is_shown_with_what_came_long_before(tmp_path: Path) -> None:
    whole = packed_cast(
        cast([(0, "o", "top\x1b[2;5r\x1b[2H"), *((1.0, "o", f"{number}\r\n") for number in range(60_000))])
    )
    file = tmp_path / "a.cast.zst"
    file.write_bytes(whole)
    assert SeekableCast(io.BytesIO(whole)).at_time(59_000_000) > 1
    for second in (100, 59_000):
        shown = axiom(file, "--print", "--at", f"{second}s").stdout.split()
        assert shown == ["top", *map(str, range(second - 3, second))]


def packed_cast(data: bytes) -> bytes:
    packed = io.BytesIO()
    pack(io.BytesIO(data), packed)
    return packed.getvalue()


def change(path: str, kind: str, size: int = 0) -> dict[str, Any]:
    digest = "" if kind == "Deleted" else hashlib.sha256(path.encode()).hexdigest()
    return {"path": path, "kind": kind, "size": size, "digest": digest, "target": ""}


def test_files_are_listed_as_they_were_at_a_moment(tmp_path: Path) -> None:
    told = [
        [change("a", "Added", 3), change("b", "Modified", 4), change("c", "Deleted")],
        [change("a", "Modified", 5), change(f"{SECRET}\x1b", "Added"), change("c", "Added", 6)],
        [change("a", "Deleted"), change(f"{SECRET}\x1b", "Deleted")],
    ]
    events = [("files_changed", {"changes": one, "passing": 0}) for one in told]
    stored_run(tmp_path, agent=[AGENT[0], *events, AGENT[-1]], recording=cast())

    def listed(*words: str) -> list[str]:
        return [" ".join(line.split()[:2]) for line in axiom(tmp_path, "--files", *words).stdout.splitlines()]

    assert listed("--at", "2") == ["Added a", "Modified b", "Deleted c"]
    assert listed("--at", "3") == ["Added a", "Modified b", "Modified c", f"Added {'*' * 40}\\x1b"]
    assert listed("--at", "2s") == listed("--at", "2")
    assert listed() == ["Modified b", "Modified c"]
    shown = CliRunner().invoke(app, ["ledger", "show", str(tmp_path), "--slot", "agent"]).stdout
    assert (
        "3 files: Added a (3 bytes, ca978112ca1b…), Modified b (4 bytes, 3e23e8160039…), Deleted c" in shown
    )


def test_secrets_are_shown_when_they_are_asked_for(tmp_path: Path) -> None:
    ended = axiom(run_with(tmp_path), "--print", "--at", "4", "--original")
    assert SECRET in ended.stdout


def test_nothing_of_a_recording_reaches_the_terminal_but_what_its_screen_shows(tmp_path: Path) -> None:
    file = tmp_path / "a.cast"
    file.write_bytes(cast())
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "axiom.cli.main", "replay", str(file), "--speed", "1000", "--idle", "0"]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    output = bytearray()
    while select.select([master], [], [], 30)[0]:
        try:
            output += os.read(master, 65536)
        except OSError:
            break
    assert process.wait(30) == 0
    os.close(master)
    assert b"last" in output
    assert b"]52;" not in output
    assert SECRET.encode() not in output


def test_two_runs_are_compared_by_what_happened_and_was_found(tmp_path: Path) -> None:
    run_with(tmp_path / "one")
    run_with(tmp_path / "two", verdict="Pass", patch=b"diff --git a/x b/x\n", prompt="Make it pass.")
    text = axiom("--diff", tmp_path / "one", tmp_path / "two").stdout
    assert "! verdict: Fail → Pass" in text
    assert "-    return False" not in text.partition("== diff")[0]
    assert "--    return False" in text
    assert "== events of agent\n  the same" in text


def test_follow_goes_on_until_the_program_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "recording.cast"
    lines = cast().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3]))
    writing = threading.Thread(target=_append, args=(file, lines[3:]))
    writing.start()
    assert axiom(file, "--follow").stdout == "last\n"
    writing.join()


def _append(file: Path, lines: list[bytes]) -> None:
    for line in lines:
        with file.open("ab") as more:
            more.write(line)


def test_what_restores_a_screen_gives_the_very_same_screen() -> None:
    parsed = Cast.parse(cast())
    for count in range(len(parsed.events) + 1):
        there = screen_of(parsed.header, parsed.events[:count])
        fresh = make_screen(there.columns, there.rows)
        fresh.feed(there.restoring)
        assert fresh.snapshot() == there


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"version":1}', b'{"version":3,"term":{"cols":0,"rows":1}}', b"[1]\n"]
)
def test_what_is_no_recording_is_refused(data: bytes) -> None:
    with pytest.raises(BadCastError):
        Cast.parse(data)


TEXTS = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from("oooimr"), st.text("aé\n", max_size=30)), max_size=40
)


@settings(max_examples=40, deadline=None)
@given(TEXTS, st.integers(0, 2000), st.integers(0, 600))
def test_a_packed_recording_is_the_same_and_any_moment_of_it_is_found(
    texts: list[tuple[int, str, str]], at: int, offset: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("axiom_sandbox.terminal.seeking._FRAME_BYTES", 64)
        data = cast(
            [
                (ms / 1000, code, f"#{n}" if code == "m" else text)
                for n, (ms, code, text) in enumerate(texts, 1)
            ]
        )
        packed = packed_cast(data)
        assert zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).read() == data
        seekable, whole = SeekableCast(io.BytesIO(packed)), Cast.parse(data)
        assert list(seekable.lines()) == data.splitlines(keepends=True)[1:]
        marks = [
            index for index, event in enumerate(whole.events) if event.seq is not None and event.seq <= at
        ]
        for frame, count in (
            (seekable.at_time(at), whole.at_time(at)),
            (seekable.at_output(offset), whole.at_output(offset)),
            (seekable.at_seq(at), marks[-1] if marks else 0),
        ):
            reader = seekable.reader(frame)
            rest = [event for line in seekable.lines(frame) if (event := reader.take(line))]
            assert rest == whole.events[len(whole.events) - len(rest) :]
            assert len(rest) >= len(whole.events) - count, "the moment lies in this stretch, or after it"
