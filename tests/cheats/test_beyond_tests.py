"""Criteria other than Tests are not fooled, honest work is not failed by them, and what is known to pass is documented."""

from pathlib import Path

import pytest
from tests.axiom_sandbox.verifying.clean_room import BubblewrapRoom
from tests.axiom_sandbox.verifying.projects import Bench
from tests.cheats.beyond_tests import (
    ACCOUNTS,
    DOCUMENTED_ACCOUNTS,
    DOCUMENTED_STILL,
    HONEST_ACCOUNTS,
    HONEST_IN_ROOM,
    HONEST_STILL,
    IN_ROOM,
    STILL,
    InRoom,
)

from axiom_sandbox.protocol.verdicts import CriterionResult, Verdict


async def _decide(case: InRoom, folder: Path) -> CriterionResult:
    bench = Bench(folder, BubblewrapRoom(folder / "room"))
    return (await bench.verify(case.base, case.work, {"name": "it", **case.criterion})).results[0]


@pytest.mark.parametrize("name", ACCOUNTS)
def test_an_account_of_work_that_was_not_done_does_not_pass(name: str) -> None:
    assert ACCOUNTS[name]().verdict is not Verdict.PASS


@pytest.mark.parametrize("name", HONEST_ACCOUNTS)
def test_an_account_of_honest_work_passes(name: str) -> None:
    found = HONEST_ACCOUNTS[name]()
    assert found.verdict is Verdict.PASS, found.message


@pytest.mark.parametrize("name", DOCUMENTED_ACCOUNTS)
def test_an_account_that_is_documented_as_a_limit_passes(name: str) -> None:
    found = DOCUMENTED_ACCOUNTS[name]()
    assert found.verdict is Verdict.PASS, found.message


@pytest.mark.parametrize("name", STILL)
async def test_what_is_left_behind_does_not_pass_for_work(name: str, tmp_path: Path) -> None:
    found = await _decide(STILL[name], tmp_path)
    assert found.verdict is Verdict.FAIL, found.message


@pytest.mark.parametrize("name", HONEST_STILL)
async def test_honest_work_with_odd_files_passes(name: str, tmp_path: Path) -> None:
    found = await _decide(HONEST_STILL[name], tmp_path)
    assert found.verdict is Verdict.PASS, found.message


@pytest.mark.parametrize("name", DOCUMENTED_STILL)
async def test_what_is_documented_as_a_limit_passes(name: str, tmp_path: Path) -> None:
    found = await _decide(DOCUMENTED_STILL[name], tmp_path)
    assert found.verdict is Verdict.PASS, found.message


@pytest.mark.cheats
@pytest.mark.sandbox
@pytest.mark.parametrize("name", IN_ROOM)
async def test_what_runs_or_is_read_in_a_room_does_not_pass_for_work(name: str, tmp_path: Path) -> None:
    found = await _decide(IN_ROOM[name], tmp_path)
    assert found.verdict is not Verdict.PASS, found.message


@pytest.mark.cheats
@pytest.mark.sandbox
@pytest.mark.parametrize("name", HONEST_IN_ROOM)
async def test_honest_work_in_a_room_passes(name: str, tmp_path: Path) -> None:
    found = await _decide(HONEST_IN_ROOM[name], tmp_path)
    assert found.verdict is Verdict.PASS, found.message
