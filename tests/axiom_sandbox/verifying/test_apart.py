"""Code under test in a process of its own: what falls to it, what still passes, and where it gives way."""

from collections.abc import Iterable
from typing import Any

import pytest
from tests.axiom_sandbox.verifying.projects import APART, BUGGY, LEAP, RIGHT, TESTS, Bench, put
from tests.axiom_sandbox.verifying.test_evasions import EVASIONS
from tests.axiom_sandbox.verifying.test_honest import HONEST

from axiom_sandbox.protocol.verdicts import Strength, Verdict

pytestmark = pytest.mark.sandbox


def rarely(names: Iterable[str], but: str) -> list[Any]:
    """All but one belong to `make cheats`."""
    return [name if name == but else pytest.param(name, marks=pytest.mark.cheats) for name in names]


def criterion(**fields: object) -> dict[str, object]:
    return {"name": "tests", "tests": {**APART["tests"], **fields}}


async def test_an_honest_fix_is_proven_from_outside_its_process(bench: Bench) -> None:
    found = await bench.verify(LEAP, put({"src/leap.py": RIGHT}), APART)
    (result,) = found.results
    assert found.verdict is Verdict.PASS, result.message
    assert result.strength is Strength.PROCESS


@pytest.mark.parametrize("name", rarely(HONEST, "files written while running"))
async def test_honest_work_passes(bench: Bench, name: str) -> None:
    found = await bench.verify(LEAP, put(HONEST[name]), APART)
    (result,) = found.results
    assert (found.verdict, result.strength) == (Verdict.PASS, Strength.PROCESS), result.message


@pytest.mark.parametrize(
    "name",
    rarely(
        [name for name in EVASIONS if "made-up" not in name], "reports sent with the runner's own function"
    ),
)
async def test_what_passes_in_one_process_does_not_from_another(bench: Bench, name: str) -> None:
    found = await bench.verify(LEAP, put(EVASIONS[name]), APART)
    assert found.verdict is not Verdict.PASS
    assert found.results[0].strength is Strength.PROCESS


async def test_a_value_equal_to_everything_is_not_believed(bench: Bench) -> None:
    base = LEAP | {"tests/test_leap.py": TESTS.replace(" is ", " == ")}
    liar = (
        "class Liar:\n    def __eq__(self, other): return True\n    def __bool__(self): return False\n"
        "def is_leap(year): return Liar()\n"
    )
    found = await bench.verify(base, put({"src/leap.py": liar}), APART)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "A person should look" in found.results[0].message


@pytest.mark.cheats
async def test_a_helper_of_the_tests_replaced_in_memory_is_replaced_elsewhere(bench: Bench) -> None:
    base = LEAP | {
        "tests/answers.py": "ANSWER = False\n",
        "tests/test_leap.py": "from leap import is_leap\nimport answers\n"
        "def test_1900(): assert is_leap(1900) is answers.ANSWER\n",
    }
    fake = "import sys, types\nsys.modules['answers'] = types.SimpleNamespace(ANSWER=True)\n" + BUGGY
    only = {"name": "tests", "tests": {"failToPass": ["tests/test_leap.py::test_1900"]}}
    found = await bench.verify(base, put({"src/leap.py": fake}), only)
    assert found.verdict is not Verdict.PASS


NEEDS_ONE_PROCESS = {
    "tests/test_leap.py": "import sys\n"
    + TESTS
    + "    assert sys.modules['leap'].__dict__['is_leap'] is is_leap\n"
}


async def test_tests_that_need_to_share_a_process_do_as_the_base_shows(bench: Bench) -> None:
    found = await bench.verify(LEAP | NEEDS_ONE_PROCESS, put({"src/leap.py": RIGHT}), APART)
    (result,) = found.results
    assert (result.verdict, result.strength) == (Verdict.PASS, Strength.IN_PROCESS), result.message


@pytest.mark.cheats
async def test_a_process_of_its_own_that_was_asked_for_is_not_given_up(bench: Bench) -> None:
    wanted = criterion(isolation="Process")
    found = await bench.verify(LEAP | NEEDS_ONE_PROCESS, put({"src/leap.py": RIGHT}), wanted)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "The tests need to share a process" in found.results[0].message


STYLES = """\
import collections, contextlib, dataclasses, enum, logging, warnings
class LeapError(ValueError):
    def __init__(self, year): super().__init__(f"bad {year}"); self.year = year
class Color(enum.Enum):
    RED = 1; BLUE = 2
class Level(enum.IntEnum):
    LOW = 1
Point = collections.namedtuple("Point", "x y")
@dataclasses.dataclass
class Box:
    w: int
    h: int = 2
    def area(self): return self.w * self.h
    @property
    def square(self): return self.w == self.h
    @classmethod
    def unit(cls): return cls(1, 1)
class Base:
    def __init__(self, n): self.n = n
    def run(self): return self.step(self.n) + 1
    def step(self, n): return n
def fail(year): raise LeapError(year)
def apply(f, xs): return [f(x) for x in xs]
def gen(n): yield from range(n)
def sort_it(xs): xs.sort()
@contextlib.contextmanager
def opened(): yield "in"
def say(): print("hello"); logging.getLogger("styles").warning("careful"); warnings.warn("old", DeprecationWarning)
LIMIT = 5
def limit(): return LIMIT
def bug(): return 2
"""
STYLE_TESTS = """\
import pytest, styles
from unittest import mock
from styles import Base, Box, Color, LeapError, Level, Point
def test_bug(): assert styles.bug() == 1
def test_raises():
    with pytest.raises(LeapError, match="bad 3") as caught: styles.fail(3)
    assert caught.value.year == 3 and isinstance(caught.value, ValueError)
def test_enum():
    assert Color.RED is Color(1) and Color.RED != Color.BLUE and [c.name for c in Color] == ["RED", "BLUE"]
    assert Level.LOW == 1 and isinstance(Level.LOW, int)
def test_namedtuple(): assert Point(1, 2) == (1, 2) and Point(1, 2).x == 1
def test_dataclass():
    box = Box(3); assert box.area() == 6 and not box.square and box == Box(3, 2) and Box.unit().square
    box.w = 2; assert box.square and isinstance(box, Box) and repr(box) == "Box(w=2, h=2)"
def test_subclass():
    class Mine(Base):
        def __init__(self, n): super().__init__(n * 10)
        def step(self, n): return super().step(n) * 2
    assert Mine(3).run() == 61 and Mine(3).n == 30 and isinstance(Mine(3), Base)
def test_callback():
    seen = []
    assert styles.apply(lambda x: seen.append(x) or x * 2, [1, 2]) == [2, 4] and seen == [1, 2]
    class Boom(Exception): pass
    def boom(x): raise Boom("x")
    with pytest.raises(Boom): styles.apply(boom, [1])
    assert styles.apply(len, ["a"]) == [1]
def test_generator(): assert list(styles.gen(3)) == [0, 1, 2]
def test_mutation():
    xs = [3, 1, 2]; styles.sort_it(xs); assert xs == [1, 2, 3]
def test_context():
    with styles.opened() as inner: assert inner == "in"
def test_output(capsys, caplog):
    with pytest.warns(DeprecationWarning, match="old"): styles.say()
    assert capsys.readouterr().out == "hello\\n" and "careful" in caplog.text
def test_patched(monkeypatch):
    monkeypatch.setattr(styles, "LIMIT", 9); assert styles.limit() == 9
    with mock.patch("styles.bug", return_value=7) as patched: assert styles.bug() == 7
    patched.assert_called_once_with()
    monkeypatch.setattr(Box, "area", lambda self: 77); assert Box(1).area() == 77
def test_unpatched(): assert styles.limit() == 5 and Box(1).area() == 2
"""


async def test_every_style_of_test_works_through_stand_ins(bench: Bench) -> None:
    base = {"src/styles.py": STYLES, "tests/test_styles.py": STYLE_TESTS}
    names = [line.partition("(")[0][4:] for line in STYLE_TESTS.splitlines() if line.startswith("def test_")]
    ids = [f"tests/test_styles.py::{name}" for name in names]
    only = {"name": "tests", "tests": {"failToPass": ids[:1], "passToPass": ids[1:], "isolation": "Process"}}
    fix = put({"src/styles.py": STYLES.replace("return 2\n", "return 1\n")})
    found = await bench.verify(base, fix, only)
    assert found.verdict is Verdict.PASS, found.results[0].message


ESCAPES = {
    "the runner's memory": "open(f'/proc/{os.getppid()}/mem', 'rb')",
    "the runner's channel": "os.open(f'/proc/{os.getppid()}/fd/4', os.O_WRONLY)",
    "the tests' source": "open('/mnt/tests/test_leap.py')",
    "the tests' source by another name": "os.rename('/mnt/tests', '/mnt/src/t')",
    "the tests' source by a link": "os.link('/mnt/tests/test_leap.py', '/tmp/t')",
    "a signal to the runner": "os.kill(os.getppid(), 0)",
}


async def test_the_candidates_process_reaches_neither_tests_nor_runner(bench: Bench) -> None:
    trying = "".join(
        f"try:\n    {attempt}\nexcept OSError:\n    pass\nelse:\n    raise SystemError({name!r})\n"
        for name, attempt in ESCAPES.items()
    )
    found = await bench.verify(
        LEAP, put({"src/leap.py": f"import os\n{trying}{RIGHT}"}), criterion(isolation="Process")
    )
    assert found.verdict is Verdict.PASS, found.results[0].message


@pytest.mark.cheats
async def test_what_is_written_beside_the_tests_cannot_be_read_back_and_nobody_fails_for_that(
    bench: Bench,
) -> None:
    """What docs/design/limitations.md says: Landlock knows files by what lay there before."""
    keeping = f"import pathlib\nkept = pathlib.Path('.kept')\nkept.write_text('1')\nassert kept.read_text() == '1'\n{RIGHT}"
    found = await bench.verify(LEAP, put({"src/leap.py": keeping}), APART)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert (await bench.again(criterion(isolation="InProcess"))).verdict is Verdict.PASS
