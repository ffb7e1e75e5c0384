"""Tests that Jest runs. They share a process with the code under test, and what watches them is in another realm of it."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from axiom_sandbox.verifying.judging import Side, Source
from axiom_sandbox.verifying.rooms import Place
from axiom_sandbox.verifying.suites.adapters import RelayedAdapter
from axiom_sandbox.verifying.suites.pinning import Conventions, Pins, parents
from axiom_sandbox.verifying.suites.with_node import CODE, FOLDERS, OWNED, SETTINGS, is_test_file, modules

_CONFIGURATIONS = tuple(f"jest.config.{end}" for end in ("js", "ts", "mjs", "cjs", "mts", "cts", "json"))
_BABEL = frozenset(
    {f"babel.config.{end}" for end in ("js", "cjs", "mjs", "json", "cts", "ts")}
    | {".babelrc", ".browserslistrc", ".swcrc"}
    | {f".babelrc.{end}" for end in ("js", "cjs", "mjs", "json", "cts")}
)
_SETUPS = frozenset(
    f"{name}.{end}"
    for name in ("jest.setup", "jest-setup", "setupTests")
    for end in ("js", "ts", "mjs", "cjs")
)

_SET_UP = re.compile(
    r"""["']?\b(?:setupFiles|setupFilesAfterEnv|snapshotSerializers)\b["']?\s*:\s*(\[[^\]]*\]|["'`][^"'`]*["'`])"""
)
_STRING = re.compile(r"""["'`]([^"'`]+)["'`]""")
_ROOT = re.compile(r"""\brootDir\b["']?\s*:\s*["'`]([^"'`]+)["'`]""")


class JestAdapter(RelayedAdapter):
    """Jest."""

    name = "Jest"
    tool = "run_jest.py"
    parts = ("run_node.py", "relay.py", "run_pytest.py", "witness.cjs", "jest_witness.cjs")
    conventions = Conventions(
        is_test_file,
        SETTINGS | _BABEL | _SETUPS | frozenset(_CONFIGURATIONS),
        endings=(".snap",),
        folders=FOLDERS,
        owned=OWNED | {"__mocks__"},
        code=CODE,
    )
    suffixes = CODE

    def set_up_by(self, base: Side, files: Sequence[str]) -> Iterator[str]:
        """What a configuration, as text, names under `setupFiles` and its like, by paths that it spells out."""
        config, folder = configuration_of(base, files)
        text = base.files.get(config, b"").decode(errors="replace")
        root = found[1] if (found := _ROOT.search(text)) else ""
        roots = (folder, posixpath.join(folder, root))
        for named in _SET_UP.findall(text):
            for name in _STRING.findall(named):
                inside = name.replace("<rootDir>", ".")
                if not inside.startswith("."):
                    continue  # a module of node_modules, which is the base's anyway
                paths = [posixpath.normpath(posixpath.join(one, inside)) for one in roots]
                yield from (path + end for path in paths for end in ("", *CODE) if path + end in base.files)

    def plan(
        self, base: Side, files: Sequence[str], place: Place, layout: Mapping[str, Source], pins: Pins
    ) -> dict[str, Any]:
        """Whose code may register tests, and the base's configuration."""
        config, root = configuration_of(base, files)
        return {
            "modules": modules(layout, pins),
            "config": f"{place.workspace}/{config}" if config else "",
            "root": root,
        }


def configuration_of(base: Side, files: Sequence[str]) -> tuple[str, str]:
    """The nearest configuration above all files of tests, and its folder; without one, the nearest package's folder. Pure."""
    above = [*parents(f"{posixpath.commonpath([posixpath.dirname(file) or '.' for file in files])}/x")]
    folders = [folder for folder in reversed(above) if folder != "."] + [""]
    package = ""
    for folder in folders:
        for name in (*_CONFIGURATIONS, "package.json"):
            path = posixpath.join(folder, name)
            if path not in base.files:
                continue
            if name != "package.json":
                return path, folder
            package = package or folder
            if _has_jest(base.files[path]):
                return path, folder
    return "", package


def _has_jest(text: bytes) -> bool:
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and "jest" in found
