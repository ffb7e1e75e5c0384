"""Tests that pytest runs: the adapter with the strongest evidence, as their code can be kept apart from what they test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from axiom_sandbox.protocol.changes import EntryKind
from axiom_sandbox.verifying.judging import Side, Source, environment
from axiom_sandbox.verifying.rooms import Place
from axiom_sandbox.verifying.suites.adapters import Adapter
from axiom_sandbox.verifying.suites.configuration import NAMES, configuration_of
from axiom_sandbox.verifying.suites.pinning import Conventions, Pins, name_of, parents

_WORDS = ("async", "anyio", "hypothesis", "mock")
"""Words by whose presence the runner decides which plugins it loads, and what it watches."""
_FIRST = {"hypothesis": "hypothesis", "mock": "unittest.mock"}
"""What such tests rest on: loaded before anything of the workspace can be, so that who replaces its parts is noticed."""
_IMPORTED = (".py", ".so")
_TEXTS = (".py", ".toml", ".ini", ".cfg")
_SETTINGS = frozenset({*NAMES, "conftest.py", "sitecustomize.py", "usercustomize.py"})


def is_test_file(path: str) -> bool:
    """Whether pytest would take this file for tests by its name."""
    name = name_of(path)
    return name.endswith("_test.py") or (name.startswith("test_") and name.endswith(".py"))


class PytestAdapter(Adapter):
    """pytest."""

    name = "pytest"
    tool = "run_pytest.py"
    conventions = Conventions(is_test_file, _SETTINGS, endings=(".pth",))
    suffixes = (".py",)
    may_be_apart = True
    order = ", each in another order"

    def argv(self, place: Place) -> tuple[str, ...]:
        """Not isolated from its environment, which is all ours: isolation would shut out what `environment` adds."""
        return (place.python, "-s", "-B", f"{place.tools}/{self.tool}")

    def environment(self, place: Place) -> dict[str, str]:
        """Sets have one order in every run: tests that are made of one keep their ids."""
        return environment(place) | {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1"}

    def plan(
        self, base: Side, files: Sequence[str], place: Place, layout: Mapping[str, Source], pins: Pins
    ) -> dict[str, Any]:
        """Its configuration, found as it would itself, and where imports are looked for."""
        configuration = configuration_of(base, files)
        folders = {parent for path in layout for parent in parents(path)}
        tops = dict.fromkeys(("", configuration.folder))
        sources = [f"{top}/src".lstrip("/") for top in tops]
        inside = [*configuration.python_path, *(source for source in sources if source in folders), *tops]

        words, own = _words(base, pins), _modules(base.tree.entries)

        def placed(path: str) -> str:
            return f"{place.workspace}/{path}".rstrip("/")

        return {
            "rootdir": placed(configuration.folder),
            "configuration": placed(configuration.path) if configuration.path else "",
            "options": list(configuration.options),
            "path": [placed(path) for path in dict.fromkeys(inside)],
            "words": words,
            "first": [name for word, name in _FIRST.items() if word in words and name not in own],
            "added": sorted(_modules(layout) - own),
            "own": sorted(_offered(base.tree.entries, inside)),
            "links": [path for path, entry in base.tree.entries.items() if entry.kind is EntryKind.SYMLINK],
        }


def _modules(paths: Iterable[str]) -> set[str]:
    """Names of the modules that some files are: `a/b.py`, `a/b/__init__.py` and `a/b.so` are `b`."""
    names = (
        name_of(path.rpartition("/")[0])
        if name_of(path) == "__init__.py"
        else name_of(path).partition(".")[0]
        for path in paths
        if path.endswith(_IMPORTED)
    )
    return {name for name in names if name.isidentifier()}


def _offered(paths: Iterable[str], folders: Iterable[str]) -> set[str]:
    """Names of the modules that can be imported where imports are looked for in some folders."""
    starts = tuple(f"{folder}/".lstrip("/") for folder in folders)
    rests = {path.removeprefix(start) for path in paths for start in starts if path.startswith(start)}
    return _modules(rest for rest in rests - _SETTINGS if "/" not in rest.removesuffix("/__init__.py"))


def _words(base: Side, pins: Pins) -> list[str]:
    texts = [base.files[path] for path in base.files if pins.covers(path) and path.endswith(_TEXTS)]
    return [word for word in _WORDS if any(word.encode() in text for text in texts)]
