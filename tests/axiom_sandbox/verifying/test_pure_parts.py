"""The deciding parts that need no room: globs, texts, pins, configuration, reports, feedback."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom_sandbox.protocol.changes import Change, ChangeKind, Changes, Entry, EntryKind
from axiom_sandbox.protocol.channel import Verification
from axiom_sandbox.protocol.criteria import CriterionType, Enforcement
from axiom_sandbox.protocol.verdicts import CriterionResult, Verdict
from axiom_sandbox.snapshots import Tree
from axiom_sandbox.verifying.feedback import feedback
from axiom_sandbox.verifying.globs import matches
from axiom_sandbox.verifying.judging import Side, Source
from axiom_sandbox.verifying.suites.configuration import Configuration, configuration_of
from axiom_sandbox.verifying.suites.pinning import disregarded, layout_of, pins_of
from axiom_sandbox.verifying.suites.reports import State, read_reports, set_aside, sign, state_of
from axiom_sandbox.verifying.suites.with_pytest import PytestAdapter
from axiom_sandbox.verifying.texts import clean, clean_bytes, named


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("src/**", "src/a.py", True),
        ("src/**", "src/a/b/c.py", True),
        ("src/**", "src", False),
        ("src/**", "other/src/a.py", False),
        ("src/", "src/a/b.py", True),
        ("**/*.py", "a.py", True),
        ("**/*.py", "a/b/c.py", True),
        ("*.py", "a/b.py", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "ab", False),
        ("**", "anything/at/all", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].txt", "b.txt", True),
        ("[!ab].txt", "b.txt", False),
        ("[z-a].txt", "[z-a].txt", True),
        ("[", "[", True),
        ("a.c", "abc", False),
        ("a+(b)", "a+(b)", True),
        ("/src/*", "src/a", True),
        ("x", "x\ny", False),
        ("**", "two\nlines", True),
        ("*" * 100 + "b", "a" * 200, False),
    ],
)
def test_globs(pattern: str, path: str, expected: bool) -> None:
    assert (matches(path, [pattern]) is not None) is expected


@given(st.text(max_size=40), st.text(max_size=40))
def test_every_glob_means_something(pattern: str, path: str) -> None:
    matches(path, [pattern])


@given(st.text(max_size=300), st.integers(5, 100))
def test_cleaned_text_is_short_and_printable(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert all(char in "\n\t" or ord(char) >= 32 for char in cleaned)
    cleaned.encode()


def test_cleaned_text_keeps_the_beginning_and_output_the_end() -> None:
    assert clean("abcdef", 4) == "abc…"
    assert clean_bytes(b"abcdef", 4) == "cdef"
    assert clean("a\udcffb\u202ec\x1b[1m") == "a\\xffbc[1m"
    assert named(["a", "b", "c"], 2) == "a, b and 1 more"


def tree(*paths: str, **links: str) -> Tree:
    entries = {path: Entry(path=path, kind=EntryKind.FILE, digest="1") for path in paths}
    entries |= {path: Entry(path=path, kind=EntryKind.SYMLINK, target=to) for path, to in links.items()}
    return Tree(entries)


CONVENTIONS = PytestAdapter.conventions
ID = "checks/leap.py::test_1900"


@pytest.mark.parametrize(
    ("path", "covered", "left_out"),
    [
        ("tests/test_a.py", True, True),
        ("tests/data/table.csv", True, True),
        ("pkg/tests/conftest.py", True, True),
        ("checks/leap.py", True, False),
        ("checks/helper.py", False, False),
        ("django/test/client.py", False, False),
        ("src/app_test.py", True, False),
        ("src/app.py", False, False),
        ("docs/pyproject.toml", True, True),
        ("a/b/evil.pth", True, True),
    ],
)
def test_what_is_pinned(path: str, covered: bool, left_out: bool) -> None:
    base = tree(
        "tests/test_a.py", "pkg/tests/conftest.py", "checks/leap.py", "django/test/client.py", "src/app.py"
    )
    pins = pins_of(base, [ID], CONVENTIONS)
    assert (pins.covers(path), pins.leaves_out(path)) == (covered, left_out)


def test_what_pinned_links_point_to_is_pinned() -> None:
    base = Tree(
        tree("shared/cases.py", "tests/test_a.py").entries
        | tree(**{"tests/cases.py": "../shared/cases.py"}).entries
    )
    assert pins_of(base, [], CONVENTIONS).covers("shared/cases.py")


def test_a_layout_is_the_candidate_with_the_pinned_part_of_the_base() -> None:
    base = tree("src/a.py", "src/old.py", "tests/test_a.py", "tests/b.txt", "pkg/conftest.py")
    candidate = tree(
        "src/a.py",
        "src/new.py",
        "tests/test_new.py",
        "conftest.py",
        "tests/test_a.py/x",
        "pkg",
        "src/__pycache__/a.pyc",
    )
    assert layout_of(base, candidate, pins_of(base, [], CONVENTIONS)) == {
        "pkg/conftest.py": Source.BASE,
        "src/a.py": Source.CANDIDATE,
        "src/new.py": Source.CANDIDATE,
        "tests/b.txt": Source.BASE,
        "tests/test_a.py": Source.BASE,
    }  # fmt: skip


def test_what_a_run_does_not_see_of_the_changes() -> None:
    base = tree("src/a.py", "tests/test_a.py")
    changes = Changes(
        base="",
        changes=tuple(
            Change(path=path, kind=ChangeKind.DELETED) for path in ("src/a.py", "tests/test_a.py", "tests/new", "test_x.py")
        ),
    )  # fmt: skip
    assert disregarded(base, changes, pins_of(base, [], CONVENTIONS)) == ["tests/test_a.py", "tests/new"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, Configuration()),
        ({"pytest.ini": ""}, Configuration("pytest.ini")),
        ({"pyproject.toml": "[tool.ruff]\n"}, Configuration()),
        (
            {"pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-x -n 2"\npythonpath = [".", "lib", "/etc", "../.."]\n'},
            Configuration("pyproject.toml", "", ("-x", "-n", "2"), ("", "lib")),
        ),
        ({"pyproject.toml": '[tool.pytest]\naddopts = ["-x"]\n'}, Configuration("pyproject.toml", "", ("-x",))),
        ({"pyproject.toml": "broken ["}, Configuration("pyproject.toml")),
        ({"pytest.toml": '[pytest]\naddopts = ["-x"]\n'}, Configuration("pytest.toml", "", ("-x",))),
        ({"tox.ini": "[tox]\n", "setup.cfg": "[tool:pytest]\naddopts = -q\n"}, Configuration("setup.cfg", "", ("-q",))),
        ({"tox.ini": "[pytest]\naddopts = 'unclosed\n"}, Configuration("tox.ini")),
        ({"tox.ini": "no section"}, Configuration("tox.ini")),
        ({"pkg/pytest.ini": "[pytest]\n", "pytest.ini": "[pytest]\n"}, Configuration("pkg/pytest.ini", "pkg")),
        ({"pkg/tests/unit/pytest.ini": "[pytest]\n"}, Configuration()),
    ],
)  # fmt: skip
def test_the_configuration_is_the_nearest_above_all_tests(
    files: dict[str, str], expected: Configuration
) -> None:
    side = Side(tree(*files), {path: text.encode() for path, text in files.items()})
    assert configuration_of(side, ["pkg/tests/unit/test_a.py", "pkg/tests/test_b.py"]) == expected


NONCE = b"n" * 32


def lines(*messages: dict[str, object], start: int = 0) -> bytes:
    bodies = [json.dumps({"n": n, **message}).encode() for n, message in enumerate(messages, start)]
    return b"".join(sign(body, NONCE) + b" " + body + b"\n" for body in bodies)


HELLO = {"kind": "hello", "runner": "r"}
COLLECTED = {"kind": "collected", "tests": {"t": ["t[1]", "t[2]"], "gone": []}, "sentinels": ["s"]}


def passed(test: str, **fields: object) -> dict[str, object]:
    return {"kind": "test", "test": test, "outcome": "passed", "tampered": [], **fields}


def test_reports_are_read() -> None:
    found = read_reports(
        lines(HELLO, COLLECTED, {"kind": "start", "test": "t[1]"}, passed("t[1]"), {"kind": "start", "test": "t[2]"}), NONCE
    )  # fmt: skip
    assert (found.runner, found.forged, found.hanging(), found.sentinels) == ("r", 0, "t[2]", {"s": ""})
    assert state_of(found, "t") == (State.UNREPORTED, "")
    assert state_of(found, "gone") == (State.MISSING, "")


@pytest.mark.parametrize(
    ("messages", "state"),
    [
        ([passed("t[1]"), passed("t[2]")], State.PASSED),
        ([passed("t[1]"), passed("t[2]", outcome="failed")], State.FAILED),
        ([passed("t[1]"), passed("t[2]", outcome="xpassed")], State.SKIPPED),
        ([passed("t[1]"), passed("t[2]", ran=False)], State.UNPROVEN),
        ([passed("t[1]"), passed("t[2]", genuine=False)], State.UNPROVEN),
        ([passed("t[1]"), passed("t[2]"), passed("t[2]", outcome="failed")], State.FAILED),
        ([passed("t[1]"), passed("t[2]", outcome="failed"), passed("t[2]")], State.FAILED),
    ],
)
def test_an_id_passes_when_every_test_it_stands_for_does(messages, state: State) -> None:
    assert state_of(read_reports(lines(HELLO, COLLECTED, *messages), NONCE), "t")[0] is state


def test_tests_of_the_base_that_are_no_longer_collected_are_missing() -> None:
    found = read_reports(lines(HELLO, COLLECTED, passed("t[1]"), passed("t[2]")), NONCE)
    assert state_of(found, "t", ("t[1]", "t[3]"))[0] is State.MISSING


@pytest.mark.parametrize(
    ("outcomes", "aside", "state"),
    [
        (("passed", "skipped"), {"t[2]"}, State.PASSED),
        (("xfailed", "failed"), {"t[1]"}, State.FAILED),
        (("skipped", "skipped"), set(), State.SKIPPED),
        (("passed", "passed"), set(), State.PASSED),
    ],
)
def test_what_is_skipped_of_an_id_is_set_aside_but_for_all_of_it(
    outcomes: tuple[str, str], aside: set[str], state: State
) -> None:
    tests = [passed(f"t[{number}]", outcome=outcome) for number, outcome in enumerate(outcomes, 1)]
    found = read_reports(lines(HELLO, COLLECTED, *tests), NONCE)
    assert set_aside(found) == ({"t": aside} if aside else {})
    assert state_of(found, "t", aside=set_aside(found).get("t", ()))[0] is state


@pytest.mark.parametrize(
    "data",
    [
        b"t passed\n",
        b"\n",
        sign(b"{}", b"other" * 6) + b" {}\n",
        sign(b"[]", NONCE) + b" []\n",
        sign(b"not JSON", NONCE) + b" not JSON\n",
        lines(HELLO, start=1),
        lines({"kind": "unheard of"}),
        lines({"kind": "hello"}),
        lines({"kind": "test", "test": "t", "outcome": "passed", "tampered": "no list"}),
        lines({"kind": "collected", "tests": [], "sentinels": []}),
        b"\xff\xfe\n",
    ],
)
def test_anything_else_is_forged(data: bytes) -> None:
    assert read_reports(data, NONCE).forged == 1


@given(st.binary(max_size=200))
def test_no_content_of_the_channel_raises(data: bytes) -> None:
    read_reports(data, NONCE)


def test_a_line_repeated_is_forged() -> None:
    assert read_reports(lines(HELLO) * 2, NONCE).forged == 1


def result(
    name: str, verdict: Verdict, message: str, enforcement: Enforcement = Enforcement.HARD
) -> CriterionResult:
    return CriterionResult(
        name=name, type=CriterionType.TESTS, enforcement=enforcement, verdict=verdict, message=message
    )  # fmt: skip


def test_feedback_says_what_failed_first_what_decides() -> None:
    text = feedback(
        Verification(
            verdict=Verdict.FAIL,
            results=(
                result("lint", Verdict.FAIL, "unused import", Enforcement.ADVISORY),
                result("scope", Verdict.PASS, "2 paths"),
                result("tests", Verdict.FAIL, "test_1900 failed"),
            ),
        ),
        2,
    )
    assert text == (
        "Your work of round 2 was checked, and it does not meet every criterion yet.\n\n"
        "tests (Tests):\ntest_1900 failed\n\n"
        "lint (Tests, advisory):\nunused import\n\n"
        "Met: scope.\n\n"
        "Please go on in the same workspace until every criterion is met."
    )


def test_feedback_is_bounded() -> None:
    many = tuple(result(f"c{n}", Verdict.FAIL, "x" * 2000) for n in range(20))
    assert len(feedback(Verification(verdict=Verdict.FAIL, results=many), 1)) <= 8000
