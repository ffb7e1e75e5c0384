"""The git repository that tasks are tried on: the files of `leap.files/` as one commit, with the same hash everywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

REVISION = "56b336fc732ee535f8caabefa07750c6d1cd1c18"
"""Hash of the one commit; `leap-task.yaml` names it too."""

FILES = (
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "src/leap/__init__.py",
    "src/leap/months.py",
    "src/leap/years.py",
    "tests/test_leap.py",
    "tests/test_months.py",
)

_AUTHOR = {"NAME": "A. Lilius", "EMAIL": "lilius@leap.example", "DATE": "2026-01-01T12:00:00+0000"}


def make_leap_repository(path: Path) -> str:
    """Make the repository in `path`, which must not exist or be empty, and return the hash of its commit."""
    for name in FILES:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((Path(__file__).parent / "leap.files" / name).read_bytes())
        file.chmod(0o644)
    _git(path, "init", "--quiet", "--initial-branch=main", "--object-format=sha1", "--template=")
    _git(path, "add", "--", *FILES)
    _git(path, "commit", "--quiet", "--no-gpg-sign", "--message=Functions of the Gregorian calendar")
    return _git(path, "rev-parse", "HEAD").strip()


def _git(path: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _AUTHOR.items()},
    }
    return subprocess.run(
        ["git", *arguments], cwd=path, env=environment, check=True, capture_output=True, text=True
    ).stdout
