"""The leap project: what an honest agent, a lazy one and a broken task come to."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.axiom_sandbox.verifying.projects import BUGGY, HANG, LEAP, LEAP_CRITERION, RIGHT, TESTS, Bench, put

from axiom_sandbox.protocol.events import CriterionChecked, ProcessRan, VerdictReached
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.verifying.rooms import Job, Outcome, RoomError

pytestmark = pytest.mark.sandbox
FIX = put({"src/leap.py": RIGHT})


def leap_criterion(**fields: object) -> dict[str, object]:
    return LEAP_CRITERION | {"tests": LEAP_CRITERION["tests"] | fields}


async def test_an_honest_fix_passes(bench: Bench) -> None:
    found = await bench.verify(LEAP, FIX, LEAP_CRITERION)
    (result,) = found.results
    assert found.verdict is result.verdict is Verdict.PASS
    assert result.strength is Strength.IN_PROCESS
    assert result.message == "3 tests pass in 2 runs, each in another order."


async def test_everything_is_recorded_in_order(bench: Bench) -> None:
    await bench.verify(LEAP, FIX, LEAP_CRITERION, {"name": "scope", "diff": {"allowed": ["src/**"]}})
    assert [type(event) for event in bench.events] == [
        *[ProcessRan] * 3,
        *[CriterionChecked] * 2,
        VerdictReached,
    ]
    assert [event.purpose for event in bench.events[:3]] == [
        "tests on the base", "tests on the candidate", "tests on the candidate",
    ]  # fmt: skip
    evidence = bench.events[3].evidence
    assert evidence["base"]["states"]["tests/test_leap.py::test_1900"] == "Failed"
    assert [set(run["states"].values()) for run in evidence["runs"]] == [{"Passed"}, {"Passed"}]


async def test_each_run_has_its_own_nonce_and_order(bench: Bench) -> None:
    await bench.verify(LEAP, FIX, LEAP_CRITERION)
    assert len({job.feeds["plan"] for job in bench.room.jobs}) == 3


async def test_editing_the_test_instead_fails_and_names_it(bench: Bench) -> None:
    edited = put({"tests/test_leap.py": TESTS.replace("is False", "is True")})
    found = await bench.verify(LEAP, edited, LEAP_CRITERION)
    (result,) = found.results
    assert found.verdict is Verdict.FAIL
    assert "tests/test_leap.py::test_1900 failed: assert True is False" in result.message
    assert "(tests/test_leap.py:5)" in result.message
    assert "The agent changed tests/test_leap.py; the base's version was used." in result.message


async def test_breaking_another_test_fails(bench: Bench) -> None:
    found = await bench.verify(
        LEAP, put({"src/leap.py": "def is_leap(year): return False\n"}), LEAP_CRITERION
    )
    assert found.verdict is Verdict.FAIL
    assert "test_2000 failed" in found.results[0].message


async def test_code_that_cannot_be_imported_fails_with_the_reason(bench: Bench) -> None:
    found = await bench.verify(LEAP, put({"src/leap.py": "def is_leap(year:\n"}), LEAP_CRITERION)
    assert found.verdict is Verdict.FAIL
    assert "SyntaxError" in found.results[0].message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"failToPass": ["tests/test_leap.py::test_2000"], "passToPass": []}, "test_2000 passes on the unchanged base"),
        ({"passToPass": ["tests/test_leap.py::test_1900"], "failToPass": []}, "test_1900 does not pass on the unchanged"),
        ({"failToPass": ["tests/test_leap.py::test_typo"]}, "test_typo is no test of the base"),
        ({"passToPass": ["tests/test_leap.py::test_typo"]}, "test_typo is no test of the base"),
        ({"failToPass": ["tests/test_none.py::test_1900"]}, "no tests/test_none.py"),
    ],
)  # fmt: skip
async def test_a_task_that_proves_nothing_is_inconclusive(bench: Bench, fields, message: str) -> None:
    found = await bench.verify(LEAP, FIX, leap_criterion(**fields))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert message in found.results[0].message


async def test_no_code_of_the_agent_runs_when_the_base_is_not_as_said(bench: Bench) -> None:
    await bench.verify(LEAP, FIX, leap_criterion(failToPass=["tests/test_leap.py::test_typo"]))
    assert len(bench.room.jobs) == 1


async def test_a_base_that_skips_is_inconclusive(bench: Bench) -> None:
    base = LEAP | {"tests/test_leap.py": TESTS.replace("def test_1900", "@skip\ndef test_1900").replace(
        "from leap", "import pytest\nskip = pytest.mark.skip('not now')\nfrom leap")}  # fmt: skip
    found = await bench.verify(base, FIX, LEAP_CRITERION)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "test_1900 is skipped on the unchanged base (Skipped: not now)" in found.results[0].message


SKIPPING = """\
import pytest
import leap


def test_a():
    if getattr(leap, "IS_EASY", False):
        pytest.skip("easy")


def test_b():
    pytest.skip("not now")


@pytest.mark.xfail
def test_c():
    assert False
"""
"""Tests of which the base skips all but the first."""


async def test_what_the_base_skips_of_a_file_counts_neither_way(bench: Bench) -> None:
    criterion = leap_criterion(passToPass=["tests/test_more.py"])
    found = await bench.verify(LEAP | {"tests/test_more.py": SKIPPING}, FIX, criterion)
    assert found.verdict is Verdict.PASS, found.results[0].message
    assert "but for 2 that the base skips." in found.results[0].message


async def test_what_the_base_does_not_skip_may_not_be_skipped(bench: Bench) -> None:
    criterion = leap_criterion(passToPass=["tests/test_more.py"])
    easy = put({"src/leap.py": f"{RIGHT}\n\nIS_EASY = True\n"})
    found = await bench.verify(LEAP | {"tests/test_more.py": SKIPPING}, easy, criterion)
    assert found.verdict is Verdict.FAIL
    assert "was skipped, which does not count as passed: Skipped: easy (tests/test_more.py::test_a)" in (
        found.results[0].message
    )


@pytest.mark.parametrize("test_id", ["tests/test_more.py::test_b", "tests/test_none.py"])
async def test_an_id_of_which_the_base_skips_all_proves_nothing(bench: Bench, test_id: str) -> None:
    base = LEAP | {
        "tests/test_more.py": SKIPPING,
        "tests/test_none.py": SKIPPING.replace("def test_a", "def a"),
    }
    found = await bench.verify(base, FIX, leap_criterion(passToPass=["tests/test_more.py", test_id]))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert f"{test_id} does not pass on the unchanged base" in found.results[0].message


async def test_a_base_that_pytest_itself_is_made_of_is_inconclusive(bench: Bench) -> None:
    base = LEAP | {
        "src/pluggy/__init__.py": "class PluginManager: ...\n",
        "tests/test_own.py": "import pluggy\n\n\ndef test_own():\n    assert pluggy.PluginManager\n",
    }
    broken = put({"src/pluggy/__init__.py": "raise SystemError\n"})
    found = await bench.verify(
        base, broken, leap_criterion(failToPass=[], passToPass=["tests/test_own.py::test_own"])
    )
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "pluggy is part of what runs them, and not the workspace's. Decide" in found.results[0].message


async def test_a_base_of_which_pytest_needs_the_image_s_version_only_now_and_then_is_decided(
    bench: Bench,
) -> None:
    base = {
        "pytest.ini": "[pytest]\nminversion = 7\n",
        "src/packaging/__init__.py": "NAME = 'theirs'\n",
        "tests/test_own.py": "import packaging\n\n\ndef test_own():\n    assert packaging.NAME == 'ours'\n",
    }
    fix = put({"src/packaging/__init__.py": "NAME = 'ours'\n"})
    found = await bench.verify(
        base, fix, leap_criterion(failToPass=["tests/test_own.py::test_own"], passToPass=[])
    )
    assert found.verdict is Verdict.PASS


async def test_a_base_whose_hooks_pytest_refuses_says_what_is_wrong_with_them(bench: Bench) -> None:
    base = LEAP | {"tests/conftest.py": "def pytest_collect_file(no_such_thing): ...\n"}
    found = await bench.verify(base, FIX, LEAP_CRITERION)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "{'no_such_thing'} are declared in the hookimpl" in found.results[0].message


async def test_a_base_that_hangs_is_inconclusive(bench: Bench) -> None:
    base = LEAP | {"src/leap.py": f"{HANG}\n{BUGGY}"}
    found = await bench.verify(base, FIX, LEAP_CRITERION)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "Raise the criterion's timeout" in found.results[0].message


async def test_tests_that_hang_before_and_after_are_inconclusive(bench: Bench) -> None:
    hang = {"src/leap.py": f"def is_leap(year):\n    {HANG}\n"}
    criterion = leap_criterion(passToPass=[])
    found = await bench.verify(LEAP | hang, put({"src/leap.py": hang["src/leap.py"] + "\n"}), criterion)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "neither on the unchanged base nor now" in found.results[0].message


async def test_a_configuration_that_pytest_refuses_is_inconclusive(bench: Bench) -> None:
    found = await bench.verify(
        LEAP | {"pytest.ini": "[pytest]\naddopts = --no-such-option\n"}, FIX, LEAP_CRITERION
    )
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "--no-such-option" in found.results[0].message


async def test_results_that_differ_between_two_runs_are_inconclusive(bench: Bench) -> None:
    found = await bench.verify(LEAP, put({"src/leap.py": RIGHT}), LEAP_CRITERION)
    assert found.verdict is Verdict.PASS
    bench.room.before = lambda job: (
        (bench.room.tree / "src/leap.py").write_text(BUGGY) if len(bench.room.jobs) == 6 else None
    )
    found = await bench.again(LEAP_CRITERION)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "2 runs disagree" in found.results[0].message


@pytest.mark.parametrize(
    ("broken", "verdict"), [({2, 3, 4}, Verdict.INCONCLUSIVE), ({2, 3, 4, 5}, Verdict.FAIL)]
)
async def test_a_test_of_the_base_that_fails_by_luck_twice_does_not_fail_honest_work(
    bench: Bench, broken: set[int], verdict: Verdict
) -> None:
    unlucky = "def is_leap(year):\n    return year % 4 == 0 and year % 100 != 0\n"
    bench.room.before = lambda job: (
        (bench.room.tree / "src/leap.py").write_text(unlucky) if len(bench.room.jobs) in broken else None
    )
    found = await bench.verify(LEAP, FIX, LEAP_CRITERION)
    assert (found.verdict, len(bench.room.jobs)) == (verdict, 5), found.results[0].message


async def test_the_base_is_checked_once_for_criteria_that_ask_the_same(bench: Bench) -> None:
    await bench.verify(LEAP, FIX, LEAP_CRITERION, LEAP_CRITERION | {"name": "again"})
    assert len(bench.room.jobs) == 5


async def test_the_base_is_checked_before_any_code_of_the_agent_runs(bench: Bench) -> None:
    command = {"name": "command", "command": {"argv": ["true"]}}
    await bench.verify(LEAP, FIX, command, LEAP_CRITERION)
    assert [job.purpose for job in bench.room.jobs][:2] == ["tests on the base", "command on the candidate"]


@pytest.mark.parametrize(
    ("python", "message"),
    [("/usr/bin/python3", "pytest is not installed"), ("/none/python3", "could not be started")],
)
async def test_an_image_without_what_tests_need_is_inconclusive(
    bench: Bench, python: str, message: str
) -> None:
    bench.room.python = python
    found = await bench.verify(LEAP, FIX, LEAP_CRITERION)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert message in found.results[0].message


async def test_a_room_that_fails_is_inconclusive(bench: Bench) -> None:
    async def run(job: Job) -> Outcome:
        raise RoomError("the launcher is gone")

    bench.room.run = run
    found = await bench.verify(LEAP, FIX, LEAP_CRITERION, {"name": "scope", "diff": {}})
    assert [result.verdict for result in found.results] == [Verdict.INCONCLUSIVE, Verdict.PASS]
    assert found.results[0].message == "The clean room failed: the launcher is gone"


async def test_a_runner_that_is_not_ours_is_inconclusive(bench: Bench) -> None:
    path = bench.room.tools_folder / "run_pytest.py"
    path.write_text(path.read_text() + "\n")
    found = await bench.verify(LEAP, FIX, LEAP_CRITERION)
    assert found.verdict is Verdict.INCONCLUSIVE


async def test_archives_that_do_not_belong_together_are_inconclusive(bench: Bench, tmp_path: Path) -> None:
    await bench.verify(LEAP, FIX, {"name": "scope", "diff": {}})
    other = replace(bench, folder=tmp_path / "other")
    other.folder.mkdir()
    await other.verify(LEAP | {"README.md": "other"}, FIX, {"name": "scope", "diff": {}})
    (other.folder / "base.tar.zst").rename(bench.folder / "base.tar.zst")
    found = await bench.again({"name": "scope", "diff": {}})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "captured against another base" in found.results[0].message


async def test_what_tests_need_and_is_not_installed_is_said_with_its_cure(bench: Bench) -> None:
    base = LEAP | {"tests/test_more.py": "import no_such_thing\n\n\ndef test_a():\n    pass\n"}
    found = await bench.verify(base, FIX, leap_criterion(passToPass=["tests/test_more.py::test_a"]))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "No module named 'no_such_thing'" in found.results[0].message
    assert "in the Python that runs axiom." in found.results[0].message


async def test_code_that_denies_permissions_by_mistake_fails_as_any_other(bench: Bench) -> None:
    denying = 'def is_leap(year):\n    raise PermissionError(13, "Permission denied")\n'
    found = await bench.verify(
        LEAP | {"src/leap.py": denying},
        put({"src/leap.py": f"# later\n{denying}"}),
        leap_criterion(passToPass=[]),
    )
    assert found.verdict is Verdict.FAIL
    assert "Permission denied" in found.results[0].message
