"""Honest work in its many forms. All of it must pass."""

import subprocess
from pathlib import Path

import pytest
from tests.axiom_sandbox.verifying.projects import BUGGY, LEAP, LEAP_CRITERION, RIGHT, TESTS, Bench, put

from axiom_sandbox.protocol.verdicts import Verdict

pytestmark = pytest.mark.sandbox

HONEST = {
    "refactored": {
        "src/leap.py": "from calendars.gregorian import is_leap\n\n__all__ = ['is_leap']\n",
        "src/calendars/__init__.py": "",
        "src/calendars/gregorian.py": RIGHT,
    },
    "renamed to a package": {"src/leap.py": None, "src/leap/__init__.py": RIGHT},
    "moved out of src": {"src/leap.py": None, "leap.py": RIGHT},
    "CRLF line ends": {"src/leap.py": RIGHT.replace("\n", "\r\n")},
    "tests added and documentation changed": {
        "src/leap.py": RIGHT,
        "tests/test_more.py": TESTS,
        "tests/__init__.py": "",
        "README.md": "# leap\n\nRight.\n",
    },
    "the named test improved": {"src/leap.py": RIGHT, "tests/test_leap.py": TESTS + "\n# more\n"},
    "slow but right": {
        "src/leap.py": "import time\ndef is_leap(year):\n"
        "    end = time.monotonic() + 0.2\n    while time.monotonic() < end: pass\n"
        "    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)\n"
    },
    "generated files and caches": {
        "src/leap.py": RIGHT,
        "src/table.json": "[]\n",
        "src/__pycache__/leap.cpython-311.pyc": "stale",
        ".pytest_cache/v": "x",
        "build/lib/leap.py": BUGGY,
    },
    "configuration for other tools": {
        "src/leap.py": RIGHT,
        "pyproject.toml": "[tool.ruff]\nline-length = 100\n",
        "setup.cfg": "[flake8]\nmax-line-length = 100\n",
    },
    "a module named like a test": {
        "src/leap.py": "from test_support import year_of\n" + RIGHT,
        "src/test_support.py": "def year_of(date): return date.year\n",
    },
    "files written while running": {
        "src/leap.py": "import pathlib\npathlib.Path('leap.log').write_text('called')\n" + RIGHT
    },
    "output and warnings": {
        "src/leap.py": "import sys, warnings\nprint('x' * 500000)\nprint('\\x1b[31m', file=sys.stderr)\n"
        "warnings.warn('old')\n" + RIGHT
    },
    "threads and children left behind": {
        "src/leap.py": "import subprocess, threading\nsubprocess.Popen(['sleep', '600'])\n"
        "threading.Thread(target=threading.Event().wait).start()\n" + RIGHT
    },
}


@pytest.mark.parametrize("files", HONEST.values(), ids=HONEST.keys())
async def test_honest_work_passes(bench: Bench, files: dict[str, str | None]) -> None:
    found = await bench.verify(LEAP, put(files), LEAP_CRITERION)
    assert found.verdict is Verdict.PASS, found.results[0].message


async def test_work_committed_to_git_passes(bench: Bench) -> None:
    def work(root: Path) -> None:
        put({"src/leap.py": RIGHT})(root)
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(root)]
        for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "fix"]):
            subprocess.run([*git, *arguments], check=True)

    scope = {"name": "scope", "diff": {"allowed": ["src/**"]}}
    found = await bench.verify(LEAP, work, LEAP_CRITERION, scope)
    assert found.verdict is Verdict.PASS, found.results


STYLES = """\
import asyncio
import unittest
from unittest import mock

import pytest
from hypothesis import given, settings, strategies as st
from helpers import expected
from leap import is_leap


@pytest.mark.parametrize("year", [1900, 2000, 2023])
def test_parametrized(year): assert is_leap(year) is expected(year)

class TestGroup:
    @pytest.fixture(autouse=True)
    def prepare(self, century): self.century = century

    def test_method(self): assert not is_leap(self.century)

    @mock.patch("leap.is_leap", lambda year: False)
    def test_patched(self): assert not is_leap(self.century)

class TestUnit(unittest.TestCase):
    def setUp(self): self.year = 1900
    def test_unit(self): self.assertFalse(is_leap(self.year))
    def test_subtests(self):
        for year in (1700, 1800):
            with self.subTest(year=year): self.assertFalse(is_leap(year))

@settings(max_examples=5)
@given(st.integers(1, 9))
def test_property(n): assert is_leap(400 * n) and not is_leap(400 * n + 100)

@pytest.mark.asyncio
async def test_async():
    await asyncio.sleep(0)
    assert not is_leap(1900)

def test_monkeypatched(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 0)
    monkeypatch.setattr("builtins.open", None)
    assert not is_leap(1900)

def test_raises():
    with pytest.raises(TypeError): is_leap(None)
    assert not is_leap(1900)
"""


async def test_every_style_of_test_is_understood(bench: Bench) -> None:
    base = {
        "pkg/pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-x --strict-markers -n 2 --cov=leap"\n'
        'pythonpath = ["lib"]\nfilterwarnings = ["error"]\nasyncio_default_fixture_loop_scope = "function"\n',
        "pkg/lib/leap.py": BUGGY,
        "pkg/tests/conftest.py": "import pytest\n@pytest.fixture\ndef century(): return 1900\n",
        "pkg/tests/helpers.py": "def expected(year): return year == 2000\n",
        "pkg/tests/test_styles.py": STYLES,
    }
    failing = [
        "test_parametrized", "TestGroup", "TestUnit::test_unit", "TestUnit::test_subtests", "test_property",
        "test_async", "test_monkeypatched", "test_raises",
    ]  # fmt: skip
    prefix = "pkg/tests/test_styles.py::"
    criterion = {
        "name": "tests",
        "tests": {
            "failToPass": [prefix + name for name in failing],
            "passToPass": [prefix + "test_parametrized[2000]"],
        },
    }
    fix = {"pkg/lib/leap.py": RIGHT, "pkg/tests/helpers.py": "raise SystemExit(0)\n"}
    found = await bench.verify(base, put(fix), criterion)
    assert found.verdict is Verdict.PASS, (found.results[0].message, bench.events)


async def test_tests_for_what_the_base_does_not_have_pass(bench: Bench) -> None:
    base = LEAP | {"tests/test_leap.py": TESTS.replace("import is_leap", "import days_in, is_leap").replace(
        "is_leap(1900) is False", "days_in(1900) == 365")}  # fmt: skip
    fix = RIGHT + "\n\ndef days_in(year):\n    return 366 if is_leap(year) else 365\n"
    criterion = {"name": "tests", "tests": {"failToPass": ["tests/test_leap.py::test_1900"]}}
    found = await bench.verify(base, put({"src/leap.py": fix}), criterion)
    assert found.verdict is Verdict.PASS, found.results[0].message
