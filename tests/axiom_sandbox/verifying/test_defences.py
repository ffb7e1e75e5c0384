"""Each defence of test runs, switched off: a cheat that it stops then gets through."""

import hashlib
import re
from collections.abc import Mapping
from types import SimpleNamespace

import pytest
from tests.axiom_sandbox.verifying.projects import BUGGY, LEAP, LEAP_CRITERION, TESTS, Bench, put
from tests.axiom_sandbox.verifying.test_cheats import CHEATS, at_import
from tests.cheats.catalogue import STEPS_OVER
from tests.cheats.particular import PARTICULAR, Particular

from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.verifying import driver
from axiom_sandbox.verifying.suites import verifier

pytestmark = pytest.mark.sandbox

PARTS = {
    "sentinels": ("module in _modules(pytest, kept)", "module in []"),
    "replaced parts": ("tampered=watches[0].changes(),", "tampered=[],"),
    "bodies": ("ran=ran.get(item, False) if expects else ran.get(item),", "ran=None,"),
    "codes": ("genuine=genuine.get(item),", "genuine=None,"),
    "bodies of unittest": ("            ran[item] = False\n", ""),
    "what others call": ("ran.setdefault(pyfuncitem, True)", "ran[pyfuncitem] = True"),
    "links and folders": ("            stamps.watch()\n", ""),
    "tracers": ("                watches[0].listen()\n", "                pass\n"),
    "modules of the image": ('Image(plan.get("added", ()))', "Image(())"),
    "how much is tried": ("under=_settings_of(item),", ""),
    "mocks": ('"unittest.mock", "hypothesis"', '"hypothesis"'),
    "stamps": ("changed=stamps.changed(),", ""),
}


def without(bench: Bench, patch: pytest.MonkeyPatch, *parts: str) -> None:
    """Takes parts out of the room's copy of the runner."""
    path = bench.room.tools_folder / "run_pytest.py"
    text = path.read_text()
    for part in parts:
        before, after = PARTS[part]
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)
    patch.setattr(verifier, "runner_digest", lambda _: hashlib.sha256(text.encode()).hexdigest())


async def verdict(
    bench: Bench, files: Mapping[str, str | None], base: Mapping[str, str] = LEAP, **fields: object
) -> Verdict:
    criterion = LEAP_CRITERION | {"tests": LEAP_CRITERION["tests"] | fields}
    return (await bench.verify(base, put(files), criterion)).verdict


@pytest.mark.parametrize(
    ("cheat", "parts"),
    [("test edited", ()), ("test emptied", ()), ("conftest in the root", ("sentinels", "bodies"))],
)
async def test_tests_and_configuration_of_the_base(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, cheat: str, parts: tuple[str, ...]
) -> None:
    def never(path: str) -> bool:
        return False

    nothing = SimpleNamespace(covers=never, leaves_out=never, forbids=never)
    monkeypatch.setattr(verifier, "pins_of", lambda *_: nothing)
    without(bench, monkeypatch, *parts)
    assert await verdict(bench, CHEATS[cheat]) is Verdict.PASS


@pytest.mark.parametrize("kept", ["sentinels", "replaced parts", "bodies", None])
async def test_any_one_of_three_notices_a_replaced_part_of_pytest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kept: str | None
) -> None:
    without(bench, monkeypatch, *({"sentinels", "replaced parts", "bodies"} - {kept}))
    expected = Verdict.PASS if kept is None else Verdict.FAIL
    assert await verdict(bench, CHEATS["runtest replaced"]) is expected


EMPTIED_IN_MEMORY = """\
import gc, pluggy, sys, types
def is_leap(year): return year % 4 == 0
def pytest_collection_finish():
    for found in gc.get_objects():
        if isinstance(found, types.FunctionType) and found.__name__ in ("test_1900", "test_2000", "test_2023"):
            found.__code__ = (lambda: None).__code__
for manager in gc.get_objects():
    if isinstance(manager, pluggy.PluginManager): manager.register(sys.modules[__name__])
"""


@pytest.mark.parametrize(("parts", "expected"), [(("codes",), Verdict.PASS), ((), Verdict.FAIL)])
async def test_comparing_the_code_of_tests(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...], expected: Verdict
) -> None:
    without(bench, monkeypatch, *parts)
    assert await verdict(bench, {"src/leap.py": EMPTIED_IN_MEMORY}) is expected


FORGED_WITH_A_KNOWN_NONCE = """\
import hmac, json, os
count = 1
def send(**fields):
    global count
    body = json.dumps({"n": count, **fields}).encode()
    count += 1
    mac = hmac.digest(bytes(32), body, "sha256")[:16].hex()
    os.write(4, mac.encode() + b" " + body + b"\\n")
names = [f"tests/test_leap.py::test_{year}" for year in (1900, 2000, 2023)]
send(kind="collected", tests={name: [name] for name in names}, sentinels=[])
for name in names: send(kind="test", test=name, outcome="passed", tampered=[])
os._exit(0)
"""


@pytest.mark.parametrize(("known", "expected"), [(True, Verdict.PASS), (False, Verdict.FAIL)])
async def test_a_nonce_that_nobody_can_foresee(bench: Bench, known: bool, expected: Verdict) -> None:
    if known:
        bench.entropy = bytes
    assert await verdict(bench, {"src/leap.py": FORGED_WITH_A_KNOWN_NONCE + BUGGY}) is expected


async def test_looking_at_the_tests_afterwards(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    base = LEAP | {
        "tests/answer.txt": "False",
        "tests/test_leap.py": TESTS.replace(
            "is_leap(1900) is False", "str(is_leap(1900)) == open('tests/answer.txt').read()"
        ),
    }
    rewriting = at_import("open('/mnt/tests/answer.txt', 'w').write('True')")
    without(bench, monkeypatch, "stamps")
    with monkeypatch.context() as patch:
        patch.setattr(driver, "altered", lambda *_: ())
        assert await verdict(bench, rewriting, base) is Verdict.PASS
    assert (await bench.again(LEAP_CRITERION)).verdict is Verdict.FAIL


async def test_checking_the_base(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "_base_problem", lambda *_: "")
    already = {"failToPass": ["tests/test_leap.py::test_2000"], "passToPass": []}
    assert await verdict(bench, {"README.md": "done"}, **already) is Verdict.PASS


async def test_running_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lucky_once = (
        "import pathlib\n"
        "def is_leap(year):\n"
        "    return year % 4 == 0 and (year != 1900 or pathlib.Path('/mnt/unlucky').exists())\n"
    )
    runs = iter([False, False, True])  # the base, the first run, the second

    def luck(job: object) -> None:
        if next(runs, True):
            (bench.room.tree / "unlucky").write_text("")

    bench.room.before = luck
    assert await verdict(bench, {"src/leap.py": lucky_once}) is Verdict.INCONCLUSIVE
    runs = iter([False, False])
    monkeypatch.setattr(verifier, "_RUNS", 1)
    assert (await bench.again(LEAP_CRITERION)).verdict is Verdict.PASS


IN_UNITTEST = LEAP | {
    "tests/test_leap.py": "import unittest\nfrom leap import is_leap\nclass TestLeap(unittest.TestCase):\n"
    "    def test_1900(self): self.assertIs(is_leap(1900), False)\n"
}
STOPPING = "import unittest.case\ndef is_leap(year): raise unittest.case._ShouldStop\n"


@pytest.mark.parametrize(
    ("parts", "expected"), [(("bodies of unittest",), Verdict.PASS), ((), Verdict.FAIL)], ids=["off", "on"]
)
async def test_the_bodies_of_unittests_tests(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...], expected: Verdict
) -> None:
    without(bench, monkeypatch, *parts)
    ids = {"failToPass": ["tests/test_leap.py::TestLeap::test_1900"], "passToPass": []}
    assert await verdict(bench, {"src/leap.py": STOPPING}, IN_UNITTEST, **ids) is expected


PUT_BACK = """\
import pathlib
def is_leap(year):
    pathlib.Path('/mnt/tests/answer.txt').write_text('True' if year == 1900 else 'False')
    return year % 4 == 0
"""


@pytest.mark.cheats
@pytest.mark.parametrize(
    ("parts", "expected"), [(("stamps",), Verdict.PASS), ((), Verdict.FAIL)], ids=["off", "on"]
)
async def test_noticing_what_was_changed_and_put_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...], expected: Verdict
) -> None:
    base = LEAP | {
        "tests/answer.txt": "False",
        "tests/test_leap.py": TESTS.replace(
            "is_leap(1900) is False",
            "str(is_leap(1900)) == open('tests/answer.txt').read() and is_leap(2000)",
        ),
    }
    ids = {"failToPass": ["tests/test_leap.py::test_1900"], "passToPass": []}
    without(bench, monkeypatch, *parts)
    assert await verdict(bench, {"src/leap.py": PUT_BACK}, base, **ids) is expected


def _particular(name: str, cheat: str) -> tuple[Particular, Mapping[str, str | None]]:
    (task,) = (one for one in PARTICULAR if one.name == name)
    return task, task.cheats[cheat]


@pytest.mark.cheats
@pytest.mark.parametrize(
    ("name", "cheat", "parts"),
    [
        ("golden files", "the result is a link to the golden file", ("links and folders",)),
        ("tests that wait", "nobody waits", ("what others call",)),
        ("modules of the standard library", "planted", ("modules of the image",)),
        ("drawn values", "one value only", ("how much is tried",)),
        ("mocks", "mocks that assert nothing", ("mocks",)),
    ],
)
async def test_defences_of_particular_tests(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, cheat: str, parts: tuple[str, ...]
) -> None:
    task, files = _particular(name, cheat)
    criterion = task.criterion(isolation="InProcess")
    criterion["tests"] |= {"failToPass": task.failing[:1], "passToPass": ()}
    without(bench, monkeypatch, *parts)
    assert (await bench.verify(task.base, put(files), criterion)).verdict is Verdict.PASS


@pytest.mark.cheats
@pytest.mark.parametrize("parts", [("tracers",), ()], ids=["off", "on"])
async def test_who_traces_for_a_moment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...]
) -> None:
    without(bench, monkeypatch, *parts)
    stepping = f"def is_leap(year):\n    exec({STEPS_OVER!r}, {{}})\n    return True\n"
    tests = TESTS.replace(
        "    assert is_leap(1900) is False\n",
        "    found = is_leap(1900)\n    assert found is False\n    return\n",
    )
    ids = {"failToPass": ["tests/test_leap.py::test_1900"], "passToPass": []}
    base = LEAP | {"tests/test_leap.py": tests}
    expected = Verdict.PASS if parts else Verdict.FAIL
    assert await verdict(bench, {"src/leap.py": stepping}, base, **ids) is expected


@pytest.mark.cheats
@pytest.mark.parametrize(
    ("parts", "name", "cheat"),
    [
        (
            ['"pickle.find_class": self._unpickles,', '"compile": self._evaluates,'],
            "pickles",
            "a pickle of a liar",
        ),
        (
            ["_start_programs_locked(lock)"],
            "programs that tests start",
            "the answer read from the tests' file",
        ),
    ],
    ids=["pickles", "programs"],
)
async def test_without_the_seal_a_cheat_is_told_as_apart(
    bench: Bench, parts: list[str], name: str, cheat: str
) -> None:
    task, files = _particular(name, cheat)
    path = bench.room.tools_folder / "sealing.py"
    text = path.read_text()
    for part in parts:
        assert part in text
        text = re.sub(f" *{re.escape(part)}\n", "", text)
    path.write_text(text)
    found = (await bench.verify(task.base, put(files), task.criterion())).results[0]
    assert (found.verdict, found.strength) == (Verdict.PASS, Strength.PROCESS), found.message
