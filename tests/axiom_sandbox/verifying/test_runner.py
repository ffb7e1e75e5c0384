"""The program that runs tests beside the candidate, inside this process."""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.axiom_sandbox.verifying.projects import RIGHT, put

from axiom_sandbox.verifying.suites.reports import Reading, State, read_reports, state_of
from axiom_sandbox.verifying.tools import run_pytest
from axiom_sandbox.verifying.tools.run_pytest import Codes, Watch, arguments, installed_plugins

SUITE = """\
import unittest
import pytest
from right_leap import is_leap

@pytest.mark.parametrize("year", [1900, 2000])
def test_number(year): assert is_leap(year) == (year == 2000)
def test_wrong(): assert is_leap(1900)
def test_error(missing_fixture): pass
@pytest.mark.skip(reason="not now")
def test_skipped(): pass
@pytest.mark.xfail(reason="known")
def test_expected(): assert False
@pytest.mark.xfail
def test_unexpected(): pass
def test_unasked(): pass
class TestUnit(unittest.TestCase):
    def test_unit(self): self.assertTrue(is_leap(2000))
"""


class _LeftError(BaseException):
    """The runner left the process."""


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The runner in this process: what it changes for good in a process of its own is put back."""

    def leave(code: int) -> None:
        raise _LeftError

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(run_pytest, "installed_plugins", lambda options, words: [])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    rewrite = importlib.import_module("_pytest.assertion.rewrite")
    loader = sys.modules["_frozen_importlib_external"]
    monkeypatch.setattr(rewrite, "_read_pyc", rewrite._read_pyc)
    monkeypatch.setattr(loader, "cache_from_source", loader.cache_from_source)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("_reprcompare", "_assertion_pass"):  # the test that is running has set them
        monkeypatch.setattr(importlib.import_module("_pytest.assertion.util"), name, None)
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def run(leaving: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Reading]:
    def run(*tests: str, **plan: object) -> Reading:
        workspace = str(tmp_path)
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        plan = {
            "tests": tests, "files": files, "workspace": workspace, "rootdir": workspace, "configuration": "",
            "options": [], "words": [], "path": [workspace], "nonce": "00" * 32, "seed": "1", **plan,
        }  # fmt: skip
        feed, feeding = os.pipe()
        reading, channel = os.pipe()
        os.write(feeding, json.dumps(plan).encode())
        os.close(feeding)
        monkeypatch.chdir(workspace)
        monkeypatch.setattr(run_pytest, "FEED", feed)
        monkeypatch.setattr(run_pytest, "CHANNEL", channel)
        with pytest.raises(_LeftError):
            run_pytest.main()
        os.close(channel)
        with os.fdopen(reading, "rb") as source:
            return read_reports(source.read(), bytes(32))

    return run


def test_every_outcome_is_reported(run: Callable[..., Reading], tmp_path: Path) -> None:
    put({"right_leap.py": RIGHT, "test_suite.py": SUITE, "test_broken.py": "import no_such_module\n"})(
        tmp_path
    )
    expected = {
        "test_suite.py::test_number": State.PASSED,
        "test_suite.py::test_wrong": State.FAILED,
        "test_suite.py::test_error": State.FAILED,
        "test_suite.py::test_skipped": State.SKIPPED,
        "test_suite.py::test_expected": State.SKIPPED,
        "test_suite.py::test_unexpected": State.SKIPPED,
        "test_suite.py::TestUnit": State.PASSED,
        "test_broken.py::test_any": State.FAILED,
        "test_suite.py::test_no": State.MISSING,
    }
    found = run(*expected)
    assert {test: state_of(found, test)[0] for test in expected} == expected
    assert state_of(found, "test_suite.py::test_wrong")[1] == (
        "assert False\n +  where False = is_leap(1900) (test_suite.py:7)"
    )
    assert "no_such_module" in state_of(found, "test_broken.py::test_any")[1]
    assert "test_suite.py::test_unasked" not in found.tests
    assert found.collected["test_suite.py::test_number"] == (
        "test_suite.py::test_number[1900]",
        "test_suite.py::test_number[2000]",
    )
    assert list(found.sentinels.values()) == ["failed"]
    assert (found.forged, found.tampered, found.status) == (0, set(), 1)


@pytest.mark.thorough
def test_the_seed_decides_the_order(run: Callable[..., Reading], tmp_path: Path) -> None:
    many = "".join(f"def test_{n}(): pass\n" for n in range(9))
    put({"test_many.py": many})(tmp_path)
    orders = [
        tuple(test for test in run("test_many.py", seed=seed).started if "::" in test)
        for seed in ("1", "1", "2")
    ]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == [f"test_many.py::test_{n}" for n in range(9)]


def test_without_pytest_it_says_so(run: Callable[..., Reading], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest", None)
    assert "pytest is not installed" in run("test_a.py").unable


def test_bytecode_below_the_workspace_is_never_used(leaving: None, tmp_path: Path) -> None:
    run_pytest.refuse_bytecode(str(tmp_path))
    loader = sys.modules["_frozen_importlib_external"]
    with pytest.raises(NotImplementedError):
        loader.cache_from_source(str(tmp_path / "a.py"))
    assert loader.cache_from_source("/usr/a.py").endswith(".pyc")


def test_plugins_that_are_slow_to_import_are_loaded_only_when_a_word_of_theirs_occurs() -> None:
    assert not {"asyncio", "hypothesispytest"} & set(installed_plugins([], []))
    assert {"asyncio", "hypothesispytest"} <= set(installed_plugins([], ["async", "hypothesis"]))


def test_plugins_that_disturb_are_loaded_only_when_options_need_them() -> None:
    assert not {"xdist", "pytest_cov"} & set(installed_plugins([], []))
    needed = installed_plugins(["-n4", "--cov=leap"], [])
    assert {"xdist", "pytest_cov"} <= set(needed)
    plan = {"files": ["a.py"], "configuration": "/w/pytest.ini", "rootdir": "/w", "workspace": "/w"}
    given = arguments(plan, needed)
    assert {"-n0", "--no-cov"} <= set(given)
    assert given[: given.index("-p")] == [
        "a.py",
        "-c",
        "/w/pytest.ini",
        "--rootdir",
        "/w",
        "--confcutdir",
        "/w",
    ]


CODES = """\
import functools, pytest
def wrap(f):
    @functools.wraps(f)
    def inner(): return f()
    return inner
def test_plain(): assert 1
@pytest.mark.xfail
def test_marked(): assert 1
@wrap
def test_wrapped(): assert 1
class TestA:
    def test_in(self): assert 1
@wrap
class TestB:
    def test_in(self): assert 1
class TestC(metaclass=type):
    def test_in(self): assert 1
"""


@pytest.fixture
def codes(tmp_path: Path) -> Codes:
    put({"test_a.py": CODES, "test_broken.py": "def ("})(tmp_path)
    return Codes(str(tmp_path), ["test_a.py", "test_broken.py", "test_none.py"])


@pytest.fixture
def module(tmp_path: Path, codes: Codes) -> dict[str, object]:
    names: dict[str, object] = {}
    source = CODES.replace("@wrap\nclass", "\nclass")
    exec(compile(source, str(tmp_path / "test_a.py"), "exec"), names)
    return names


def other() -> None:
    pass


def test_genuine_code_is_known(codes: Codes, module) -> None:
    assert codes.genuine("test_a.py", "test_plain", module["test_plain"]) is True
    assert codes.genuine("test_a.py", "test_marked", module["test_marked"]) is True
    assert codes.genuine("test_a.py", "test_wrapped", module["test_wrapped"]) is True
    assert codes.genuine("test_a.py", "TestA.test_in", module["TestA"].test_in) is True


def test_other_code_is_noticed(codes: Codes, module) -> None:
    assert codes.genuine("test_a.py", "test_plain", other) is False
    assert codes.genuine("test_a.py", "test_plain", None) is False
    assert codes.genuine("test_a.py", "test_wrapped", module["test_plain"]) is False


@pytest.mark.parametrize(
    ("name", "function"),
    [("test_wrapped", other), ("TestB.test_in", other), ("TestC.test_in", other), ("test_no", 1)],
)
def test_code_that_decorators_or_inheritance_hide_is_unknown(
    codes: Codes, name: str, function: object
) -> None:
    assert codes.genuine("test_a.py", name, function) is None


def test_replaced_parts_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    assert watch.changes() == []
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", other)
        assert watch.changes() == ["time.sleep"]
    runner = importlib.import_module("_pytest.runner")
    with monkeypatch.context() as patch:
        patch.setattr(runner.runtestprotocol, "__code__", other.__code__)
        assert watch.changes() == ["_pytest.runner.runtestprotocol"]
    with monkeypatch.context() as patch:
        patch.setattr(pytest.Function, "brand_new", other, raising=False)
        assert watch.changes() == ["_pytest.python.Function"]
    assert watch.changes() == []


def test_a_tracer_is_noticed() -> None:
    watch, before = Watch(), sys.getprofile()
    sys.setprofile(lambda *event: None)
    try:
        assert "sys.settrace" in watch.changes()
    finally:
        sys.setprofile(before)
