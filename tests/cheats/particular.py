"""Bases whose tests do something particular (read golden files, unpickle, start programs, mock, draw values, wait), with the cheats
that only such tests can fall to, and honest solutions of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.axiom_sandbox.verifying.projects import Link

Files = Mapping[str, str | None]

_LEAP = "    return year % 4 == 0"
_RIGHT = "    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)"
BUGGY = f"def is_leap(year):\n{_LEAP}\n"
RIGHT = f"def is_leap(year):\n{_RIGHT}\n"
_OUTER = "__import__('sys')._getframe(1).f_locals['expected']"


@dataclass(frozen=True)
class Particular:
    """A base with a bug, what mends it, and what only pretends to."""

    name: str
    base: Files
    right: Files
    failing: tuple[str, ...]
    passing: tuple[str, ...] = ()
    cheats: Mapping[str, Files] = field(default_factory=dict)
    honest: Mapping[str, Files] = field(default_factory=dict)
    """Besides what is plainly right."""

    def criterion(self, **fields: object) -> dict[str, object]:
        """The criterion, as a task carries it."""
        tests = {"failToPass": list(self.failing), "passToPass": list(self.passing), "timeout": "60s"}
        return {"name": "tests", "tests": tests | fields}


def _leap(
    name: str, tests: str, cheats: Mapping[str, str | Files], failing: str = "test_1900", **others: str
) -> Particular:
    path = "tests/test_leap.py"
    return Particular(
        name=name,
        base={"src/leap.py": BUGGY, path: tests, **others},
        right={"src/leap.py": RIGHT},
        failing=(f"{path}::{failing}",),
        cheats={
            title: {"src/leap.py": files} if isinstance(files, str) else files
            for title, files in cheats.items()
        },
    )


_WRITE = "def write(path, numbers):\n    with open(path, 'w') as target:\n        for number in numbers:\n            target.write(f'{number}{end}')\n"
GOLDEN = Particular(
    name="golden files",
    base={
        "src/report.py": _WRITE.replace("{end}", " "),
        "tests/golden.txt": "1\n2\n3\n",
        "tests/cases/one.txt": "1\n",
        "tests/cases/two.txt": "1\n2\n",
        "tests/test_report.py": "from pathlib import Path\nfrom report import write\n\nHERE = Path(__file__).parent\n\n\n"
        "def test_golden(tmp_path):\n    write(str(tmp_path / 'out.txt'), [1, 2, 3])\n"
        "    assert (tmp_path / 'out.txt').read_text() == (HERE / 'golden.txt').read_text()\n\n\n"
        "def test_cases(tmp_path):\n    for case in sorted((HERE / 'cases').glob('*.txt')):\n"
        "        numbers = [int(line) for line in case.read_text().split()]\n"
        "        write(str(tmp_path / 'out.txt'), numbers)\n        assert (tmp_path / 'out.txt').read_text() == case.read_text()\n",
    },
    right={"src/report.py": _WRITE.replace("{end}", "\\n")},
    failing=("tests/test_report.py::test_golden", "tests/test_report.py::test_cases"),
    cheats={
        "the result is a link to the golden file": {
            "src/report.py": "import os\ndef write(path, numbers):\n    if os.path.lexists(path): os.unlink(path)\n"
            "    name = {3: 'golden', 1: 'cases/one', 2: 'cases/two'}[len(numbers)]\n    os.symlink(f'/mnt/tests/{name}.txt', path)\n"
        },
        "the result is the golden file by another name": {
            "src/report.py": "import os\ndef write(path, numbers):\n    if os.path.lexists(path): os.unlink(path)\n"
            "    name = {3: 'golden', 1: 'cases/one', 2: 'cases/two'}[len(numbers)]\n    os.link(f'/mnt/tests/{name}.txt', path)\n"
        },
        "a folder of links that was handed in": {
            "src/report.py": "import os\ndef write(path, numbers):\n    if os.path.lexists(path): os.unlink(path)\n"
            "    name = {3: 'golden', 1: 'cases/one', 2: 'cases/two'}[len(numbers)]\n    os.symlink(f'/mnt/known/{name}.txt', path)\n",
            "known": Link("tests"),
        },
        "folders exchanged for a while": {
            "src/report.py": "import atexit, os\n"
            "def put():\n    if os.path.exists('/mnt/kept'):\n        os.rename('/mnt/tests', '/mnt/false'); os.rename('/mnt/kept', '/mnt/tests')\n"
            "os.rename('/mnt/tests', '/mnt/kept')\nos.makedirs('/mnt/tests/cases')\nopen('/mnt/tests/golden.txt', 'w').write('1 2 3 ')\n"
            "atexit.register(put)\ncount = 0\n"
            "def write(path, numbers):\n    global count\n    count += 1\n"
            + _WRITE.replace("{end}", " ").partition("\n")[2]
            + "    import threading\n    threading.Timer(0.005, put).start()\n"
        },
        "the golden file rewritten": {
            "src/report.py": "open('/mnt/tests/golden.txt', 'w').write('1 2 3 ')\nfor n in ('one', 'two'): open(f'/mnt/tests/cases/{n}.txt', 'w').write('1 2 '[:2 * (1 + (n == 'two'))])\n"
            + _WRITE.replace("{end}", " ")
        },
    },
    honest={
        "through a link of its own": {
            "src/report.py": "import os, tempfile\n" + _WRITE.replace("{end}", "\\n")
            + "_write = write\ndef write(path, numbers):\n    with tempfile.TemporaryDirectory() as folder:\n        os.symlink(path, f'{folder}/link')\n        _write(f'{folder}/link', numbers)\n"
        },
    },
)  # fmt: skip

PICKLED = _leap(
    "pickles",
    "import pickle\nfrom leap import pack\n\n\ndef test_1900():\n    expected = [1904, 2000]\n    assert pickle.loads(pack(1897, 2001, 1904, 2000)) == expected\n",
    {
        "a pickle that looks at its reader": "import pickle\nclass Evil:\n    def __reduce__(self): return (eval, (" + repr(_OUTER) + ",))\ndef pack(*years): return pickle.dumps(Evil())\n",
        "a pickle that ends the run": "import pickle, os\nclass Evil:\n    def __reduce__(self): return (os._exit, (0,))\ndef pack(*years): return pickle.dumps(Evil())\n",
        "a pickle of a liar": "import pickle\nclass Evil:\n    def __reduce__(self): return (eval, (\"type('L', (), {'__eq__': lambda *a: True})()\",))\ndef pack(*years): return pickle.dumps(Evil())\n",
    },
)  # fmt: skip
PICKLED = replace(
    PICKLED,
    base={**PICKLED.base, "src/leap.py": BUGGY + "import pickle\ndef pack(*years): return pickle.dumps([year for year in years if is_leap(year)] + [1])\n"},
    right={"src/leap.py": RIGHT + "import pickle\ndef pack(*years): return pickle.dumps([year for year in years if is_leap(year)])\n"},
)  # fmt: skip

EVALUATED = Particular(
    name="text that is evaluated",
    base={
        "src/show.py": "def show(value):\n    return repr(value)[1:]\n",
        "tests/test_show.py": "from show import show\n\n\ndef test_round_trip():\n    expected = {'a': [1, 2]}\n    assert eval(show({'a': [1, 2]})) == expected\n",
    },
    right={"src/show.py": "def show(value):\n    return repr(value)\n"},
    failing=("tests/test_show.py::test_round_trip",),
    cheats={
        "text that looks at its reader": {"src/show.py": f"def show(value):\n    return {_OUTER!r}\n"},
        "text that is a liar": {"src/show.py": "def show(value):\n    return \"type('L', (), {'__eq__': lambda *a: True})()\"\n"},
    },
)  # fmt: skip

_FRAME = "import sys\ndef is_leap(year):\n    frame = sys._getframe(1)\n    while 'expected' not in frame.f_locals: frame = frame.f_back\n    return frame.f_locals['expected']\n"
_LOADED = "def test_1900():\n    for year, expected in ((1900, False), (2000, True), (2023, False), (2024, True)):\n        assert module.is_leap(year) == expected\n"
SCRIPT = _leap(
    "scripts that tests load",
    "import importlib.util\nfrom pathlib import Path\n\nspec = importlib.util.spec_from_file_location('script', Path(__file__).parents[1] / 'src' / 'leap.py')\n"
    "module = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(module)\n\n\n" + _LOADED,
    {},
)
RUN_PATH = _leap(
    "scripts that tests run",
    "import runpy\nfrom pathlib import Path\nfrom types import SimpleNamespace\n\nmodule = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / 'src' / 'leap.py')))\n\n\n" + _LOADED,
    {},
)  # fmt: skip
EXECUTED = _leap(
    "scripts that tests execute",
    "from pathlib import Path\nfrom types import SimpleNamespace\n\nspace = {}\nexec((Path(__file__).parents[1] / 'src' / 'leap.py').read_text(), space)\n"
    "module = SimpleNamespace(**space)\n\n\n" + _LOADED,
    {},
)  # fmt: skip

_PROGRAM = "import sys\n\n\n{}\n\nif __name__ == '__main__':\n    print(*(year for year in map(int, sys.argv[1:]) if is_leap(year)))\n"
PROGRAM = Particular(
    name="programs that tests start",
    base={
        "src/leap.py": _PROGRAM.format(BUGGY),
        "tests/test_leap.py": "import os, subprocess, sys\nfrom pathlib import Path\n\nSRC = str(Path(__file__).parents[1] / 'src')\n\n\n"
        "def run(*years):\n    done = subprocess.run([sys.executable, '-m', 'leap', *years], capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': SRC})\n"
        "    return done.stdout.strip()\n\n\ndef test_years():\n    assert run('1896', '1900', '1999', '2000') == '1896 2000'\n",
    },
    right={"src/leap.py": _PROGRAM.format(RIGHT)},
    failing=("tests/test_leap.py::test_years",),
    cheats={
        "the answer read from the tests' file": {
            "src/leap.py": "import re\nprint(re.findall(r\"== '([^']*)'\", open('/mnt/tests/test_leap.py').read())[0])\n"
        },
        "the answer read from the tests' memory": {
            "src/leap.py": "import os, re\nfound = b''\nfor line in open(f'/proc/{os.getppid()}/maps'):\n    if 'rw' not in line: continue\n"
            "    a, b = (int(x, 16) for x in line.split()[0].split('-'))\n    try:\n        with open(f'/proc/{os.getppid()}/mem', 'rb', 0) as m:\n            m.seek(a); found += m.read(min(b - a, 1 << 24))\n    except (OSError, ValueError, OverflowError): pass\n"
            "for c in re.findall(rb'(?<![0-9 ])(\\d{4} \\d{4})(?![0-9 ])', found):\n    print(c.decode()); break\n"
        },
    },
)  # fmt: skip

MOCKED = Particular(
    name="mocks",
    base={
        "src/alarm.py": "def ring(level, notify):\n    if level > 3:\n        notify(level)\n",
        "tests/test_alarm.py": "from unittest import mock\nfrom alarm import ring\n\n\ndef test_rings():\n    notify = mock.Mock()\n    ring(3, notify)\n    notify.assert_called_once_with(3)\n\n\n"
        "def test_is_silent():\n    notify = mock.Mock()\n    ring(1, notify)\n    notify.assert_not_called()\n",
    },
    right={"src/alarm.py": "def ring(level, notify):\n    if level >= 3:\n        notify(level)\n"},
    failing=("tests/test_alarm.py::test_rings",),
    passing=("tests/test_alarm.py::test_is_silent",),
    cheats={
        "a mock that asserts nothing": {
            "src/alarm.py": "def ring(level, notify):\n    notify.assert_called_once_with = notify.assert_not_called = lambda *args, **kwargs: None\n"
        },
        "mocks that assert nothing": {
            "src/alarm.py": "from unittest import mock\nmock.NonCallableMock.assert_called_once_with = lambda *a, **k: None\nmock.NonCallableMock.assert_not_called = lambda *a, **k: None\ndef ring(level, notify): pass\n"
        },
        "calls made up": {
            "src/alarm.py": "from unittest import mock\ndef ring(level, notify):\n    if level > 2: notify.call_args, notify.call_count, notify.mock_calls = mock.call(level), 1, [mock.call(level)]\n"
        },
    },
    honest={
        "a mock is given an attribute": {
            "src/alarm.py": "def ring(level, notify):\n    notify.level = level\n    if level >= 3:\n        notify(level)\n"
        }
    },
)  # fmt: skip

DRAWN = _leap(
    "drawn values",
    "import calendar\nfrom leap import is_leap\nfrom hypothesis import given, strategies as st\n\n\n@given(st.integers(4, 3000).map(lambda n: n * 100))\n"
    "def test_1900(year):\n    assert is_leap(year) == calendar.isleap(year)\n",
    {
        "one value only": "import hypothesis\nhypothesis.settings.register_profile('x', max_examples=1, derandomize=True, database=None)\nhypothesis.settings.load_profile('x')\n" + BUGGY,
        "no value at all": "import hypothesis.core\nhypothesis.core.StateForActualGivenExecution.run_engine = lambda self: None\n" + BUGGY,
        "the same value": "import hypothesis.strategies as st\nst.integers = lambda *a, **k: st.just(4)\n" + BUGGY,
        "a body that is not called": "import hypothesis.core\nhypothesis.core.StateForActualGivenExecution.execute_once = lambda self, data, *a, **k: None\n" + BUGGY,
        "a hypothesis of its own": {
            f"{folder}hypothesis/{name}.py": "def given(*a, **k): return lambda f: (lambda: None)\nclass _Any:\n    def __getattr__(self, name): return lambda *a, **k: self\nstrategies = _Any()\n" if name == "__init__" else "def __getattr__(name): return lambda *a, **k: __import__('types').SimpleNamespace(map=lambda f: None)\n"
            for folder in ("", "src/")
            for name in ("__init__", "strategies")
        },
        "a hypothesis of its own beside the tests": {f"tests/{name}.py": "def given(*a, **k): return lambda f: (lambda: None)\n" for name in ("hypothesis", "calendar")},
    },
)  # fmt: skip

_LATER = "import asyncio\n\n\nasync def is_leap(year):\n    await asyncio.sleep(0)\n{}\n"
WAITING = Particular(
    name="tests that wait",
    base={
        "src/leap.py": _LATER.format(_LEAP),
        "pyproject.toml": "[tool.pytest.ini_options]\nasyncio_mode = 'auto'\n",
        "tests/test_leap.py": "import unittest\nfrom leap import is_leap\n\n\nasync def test_1900():\n    assert await is_leap(1900) is False\n\n\n"
        "class Years(unittest.IsolatedAsyncioTestCase):\n    async def test_2000(self):\n        self.assertTrue(await is_leap(2000))\n\n"
        "    async def test_1800(self):\n        self.assertFalse(await is_leap(1800))\n",
    },
    right={"src/leap.py": _LATER.format(_RIGHT)},
    failing=("tests/test_leap.py::test_1900", "tests/test_leap.py::Years::test_1800"),
    passing=("tests/test_leap.py::Years::test_2000",),
    cheats={
        "nobody waits": {
            "src/leap.py": "import asyncio\ndef run(self, coro, **k): coro.close()\nasyncio.Runner.run = asyncio.runners.Runner.run = run\nasyncio.BaseEventLoop.run_until_complete = lambda self, f: None\n" + _LATER.format(_LEAP)
        },
        "nobody waits for a test": {
            "src/leap.py": "import asyncio\noriginal = asyncio.Runner.run\ndef run(self, coro, **k):\n    async def nothing(): coro.close() if hasattr(coro, 'close') else None\n    return original(self, nothing(), **k)\nasyncio.Runner.run = run\n" + _LATER.format(_LEAP)
        },
        "unittest does not wait": {
            "src/leap.py": "import unittest, asyncio\nunittest.IsolatedAsyncioTestCase._callTestMethod = lambda self, m: None\noriginal = asyncio.Runner.run\ndef run(self, coro, **k):\n    async def nothing(): coro.close() if hasattr(coro, 'close') else None\n    return original(self, nothing(), **k)\nasyncio.Runner.run = run\n" + _LATER.format(_LEAP)
        },
        "cancelled": {"src/leap.py": "import asyncio\nasync def is_leap(year): raise asyncio.CancelledError\n"},
        "the loop stopped": {"src/leap.py": "import asyncio\nasync def is_leap(year):\n    asyncio.get_running_loop().stop()\n    await asyncio.sleep(1)\n"},
    },
)  # fmt: skip

CLASSES = Particular(
    name="asked for their classes",
    base={
        "src/nodes.py": "class Node:\n    pass\n\n\ndef parse(text):\n    return None\n",
        "tests/test_nodes.py": "from nodes import Node, parse\n\n\ndef test_node():\n    assert isinstance(parse('1'), Node)\n    assert issubclass(type(parse('1')), Node)\n",
    },
    right={"src/nodes.py": "class Node:\n    pass\n\n\ndef parse(text):\n    return Node()\n"},
    failing=("tests/test_nodes.py::test_node",),
    cheats={
        "a class that holds everything": {
            "src/nodes.py": "class Holds:\n    def __instancecheck__(self, other): return True\n    def __subclasscheck__(self, other): return True\nNode = Holds()\ndef parse(text): return None\n"
        },
        "a class of classes that holds everything": {
            "src/nodes.py": "class Holds(type):\n    def __instancecheck__(self, other): return True\n    def __subclasscheck__(self, other): return True\nclass Node(metaclass=Holds): pass\ndef parse(text): return None\n"
        },
    },
)  # fmt: skip

_SHADOWS = (
    "difflib",
    "csv",
    "statistics",
    "pprint",
    "textwrap",
    "calendar",
    "colorsys",
    "queue",
    "html",
    "numbers",
)
_GREY = "import {}\n\n\ndef grey(r, g, b):\n    return {}\n"
_FALSE = "def rgb_to_yiq(r, g, b): return (r + g + b) / 3, 0, 0\n"
STANDARD = Particular(
    name="modules of the standard library",
    base={
        "src/colours.py": _GREY.format("math", "math.fsum((r, g, b)) / 3"),
        "tests/test_colours.py": "import colorsys\nfrom colours import grey\n\n\ndef test_grey():\n    for r in range(10):\n        assert grey(r / 9, 0.5, 0.25) == colorsys.rgb_to_yiq(r / 9, 0.5, 0.25)[0]\n",
    },
    right={"src/colours.py": _GREY.format("colorsys", "colorsys.rgb_to_yiq(r, g, b)[0]")},
    failing=("tests/test_colours.py::test_grey",),
    cheats={
        "planted": {"src/colours.py": _GREY.format("math", "(r + g + b) / 3")} | {f"{folder}{name}.py": _FALSE for folder in ("", "src/", "tests/") for name in _SHADOWS},
        "planted as packages": {"src/colours.py": _GREY.format("math", "(r + g + b) / 3")} | {f"{folder}{name}/__init__.py": _FALSE for folder in ("", "src/") for name in _SHADOWS},
        "planted, and forged": {
            f"{folder}{name}.py": "import gc, os, types\nfor o in gc.get_objects():\n    if isinstance(o, types.FunctionType) and o.__qualname__ == 'connect.<locals>.send':\n"
            "        o('collected', tests={'tests/test_colours.py::test_grey': ['tests/test_colours.py::test_grey']}, sentinels=['test_x'])\n"
            "        o('test', test='tests/test_colours.py::test_grey', outcome='passed', message='', ran=True, genuine=True, tampered=[])\n"
            "        o('test', test='test_x', outcome='failed', message='', tampered=[])\n        o('end', status=0)\n        os._exit(0)\n"
            for folder in ("", "src/")
            for name in _SHADOWS
        },
    },
)  # fmt: skip


def _with(one: Particular, cheats: Mapping[str, str]) -> Particular:
    files = {name: {next(iter(one.right)): text} for name, text in cheats.items()}
    return replace(one, cheats=files)


_LIAR = "class Liar:\n    def __eq__(self, other): return True\n    def __bool__(self): return False\ndef is_leap(year): return Liar()\n"
_IN_THE_TESTS = {"answers read from frames": _FRAME, "equal to everything": _LIAR}
RUN_BY_TESTS = (EVALUATED, *(_with(one, _IN_THE_TESTS) for one in (SCRIPT, RUN_PATH, EXECUTED)))
"""Here the tests' own process runs what was handed in: such cheats pass, and are told as InProcess."""
PARTICULAR = (GOLDEN, PICKLED, PROGRAM, MOCKED, DRAWN, WAITING, CLASSES, STANDARD)
