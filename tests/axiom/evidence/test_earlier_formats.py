"""Evidence that earlier versions stored is proven, replayed, found and reported by this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from axiom.cli.main import app

FORMATS = Path(__file__).parents[2] / "fixtures" / "evidence"
NAMES = {"1": "first", "2": "second"}


def axiom(*words: object) -> str:
    ended = CliRunner().invoke(app, [str(word) for word in words])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_every_format_has_its_evidence() -> None:
    assert {path.name for path in FORMATS.iterdir() if path.is_dir()} == NAMES.keys()


@pytest.mark.parametrize("version", sorted(NAMES))
def test_what_was_stored_is_still_read(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = FORMATS / version
    proofs = json.loads(axiom("ledger", "verify", folder, "--json"))
    assert len(proofs["ledgers"]) == 2
    assert all(proof["whole"] and proof["witnessed"] for proof in proofs["ledgers"])
    assert "Make it pass." in axiom("ledger", "show", folder, "--slot", "agent")
    assert axiom("replay", folder, "--print") == f"seen in version {version}\n"
    assert "test_1900 failed" in axiom("ledger", "export", folder, "--format", "markdown")
    assert NAMES[version] in axiom("history", "--from", folder)
    axiom("gc", folder, "--dry-run")
    if version != "1":
        assert axiom("replay", folder, "--files").startswith("Modified src/leap.py")
