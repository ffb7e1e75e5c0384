"""Files that are put in place whole."""

from __future__ import annotations

import os
from pathlib import Path

from axiom_sandbox.durable import replace_durably


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    replace_durably(tmp_path / "f", b"old")
    replace_durably(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_file_is_for_its_owner_alone_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        replace_durably(tmp_path / "own", b"")
        replace_durably(tmp_path / "shared", b"", 0o640)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("own", "shared")] == [0o600, 0o640]


def test_what_a_crash_left_of_another_try_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "f.tmp").write_bytes(b"longer than what follows")
    replace_durably(tmp_path / "f", b"short")
    assert (tmp_path / "f").read_bytes() == b"short"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
