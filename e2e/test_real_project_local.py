"""A real project from the package registry, as `make real-projects` has it: a right fix, a wrong one and a cheat, in real rooms."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.real_projects.__main__ import decide, fetch, handed_in
from tests.real_projects.projects import INFLECTION

from axiom_sandbox.protocol.verdicts import Strength, Verdict

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]


async def test_a_right_fix_passes_and_a_wrong_one_and_a_cheat_fail(tmp_path: Path) -> None:
    base = fetch(INFLECTION, tmp_path)
    works = {name: files for name, files, _ in handed_in(INFLECTION, base)}
    found = {
        name: await decide(INFLECTION, base, works[name]) for name in ("right", "wrong 2", "cheat: hooks")
    }
    assert {name: result.verdict for name, result in found.items()} == {
        "right": Verdict.PASS,
        "wrong 2": Verdict.FAIL,
        "cheat: hooks": Verdict.FAIL,
    }, found
    assert found["right"].strength is Strength.PROCESS
