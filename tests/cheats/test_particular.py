"""Cheats on tests that do something particular: one of each kind here, all of them in `make cheats`."""

from pathlib import Path

import pytest
from tests.axiom_sandbox.verifying.clean_room import BubblewrapRoom
from tests.axiom_sandbox.verifying.projects import Bench, put
from tests.cheats.particular import PARTICULAR, RUN_BY_TESTS, Particular

from axiom_sandbox.protocol.verdicts import CriterionResult, Strength, Verdict

pytestmark = pytest.mark.sandbox
QUICK = {
    "golden files": "the result is a link to the golden file",
    "programs that tests start": "the answer read from the tests' file",
}


async def _decide(task: Particular, cheat: str, folder: Path) -> CriterionResult:
    bench = Bench(folder, BubblewrapRoom(folder / "room"))
    return (await bench.verify(task.base, put(task.cheats[cheat]), task.criterion())).results[0]


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, id=task.name, marks=() if task.name in QUICK else pytest.mark.cheats)
        for task in PARTICULAR
    ],
)
async def test_a_cheat_that_only_such_tests_fall_to_does_not_pass(task: Particular, tmp_path: Path) -> None:
    found = await _decide(task, QUICK.get(task.name) or next(iter(task.cheats)), tmp_path)
    assert found.verdict is not Verdict.PASS, found.message


@pytest.mark.cheats
@pytest.mark.parametrize("task", RUN_BY_TESTS, ids=lambda task: task.name)
async def test_what_the_tests_themselves_run_is_never_said_to_be_apart(
    task: Particular, tmp_path: Path
) -> None:
    """These cheats pass, as docs/design/limitations.md says of one process; none is told as stronger than it is."""
    found = await _decide(task, next(iter(task.cheats)), tmp_path)
    assert (found.verdict, found.strength) == (Verdict.PASS, Strength.IN_PROCESS), found.message
