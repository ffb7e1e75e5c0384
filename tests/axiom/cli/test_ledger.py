"""`axiom ledger` on files that are whole, broken, hostile, or no ledgers at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from axiom.cli.main import app
from axiom_sandbox.ledger.records import ORIGIN, encode
from axiom_sandbox.protocol.identity import Identity, Role

IDENTITY = Identity(namespace="n", task="t", task_id="u", attempt=1, role=Role.AGENT)


def write(path: Path, *events: tuple[str, dict[str, object]]) -> str:
    head, lines = ORIGIN, []
    for seq, (name, payload) in enumerate(events, 1):
        line, head = encode(
            seq=seq, time=datetime.now(UTC), identity=IDENTITY, event=name, payload=payload, prev=head
        )
        lines.append(line + b"\n")
    path.write_bytes(b"".join(lines))
    return head


def test_a_declared_gap_is_told_and_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "1.jsonl"
    gap = {"what": "terminal", "start": 1, "end": 3, "size": 2, "reason": "too much"}
    head = write(file, ("gap", gap))
    ended = CliRunner().invoke(app, ["ledger", "verify", str(file), "--head", head])
    assert ended.exit_code == 0
    assert "gap declared at record 1: terminal, 2 bytes: too much" in ended.stdout
    body = json.loads(CliRunner().invoke(app, ["ledger", "verify", str(tmp_path), "--json"]).stdout)
    assert body["gaps"] == [{"seq": 1, **gap}]


def test_an_end_that_was_cut_off_is_found_by_the_head(tmp_path: Path) -> None:
    file = tmp_path / "1.jsonl"
    head = write(file, ("one", {}), ("two", {}))
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    assert CliRunner().invoke(app, ["ledger", "verify", str(file)]).exit_code == 0
    ended = CliRunner().invoke(app, ["ledger", "verify", str(file), "--head", head])
    assert ended.exit_code == 1
    assert "Truncated" in ended.stdout


def test_nothing_of_a_hostile_file_reaches_the_terminal_unescaped(tmp_path: Path) -> None:
    file = tmp_path / "1.jsonl"
    write(file, ("\x1b[2J\u202e", {"text": "\x1b]0;x\x07 " + "y" * 1000}))
    file.write_bytes(file.read_bytes() + b"\x1b[31mno record\n")
    ended = CliRunner().invoke(app, ["ledger", "show", str(file)])
    assert ended.exit_code == 0
    assert "\x1b" not in ended.stdout
    assert "\u202e" not in ended.stdout
    assert "not a record" in ended.stdout


@pytest.mark.parametrize("content", [None, b"this is not zstd"])
def test_what_cannot_be_read_is_exit_code_3(tmp_path: Path, content: bytes | None) -> None:
    if content:
        (tmp_path / "1.jsonl.zst").write_bytes(content)
    ended = CliRunner().invoke(app, ["ledger", "verify", str(tmp_path)])
    assert ended.exit_code == 3
    assert str(tmp_path) in ended.stderr
