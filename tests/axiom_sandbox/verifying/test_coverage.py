"""Coverage thresholds: what the tests must run of all lines, and of those that the agent changed."""

import pytest
from tests.axiom_sandbox.verifying.projects import Bench, put

from axiom_sandbox.protocol.events import CriterionChecked
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.verifying.filling import DirectoryFiles
from axiom_sandbox.verifying.judging import Side
from axiom_sandbox.verifying.suites.coverage import Share, in_total, of_changes
from axiom_sandbox.verifying.suites.reports import CoveredFile

OLD = "def sign(n):\n    return 0\n"
SIGN = """\
def sign(n):
    if n > 0:
        return 1
    if n < 0:
        return -1
{}    return 0
"""
TESTS = (
    "from numbers_ import sign\ndef test_more(): assert sign(5) == 1\ndef test_none(): assert sign(0) == 0\n"
)
BASE = {"numbers_.py": OLD, "tests/test_sign.py": TESTS}
EXTRA = "    if n == 9:\n        x = 1\n        y = 2\n        return x + y\n"


def criterion(isolation: str, **least: int) -> dict[str, object]:
    ids = {"failToPass": ["tests/test_sign.py::test_more"], "passToPass": ["tests/test_sign.py::test_none"]}
    return {"name": "tests", "tests": {**ids, "isolation": isolation, **least}}


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("isolation", "extra", "percent", "expected"),
    [
        ("Process", "", 83, Verdict.PASS),
        ("InProcess", EXTRA, 60, Verdict.FAIL),
        pytest.param("InProcess", "", 83, Verdict.PASS, marks=pytest.mark.cheats),
        pytest.param("Process", EXTRA, 60, Verdict.FAIL, marks=pytest.mark.cheats),
    ],
)
async def test_80_percent_are_asked_for(
    bench: Bench, isolation: str, extra: str, percent: int, expected: Verdict
) -> None:
    found = await bench.verify(
        BASE, put({"numbers_.py": SIGN.format(extra)}), criterion(isolation, minCoveragePercent=80)
    )
    (result,) = found.results
    assert result.verdict is expected, result.message
    assert result.strength is Strength.IN_PROCESS
    (checked,) = [event for event in bench.events if isinstance(event, CriterionChecked)]
    assert [run["total"] for run in checked.evidence["coverage"]] == [percent, percent]
    if expected is Verdict.FAIL:
        assert (
            "The tests run 60% of all lines, and 80% are asked for. Not run: numbers_.py:5" in result.message
        )


@pytest.mark.sandbox
@pytest.mark.cheats
async def test_changed_lines_alone_may_be_asked_for(bench: Bench) -> None:
    base = BASE | {"old.py": "def unused():\n" + "    x = 1\n" * 50}
    work = put({"numbers_.py": SIGN.format("")})
    asked = criterion("Auto", minChangedCoveragePercent=70)
    assert (await bench.verify(base, work, asked)).verdict is Verdict.PASS
    in_all = await bench.again(criterion("Auto", minCoveragePercent=70))
    assert in_all.verdict is Verdict.FAIL


def covered(lines: set[int], ran: set[int]) -> CoveredFile:
    return CoveredFile(lines=frozenset(lines), ran=frozenset(ran))


def test_lines_without_code_count_for_nothing() -> None:
    found = in_total({"a.py": covered({1, 2, 4, 7}, {1, 3, 7}), "b.py": covered(set(), set())})
    assert found == Share(2, 4, ("a.py:2-4",))
    assert found.percent == 50
    assert Share().percent == 100


def test_only_new_lines_are_changed_ones(tmp_path) -> None:
    from axiom_sandbox.snapshots import scan

    def side(name: str, text: str) -> Side:
        put({f"{name}/a.py": text})(tmp_path)
        tree = scan(tmp_path / name)
        return Side(tree, DirectoryFiles(tree, tmp_path / name))

    base, candidate = side("base", "one\ntwo\nthree\n"), side("candidate", "one\nnew\nthree\nmore\n")
    found = of_changes({"a.py": covered({1, 2, 3, 4}, {1, 2, 3})}, base, candidate)
    assert found == Share(1, 2, ("a.py:4",))
