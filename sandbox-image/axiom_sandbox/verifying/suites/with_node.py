"""Tests that Node.js's own runner (`node --test`) runs. They share a process with the code under test."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from axiom_sandbox.verifying.judging import Side, Source
from axiom_sandbox.verifying.rooms import Place
from axiom_sandbox.verifying.suites.adapters import RelayedAdapter
from axiom_sandbox.verifying.suites.pinning import Conventions, Pins, name_of, parents

CODE = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx")
_TEST = re.compile(r"(^|[._-])(test|spec)\.[cm]?[jt]sx?$|^test-[^/]*\.[cm]?[jt]sx?$")
SETTINGS = frozenset({"package.json", "package-lock.json", ".npmrc", "tsconfig.json", "node.config.json"})
FOLDERS = frozenset({"test", "tests", "__tests__"})
OWNED = frozenset({"node_modules", "__snapshots__", "__fixtures__"})


def is_test_file(path: str) -> bool:
    """Whether runners of JavaScript take a file for tests by its name: `leap.test.js`, `leap.spec.ts`, `test-leap.mjs`."""
    return bool(_TEST.search(name_of(path)))


def modules(layout: Mapping[str, Source], pins: Pins) -> list[str]:
    """Code that is pinned, and belongs to nobody else: what may register tests."""
    return [
        path
        for path in layout
        if path.endswith(CODE) and pins.covers(path) and "node_modules" not in map(name_of, parents(path))
    ]


class NodeAdapter(RelayedAdapter):
    """`node --test`."""

    name = "node --test"
    tool = "run_node.py"
    parts = ("relay.py", "run_pytest.py", "witness.cjs", "node_witness.mjs")
    conventions = Conventions(
        is_test_file, SETTINGS, endings=(".snapshot",), folders=FOLDERS, owned=OWNED, code=CODE
    )
    suffixes = CODE

    def plan(
        self, base: Side, files: Sequence[str], place: Place, layout: Mapping[str, Source], pins: Pins
    ) -> dict[str, Any]:
        """Whose code may register tests."""
        return {"modules": modules(layout, pins)}
