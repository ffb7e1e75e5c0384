"""Checkpoints that earlier versions stored can be gone on from by this one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from axiom_sandbox.protocol.checkpoints import VERSION, PartName
from axiom_sandbox.supervising.restoring import parts_missing, restore

FORMATS = Path(__file__).parents[2] / "fixtures" / "checkpoints"


def test_every_format_has_its_checkpoint() -> None:
    assert {path.name for path in FORMATS.iterdir() if path.is_dir()} == {
        str(number) for number in range(1, VERSION + 1)
    }


@pytest.mark.parametrize("version", [str(number) for number in range(1, VERSION + 1)])
def test_what_was_kept_is_put_in_place(version: str, tmp_path: Path) -> None:
    folder, workspace, home = FORMATS / version, tmp_path / "workspace", tmp_path / "home"
    workspace.mkdir()
    home.mkdir()
    (workspace / "left over").touch()
    digest = (folder / "manifest").read_text().strip()
    assert not parts_missing(folder / "parts", digest)
    manifest = restore(folder / "parts", digest, folder / "base.tar.zst", workspace, home)
    assert (manifest.number, manifest.last_prompt) == (1, "p")
    assert manifest.part(PartName.TERMINAL) is not None
    names = {os.fsencode(path.name) for path in workspace.iterdir()}
    assert names == {b"src", b"empty", b"again.py", b"link", b"holes", b"odd\n\xff"}
    leap = (workspace / "src" / "leap.py").stat()
    assert (stat.S_IMODE(leap.st_mode), leap.st_mtime, leap.st_nlink) == (0o750, 1e9, 2)
    assert leap.st_ino == (workspace / "again.py").stat().st_ino
    assert (workspace / "link").readlink() == Path("../elsewhere")
    assert (workspace / "holes").read_bytes()[1 << 19 :][:6] == b"middle"
    assert (home / ".claude" / "session").read_text() == "{}\n"
