"""Tests that pytest runs: the adapter with the strongest evidence, as their code can be kept apart from what they test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axiom_sandbox.verifying.judging import Side, Source
from axiom_sandbox.verifying.rooms import Place
from axiom_sandbox.verifying.suites.adapters import Adapter
from axiom_sandbox.verifying.suites.configuration import NAMES, configuration_of
from axiom_sandbox.verifying.suites.pinning import Conventions, Pins, name_of, parents

_WORDS = ("async", "anyio", "hypothesis")
"""Words by whose presence the runner decides which plugins it loads."""
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

    def plan(
        self, base: Side, files: Sequence[str], place: Place, layout: Mapping[str, Source], pins: Pins
    ) -> dict[str, Any]:
        """Its configuration, found as it would itself, and where imports are looked for."""
        configuration = configuration_of(base, files)
        folders = {parent for path in layout for parent in parents(path)}
        tops = dict.fromkeys(("", configuration.folder))
        sources = [f"{top}/src".lstrip("/") for top in tops]
        inside = [*configuration.python_path, *(source for source in sources if source in folders), *tops]

        def placed(path: str) -> str:
            return f"{place.workspace}/{path}".rstrip("/")

        return {
            "rootdir": placed(configuration.folder),
            "configuration": placed(configuration.path) if configuration.path else "",
            "options": list(configuration.options),
            "path": [placed(path) for path in dict.fromkeys(inside)],
            "words": _words(base, pins),
        }


def _words(base: Side, pins: Pins) -> list[str]:
    texts = [base.files[path] for path in base.files if pins.covers(path) and path.endswith(_TEXTS)]
    return [word for word in _WORDS if any(word.encode() in text for text in texts)]
