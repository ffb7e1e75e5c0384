"""Which file of the base configures pytest for some tests, found as pytest finds it. Pure.

The runner is told the answer, so that pytest does not look for itself, neither among what the agent wrote nor above
the workspace.
"""

from __future__ import annotations

import configparser
import os
import posixpath
import shlex
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from axiom_sandbox.verifying.judging import Side

NAMES = (
    "pytest.toml",
    ".pytest.toml",
    "pytest.ini",
    ".pytest.ini",
    "pyproject.toml",
    "tox.ini",
    "setup.cfg",
)
"""Files in which pytest looks for its configuration, the first first."""


@dataclass(frozen=True)
class Configuration:
    """How pytest is configured."""

    path: str = ""
    """The file, inside the workspace; empty: none."""
    folder: str = ""
    """pytest's rootdir, inside the workspace; empty: the workspace itself."""
    options: tuple[str, ...] = ()
    """Its `addopts`."""
    python_path: tuple[str, ...] = ()
    """Its `pythonpath`, inside the workspace; what points elsewhere is left out."""


def configuration_of(base: Side, files: Iterable[str]) -> Configuration:
    """The nearest configuration above all test files."""
    for folder in _upwards([posixpath.dirname(file) for file in files]):
        for name in NAMES:
            path = posixpath.join(folder, name)
            if path not in base.tree.entries or path not in base.files:
                continue
            settings = _settings(name, base.files[path].decode("utf-8", "replace"))
            if settings is not None:
                return Configuration(
                    path,
                    folder,
                    _words(settings.get("addopts", "")),
                    tuple(_inside(folder, _words(settings.get("pythonpath", "")))),
                )
    return Configuration()


def _upwards(folders: list[str]) -> Iterator[str]:
    folder = os.path.commonpath(folders) if folders else ""
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
    yield ""


def _settings(name: str, text: str) -> dict[str, Any] | None:
    """pytest's part of a file; None: the file has none. A broken file counts: pytest will say what is wrong."""
    if name.endswith(".toml"):
        return _toml_settings(name, text)
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    section = "tool:pytest" if name == "setup.cfg" else "pytest"
    if parser.has_section(section):
        return dict(parser[section])
    return {} if name.endswith("pytest.ini") else None


def _toml_settings(name: str, text: str) -> dict[str, Any] | None:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
    if name.endswith("pytest.toml"):
        found = content.get("pytest", {})
    else:
        tool = content.get("tool", {}).get("pytest")
        found = None if tool is None else tool.get("ini_options", tool)
    return found if found is None or isinstance(found, dict) else {}


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(part) for part in value)
    try:
        return tuple(shlex.split(str(value)))
    except ValueError:
        return ()


def _inside(folder: str, paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        found = posixpath.normpath(posixpath.join(folder, path))
        if not found.startswith(("/", "..")):
            yield "" if found == "." else found
