"""Faults in the functions that an agent changed: which are made, and what it says if tests notice them or do not."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.axiom_sandbox.verifying.projects import LEAP, LEAP_CRITERION, RIGHT, Bench, put

from axiom_sandbox.protocol.events import CriterionChecked, ProcessRan
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.verifying.suites.mutating import Sample, sample_of

TEST = "tests/test_more.py"
CAREFUL = """\
import pytest
from leap import is_leap


@pytest.mark.parametrize("year", [1, 4, 5, 100, 101, 202, 400, 401, 404, 500, 808, 1900, 2000, 2001])
def test_every_year(year):
    import calendar
    assert is_leap(year) is calendar.isleap(year)
"""
LOOKS_AT_TEXT = """\
import hashlib, inspect, leap


def test_the_text():
    assert hashlib.sha256(inspect.getsource(leap).encode()).hexdigest() == {digest!r}
"""
LOOKS_AT_CODE = """\
import leap


def test_the_code():
    assert hash(leap.is_leap.__code__.co_code) and leap.is_leap.__code__.co_names == ()
    assert leap.is_leap.__code__.co_varnames == ("year",)
"""


def faults(text: str, before: str = "", most: int = 1000) -> Sample:
    return sample_of((("a.py", before.encode(), text.encode()),), most, b"seed")


def what(text: str, before: str = "") -> set[str]:
    return {mutant.what for mutant in faults(text, before).mutants}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return a < b", ["`a < b` became `(a <= b)`", "`a < b` became `(a >= b)`", "`return a < b` became `return None`"]),
        ("return a == b", ["`a == b` became `(a != b)`"]),
        ("return a in b", ["`a in b` became `(a not in b)`"]),
        ("return a + b", ["`a + b` became `(a - b)`"]),
        ("return a and b", ["`a and b` became `(a or b)`"]),
        ("return not a", ["`not a` became `(a)`"]),
        ("return 7", ["`7` became `8`"]),
        ("return True", ["`True` became `False`"]),
        ("return 'x'", ["`'x'` became `''`"]),
        ("a.add(b)", ["`a.add(b)` became `pass`"]),
        ("a += b", ["`a += b` became `a -= b`", "`a += b` became `pass`"]),
        ("a[0] = b", ["`a[0] = b` became `pass`"]),
        ("raise a", ["`raise a` became `pass`"]),
        ("if a: b()", ["`a` became `(not a)`"]),
        ("for x in a: break", ["`break` became `continue`"]),
    ],
)  # fmt: skip
def test_each_kind_of_fault_is_made(body: str, expected: list[str]) -> None:
    assert set(expected) <= what(f"def f(a, b):\n    {body}\n")


def test_only_functions_that_were_changed_get_faults() -> None:
    before = "def old(a):\n    return a + 1\n\n\nclass C:\n    def kept(self): return 1\n    def new(self): return 1\n"
    after = before.replace("new(self): return 1", "new(self): return 2").replace(
        "return a + 1", "# why\n    return (a + 1)"
    )
    found = faults(after, before)
    assert found.functions == 1
    assert {mutant.line for mutant in found.mutants} == {8}
    assert faults(before, before).mutants == ()
    assert faults("LIMIT = 3\n").mutants == ()


def test_texts_that_say_nothing_get_none() -> None:
    assert what('def f(a: "int") -> "int":\n    """Docs."""\n    x: "int" = a\n    return f"{a + 1}"\n') == {
        "`return f'{a + 1}'` became `return None`"
    }


def test_each_fault_is_one_change_of_one_file_at_its_line() -> None:
    text = "def f(a):\n    if a > 1:\n        return 'é' + a\n    return a\n"
    for mutant in faults(text).mutants:
        assert ast.dump(ast.parse(mutant.text)) != ast.dump(ast.parse(text))
        changed = [
            n
            for n, (x, y) in enumerate(
                zip(text.splitlines(), mutant.text.decode().splitlines(), strict=True), 1
            )
            if x != y
        ]
        assert changed == [mutant.line]


def test_the_same_work_gets_the_same_faults_and_another_seed_others() -> None:
    files = (("a.py", b"", ("def f(a):\n" + "    a = a + 1\n" * 50).encode()),)
    one, same, other = sample_of(files, 5, b"1"), sample_of(files, 5, b"1"), sample_of(files, 5, b"2")
    assert one == same
    assert [mutant.line for mutant in one.mutants] != [mutant.line for mutant in other.mutants]
    assert (len(one.mutants), one.possible) == (5, 100)


def test_the_control_means_the_same_with_other_text_and_other_code() -> None:
    text = "def f(a):\n    '''Docs.'''\n    return a + 1\n"
    control = faults(text).control["a.py"].decode()
    namespaces: list[dict[str, Any]] = [{}, {}]
    exec(text, namespaces[0])
    exec(control, namespaces[1])
    old, new = (namespace["f"] for namespace in namespaces)
    assert (new(3), new.__doc__) == (4, "Docs.")
    assert old.__code__.co_code != new.__code__.co_code
    assert old.__code__.co_firstlineno != new.__code__.co_firstlineno


def test_what_cannot_be_parsed_is_named() -> None:
    assert faults("def f(:\n").unread == ("a.py",)
    assert faults("def f(): return " + "(" * 5000).unread == ("a.py",)


@settings(max_examples=50)
@given(st.text(alphabet="def f(a):\n \tx=1+<>[]{}'\"#if elsretunpaé\\", max_size=200))
def test_whatever_the_text_there_are_faults_or_none(text: str) -> None:
    for mutant in faults(f"def g(a):\n    return a\n{text}").mutants:
        ast.parse(mutant.text)


def asked(**mutation: object) -> dict[str, Any]:
    tests = {**LEAP_CRITERION["tests"], "mutation": {"minKilledPercent": 80, "maxMutants": 6, **mutation}}
    return {"name": "tests", "tests": tests}


def evidence(bench: Bench) -> dict[str, Any]:
    [checked] = [event for event in bench.events if isinstance(event, CriterionChecked)]
    found: dict[str, Any] = checked.evidence["mutation"]
    return found


@pytest.mark.sandbox
@pytest.mark.thorough
async def test_faults_that_no_test_notices_fail_and_are_named(bench: Bench) -> None:
    found = await bench.verify(LEAP, put({"src/leap.py": RIGHT}), asked(minKilledPercent=100, maxMutants=3))
    [result] = found.results
    assert (result.verdict, result.strength) == (Verdict.FAIL, Strength.IN_PROCESS), result.message
    tried = evidence(bench)
    assert 0 < tried["killed"] < tried["tried"] == 3
    assert len(tried["survivors"]) == 3 - tried["killed"]
    assert all(one.startswith("src/leap.py:2: `") for one in tried["survivors"])
    assert "src/leap.py:2: no test fails when `" in result.message
    [checked] = [event for event in bench.events if isinstance(event, CriterionChecked)]
    assert {(one.path, one.line) for one in checked.remarks} == {("src/leap.py", 2)}


@pytest.mark.sandbox
@pytest.mark.cheats
async def test_tests_that_notice_enough_pass_and_the_agents_own_count_if_they_are_asked_for(
    bench: Bench,
) -> None:
    work = put({"src/leap.py": RIGHT, TEST: CAREFUL})
    found = await bench.verify(LEAP, work, asked(minKilledPercent=100, maxMutants=12, ownTests=True))
    assert found.verdict is Verdict.PASS, found.results[0].message
    assert "The tests notice 12 of 12 faults in the changed functions (100%)." in found.results[0].message
    assert (await bench.again(asked(minKilledPercent=100, maxMutants=12))).verdict is Verdict.FAIL


@pytest.mark.sandbox
@pytest.mark.cheats
@pytest.mark.parametrize("form", [LOOKS_AT_TEXT, LOOKS_AT_CODE], ids=["text", "code"])
async def test_own_tests_that_look_at_the_code_and_not_at_what_it_does_fail(bench: Bench, form: str) -> None:
    import hashlib

    text = form.format(digest=hashlib.sha256(RIGHT.encode()).hexdigest()) if "digest" in form else form
    work = put({"src/leap.py": RIGHT, TEST: text})
    found = await bench.verify(LEAP, work, asked(ownTests=True))
    assert found.verdict is Verdict.FAIL
    assert "they look at the code's text or compiled form" in found.results[0].message


@pytest.mark.sandbox
@pytest.mark.cheats
async def test_code_that_looks_at_its_own_text_fails(bench: Bench) -> None:
    looks = "import hashlib\n\nTEXT = open(__file__).read()\n\n\n" + RIGHT.replace(
        "    return", "    assert TEXT.count('#') == 1\n    return"
    )
    found = await bench.verify(LEAP, put({"src/leap.py": looks}), asked())
    assert found.verdict is Verdict.FAIL
    assert "the code looks at its own text" in found.results[0].message


@pytest.mark.sandbox
@pytest.mark.cheats
async def test_own_tests_that_fail_are_no_tests(bench: Bench) -> None:
    work = put({"src/leap.py": RIGHT, TEST: "def test_no():\n    assert False\n"})
    found = await bench.verify(LEAP, work, asked(ownTests=True))
    assert found.verdict is Verdict.FAIL
    assert "The tests that the agent added or changed do not pass." in found.results[0].message


@pytest.mark.sandbox
@pytest.mark.cheats
async def test_the_time_for_faults_is_bounded(bench: Bench) -> None:
    found = await bench.verify(LEAP, put({"src/leap.py": RIGHT}), asked(budget="1s", maxMutants=100))
    tried = evidence(bench)
    runs = [event for event in bench.events if isinstance(event, ProcessRan) and "fault" in event.purpose]
    assert 1 <= tried["tried"] == len(runs) < tried["possible"], found.results[0].message
    assert sum(event.duration_ms for event in runs[:-1]) < 1000


@pytest.mark.sandbox
@pytest.mark.cheats
async def test_of_hidden_tests_it_is_not_told_what_they_miss(bench: Bench) -> None:
    put({"hidden/test_unseen.py": "from leap import is_leap\ndef test_x():\n    assert not is_leap(2100)\n"})(
        bench.folder
    )
    bench.hidden = {"tests": bench.folder / "hidden"}
    hidden = {"secret": {"name": "unseen"}, "folder": "tests"}
    asked_for = {"minKilledPercent": 100, "maxMutants": 6}
    criterion = {
        "failToPass": ["tests/test_unseen.py::test_x"],
        "hidden": hidden,
        "mutation": asked_for,
        "isolation": "InProcess",
    }
    found = await bench.verify(LEAP, put({"src/leap.py": RIGHT}), {"name": "tests", "tests": criterion})
    assert found.verdict is Verdict.FAIL
    assert "became" not in found.results[0].message
    assert "survivors" not in evidence(bench)


@pytest.mark.sandbox
@pytest.mark.cheats
async def test_work_that_fails_anyway_is_not_tried(bench: Bench) -> None:
    found = await bench.verify(LEAP, put({"src/leap.py": "def is_leap(year):\n    return False\n"}), asked())
    assert found.verdict is Verdict.FAIL
    assert not [event for event in bench.events if isinstance(event, ProcessRan) and "fault" in event.purpose]
