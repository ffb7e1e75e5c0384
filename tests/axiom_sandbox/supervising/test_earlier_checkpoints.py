"""Checkpoints that earlier versions stored can be gone on from by this one."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from axiom_sandbox.protocol.checkpoints import VERSION, PartName
from axiom_sandbox.snapshots.archives import digest_of
from axiom_sandbox.supervising.restoring import RestoreError, parts_missing, read_manifest, restore

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


def spoilt(tmp_path: Path, **change: Any) -> tuple[Path, str]:
    """A copy of a checkpoint whose manifest says something else, under the digest that it then has."""
    parts = tmp_path / "parts"
    shutil.copytree(FORMATS / "1" / "parts", parts)
    digest = (FORMATS / "1" / "manifest").read_text().strip()
    body = {**json.loads((parts / digest).read_text()), **change}
    (parts / "bad").write_text(json.dumps(body))
    bad = digest_of(parts / "bad")
    (parts / "bad").rename(parts / bad)
    return parts, bad


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 99}, "another version"),
        ({"workspace": {"base": "0" * 64, "fingerprint": "x"}}, "another base"),
        ({"parts": []}, "no part"),
        ({"round": "x"}, "cannot be read: round"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    parts, digest = spoilt(tmp_path, **change)
    with pytest.raises(RestoreError, match=why):
        restore(parts, digest, FORMATS / "1" / "base.tar.zst", tmp_path, tmp_path)


@pytest.mark.parametrize("name", [name for name in PartName if name is not PartName.SCREEN])
def test_a_part_that_is_missing_or_damaged_is_noticed_before_anything_is_written(
    tmp_path: Path, name: PartName
) -> None:
    parts, digest = spoilt(tmp_path)
    part = read_manifest((parts / digest).read_bytes()).part(name)
    assert part is not None
    kept = tmp_path / "workspace" / "kept"
    kept.parent.mkdir()
    kept.touch()
    for spoil, why in ((lambda file: file.write_bytes(b"x"), "damaged"), (Path.unlink, "missing")):
        spoil(parts / part.digest)
        with pytest.raises(RestoreError, match=why):
            restore(parts, digest, FORMATS / "1" / "base.tar.zst", kept.parent, tmp_path)
        assert kept.exists()
