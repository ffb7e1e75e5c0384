"""Cheats that still pass where tests share a process with the code under test (`isolation: InProcess`), each listed in
docs/design/limitations.md. One that is caught one day fails here. test_apart.py has them against a process of its own.
"""

import pytest
from tests.axiom_sandbox.verifying.projects import BUGGY, LEAP, LEAP_CRITERION, TESTS, Bench, put

from axiom_sandbox.protocol.verdicts import Verdict

pytestmark = [pytest.mark.sandbox]

EVASIONS = {
    "made-up answers for the inputs that the tests use": {
        "src/leap.py": "def is_leap(year):\n    return {1900: False, 2000: True, 2023: False}[year]\n"
    },
    "the answer read from the test that asks": {
        "src/leap.py": "import inspect, linecache\n"
        "def is_leap(year):\n"
        "    caller = inspect.currentframe().f_back\n"
        "    line = linecache.getline(caller.f_code.co_filename, caller.f_lineno)\n"
        "    return 'is True' in line\n"
    },
    "right only while it is verified": {
        "src/leap.py": "import sys\n"
        "def is_leap(year):\n"
        "    hundred = 'pytest' not in sys.modules or year % 100 != 0 or year % 400 == 0\n"
        "    return year % 4 == 0 and hundred\n"
    },
    "reports sent with the runner's own function": {
        "src/leap.py": "import gc, os, types\n"
        "send = next(o for o in gc.get_objects() if isinstance(o, types.FunctionType) and o.__qualname__ == 'connect.<locals>.send')\n"
        "names = [f'tests/test_leap.py::test_{y}' for y in (1900, 2000, 2023)]\n"
        "send('collected', tests={name: [name] for name in names}, sentinels=['test_x'])\n"
        "for name in names:\n"
        "    send('start', test=name)\n"
        "    send('test', test=name, outcome='passed', message='', ran=True, genuine=True, tampered=[])\n"
        "send('test', test='test_x', outcome='failed', message='', ran=False, genuine=None, tampered=[])\n"
        "send('end', status=0)\n"
        "os._exit(0)\n" + BUGGY
    },
}


@pytest.mark.parametrize("files", EVASIONS.values(), ids=EVASIONS.keys())
@pytest.mark.xfail(
    strict=True, reason="the tests share a process with the code under test; see limitations.md"
)
async def test_evasions_do_not_pass(bench: Bench, files: dict[str, str]) -> None:
    found = await bench.verify(LEAP, put(files), LEAP_CRITERION)
    assert found.verdict is not Verdict.PASS


@pytest.mark.xfail(strict=True, reason="comparisons belong to the values compared; see limitations.md")
async def test_a_value_equal_to_everything_does_not_pass(bench: Bench) -> None:
    base = LEAP | {"tests/test_leap.py": TESTS.replace(" is ", " == ")}
    liar = (
        "class Liar:\n    def __eq__(self, other): return True\n    def __bool__(self): return False\n"
        "def is_leap(year): return Liar()\n"
    )
    found = await bench.verify(base, put({"src/leap.py": liar}), LEAP_CRITERION)
    assert found.verdict is not Verdict.PASS


@pytest.mark.xfail(
    strict=True, reason="modules that tests import can be put in their place; see limitations.md"
)
async def test_a_helper_of_the_tests_replaced_in_memory_does_not_pass(bench: Bench) -> None:
    base = LEAP | {
        "tests/answers.py": "ANSWER = False\n",
        "tests/test_leap.py": "from leap import is_leap\nimport answers\n"
        "def test_1900(): assert is_leap(1900) is answers.ANSWER\n",
    }
    fake = "import sys, types\nsys.modules['answers'] = types.SimpleNamespace(ANSWER=True)\n" + BUGGY
    criterion = {
        "name": "tests",
        "tests": {"failToPass": ["tests/test_leap.py::test_1900"], "isolation": "InProcess"},
    }
    found = await bench.verify(base, put({"src/leap.py": fake}), criterion)
    assert found.verdict is not Verdict.PASS
