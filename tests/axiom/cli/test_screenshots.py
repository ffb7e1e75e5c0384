"""`axiom replay --screenshots`: a run's pictures as files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.evidence.runs import AGENT, StoredRun
from typer.testing import CliRunner

from axiom.cli.main import app

FIRST, SECOND, FILE = b"RIFFfirst", b"RIFFsecond", b"\x89PNGfile"


def shot(
    data: bytes, why: str = "state", path: str = "", media_type: str = "image/webp"
) -> tuple[str, dict[str, Any]]:
    digest = hashlib.sha256(data).hexdigest()
    payload = {"round": 1, "why": [why], "digest": digest, "size": len(data), "media_type": media_type}
    return "screenshot", {**payload, "width": 960, "height": 640, "path": path}


def axiom(*words: object) -> Any:
    return CliRunner().invoke(app, ["replay", *map(str, words)])


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    shots = [
        shot(FIRST),
        shot(FIRST, "interval"),
        shot(SECOND, "claim"),
        shot(FILE, "file", "a\x1b[2J.png", "image/png"),
    ]
    stored = StoredRun(tmp_path / "store", [AGENT[0], *shots, *AGENT[2:]], [])
    for data in (FIRST, SECOND, FILE):
        stored.blob(data)
    stored.write()
    return stored


def test_each_picture_is_written_once_and_each_time_it_was_shown_is_listed(
    run: StoredRun, tmp_path: Path
) -> None:
    ended = axiom(run.root, "--screenshots", tmp_path / "out")
    assert ended.exit_code == 0
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == {
        "1-000002-state.webp": FIRST,
        "1-000004-claim.webp": SECOND,
    }
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert [(line[0], line[2], line[4]) for line in lines[:3]] == [
        ("2", "state", "1-000002-state.webp"),
        ("3", "interval", "1-000002-state.webp"),
        ("4", "claim", "1-000004-claim.webp"),
    ]
    assert "\x1b" not in ended.stdout


def test_what_tools_wrote_is_written_on_demand(run: StoredRun, tmp_path: Path) -> None:
    assert "add --original" in axiom(run.root, "--screenshots", tmp_path / "out").stdout
    axiom(run.root, "--screenshots", tmp_path / "out", "--original")
    assert (tmp_path / "out" / "1-000005-file.png").read_bytes() == FILE


def test_pictures_that_are_gone_or_changed_are_told(run: StoredRun, tmp_path: Path) -> None:
    first, second = (hashlib.sha256(data).hexdigest() for data in (FIRST, SECOND))
    (run.root / "blobs/sha256" / first[:2] / first).unlink()
    (run.root / "blobs/sha256" / second[:2] / second).write_bytes(b"another")
    shown = axiom(run.root, "--screenshots", tmp_path / "out").stdout
    assert "gone: " in shown
    assert "DAMAGED" in shown
    assert list((tmp_path / "out").iterdir()) == []


def test_a_run_without_pictures_says_so(tmp_path: Path) -> None:
    StoredRun(tmp_path / "store", AGENT, []).write()
    ended = axiom(tmp_path / "store", "--screenshots", tmp_path / "out")
    assert ended.exit_code == 3
    assert "has no screenshots" in ended.stderr
