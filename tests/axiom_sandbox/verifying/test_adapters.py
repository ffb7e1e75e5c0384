"""Runners other than pytest: their programs' parts alone, and a few of their runs in a real clean room."""

import hashlib
import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from tests.axiom_sandbox.verifying.projects import Bench, put
from tests.cheats import golang, javascript, with_jest
from tests.cheats.other_tasks import OtherTask, missing, shown

from axiom_sandbox.protocol.changes import Entry, EntryKind
from axiom_sandbox.protocol.criteria import Runner
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.snapshots import Tree
from axiom_sandbox.verifying.judging import Side, Source
from axiom_sandbox.verifying.rooms import TOOLS
from axiom_sandbox.verifying.suites import verifier
from axiom_sandbox.verifying.suites.pinning import layout_of, pins_of
from axiom_sandbox.verifying.suites.verifier import ADAPTERS
from axiom_sandbox.verifying.suites.with_jest import configuration_of
from axiom_sandbox.verifying.suites.with_node import is_test_file


def needs(program: str) -> pytest.MarkDecorator:
    why = missing(program)
    return pytest.mark.skipif(bool(why), reason=why or "-")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"under_test_{name}", TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def is_alive(state: Path) -> bool:
    """Whether a process runs, by its /proc/<pid>/stat."""
    try:
        return state.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def tree(*paths: str) -> Tree:
    return Tree({path: Entry(path=path, kind=EntryKind.FILE, digest="1") for path in paths})


# --- what every adapter keeps to ---


def test_every_runner_has_an_adapter_whose_programs_are_there() -> None:
    assert set(ADAPTERS) == set(Runner)
    for adapter in ADAPTERS.values():
        assert all((TOOLS / part).is_file() for part in (adapter.tool, *adapter.parts))
        assert (
            adapter.digest()
            == hashlib.sha256(
                b"".join((TOOLS / part).read_bytes() for part in (adapter.tool, *adapter.parts))
            ).hexdigest()
        )


@pytest.mark.parametrize("name", ["run_node", "run_jest", "run_go"])
def test_a_program_says_the_digest_that_its_adapter_expects(name: str) -> None:
    (adapter,) = [a for a in ADAPTERS.values() if a.tool == f"{name}.py"]
    assert (adapter.tool, *adapter.parts) == load(name).PARTS


@pytest.mark.parametrize(
    ("runner", "path", "pinned"),
    [
        (Runner.NODE_TEST, "package.json", True),
        (Runner.NODE_TEST, "node_modules/chai/index.js", True),
        (Runner.NODE_TEST, "pkg/node_modules/chai/index.js", True),
        (Runner.NODE_TEST, "src/leap.js", False),
        (Runner.NODE_TEST, "src/other.spec.ts", True),
        (Runner.NODE_TEST, "test/helper.js", True),
        (Runner.NODE_TEST, "src/leap.test.js.snapshot", True),
        (Runner.NODE_TEST, "src/__fixtures__/years.json", True),
        (Runner.JEST, "src/__snapshots__/leap.test.js.snap", True),
        (Runner.JEST, "src/leap.test.js.snap", True),
        (Runner.JEST, "jest.config.ts", True),
        (Runner.JEST, "babel.config.cjs", True),
        (Runner.JEST, "src/__mocks__/fs.js", True),
        (Runner.JEST, "test/__mocks__/fs.js", True),
        (Runner.JEST, "node_modules/jest/index.js", True),
        (Runner.JEST, "src/setupTests.js", True),
        (Runner.JEST, "src/leap.js", False),
        (Runner.GO_TEST, "go.mod", True),
        (Runner.GO_TEST, "vendor/x/x.go", True),
        (Runner.GO_TEST, "a/testdata/x.json", True),
        (Runner.GO_TEST, "a/a_test.go", True),
        (Runner.GO_TEST, "a/years.golden", True),
        (Runner.GO_TEST, "a/a.go", False),
    ],
)
def test_what_is_the_bases_whatever_the_agent_did(runner: Runner, path: str, pinned: bool) -> None:
    base = tree(path, "test/leap.test.js", "leap_test.go")
    pins = pins_of(base, ["test/leap.test.js::x", "leap_test.go::TestX"], ADAPTERS[runner].conventions)
    assert (layout_of(base, base, pins)[path] is Source.BASE) is pinned


@pytest.mark.parametrize(
    ("runner", "path"),
    [
        (Runner.NODE_TEST, "node_modules/assert/index.js"),
        (Runner.NODE_TEST, "src/package.json"),
        (Runner.NODE_TEST, "test/setup.js"),
        (Runner.JEST, "jest.config.js"),
        (Runner.JEST, "src/.babelrc"),
        (Runner.JEST, "__mocks__/chai.js"),
        (Runner.JEST, "node_modules/expect/index.js"),
        (Runner.JEST, "test/__snapshots__/leap.test.js.snap"),
        (Runner.GO_TEST, "evil_test.go"),
        (Runner.GO_TEST, "vendor/testing/testing.go"),
        (Runner.GO_TEST, "go.work"),
    ],
)
def test_what_an_agent_adds_and_could_take_part_unasked_is_left_out(runner: Runner, path: str) -> None:
    base = tree("test/leap.test.js", "leap_test.go", "src/leap.js")
    candidate = tree(*base.entries, path)
    pins = pins_of(base, ["test/leap.test.js::x"], ADAPTERS[runner].conventions)
    assert path not in layout_of(base, candidate, pins)


@pytest.mark.parametrize(
    ("name", "is_test"),
    [("leap.test.js", True), ("leap.spec.ts", True), ("test-leap.mjs", True), ("test.cjs", True), ("leap_test.js", True),
     ("leap-test.tsx", True), ("latest.js", False), ("leap.js", False), ("contest.ts", False)],
)  # fmt: skip
def test_names_of_tests_in_javascript(name: str, is_test: bool) -> None:
    assert is_test_file(f"src/{name}") is is_test


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ("", "")),
        ({"package.json": "{}"}, ("", "")),
        ({"package.json": '{"jest": {}}'}, ("package.json", "")),
        ({"package.json": '{"jest": {}}', "a/jest.config.ts": ""}, ("a/jest.config.ts", "a")),
        ({"package.json": "no JSON", "a/package.json": "{}"}, ("", "a")),
        ({"jest.config.js": "", "a/package.json": "{}"}, ("jest.config.js", "")),
    ],
)
def test_the_configuration_of_jest_is_the_bases_nearest(
    files: dict[str, str], expected: tuple[str, str]
) -> None:
    base = Side(tree(*files), {path: text.encode() for path, text in files.items()})
    assert configuration_of(base, ["a/test/x.test.js", "a/b/y.test.js"]) == expected


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": '{"jest": {"setupFilesAfterEnv": ["jest-extended", "<rootDir>/scripts/setup.js"]}}'},
        {"package.json": '{"jest": {"rootDir": "scripts", "setupFiles": ["./setup"]}}'},
        {"jest.config.ts": "export default {\n  setupFiles: [\n    './scripts/setup.js',\n  ],\n}"},
        {"jest.config.cjs": "module.exports = { 'setupFiles': [require.resolve('./scripts/setup.js')] }"},
        {"jest.config.js": "module.exports = { snapshotSerializers: [`<rootDir>/scripts/setup.js`] }"},
    ],
)
def test_what_the_bases_configuration_of_jest_runs_before_tests_is_the_bases(files: dict[str, str]) -> None:
    files = {"scripts/setup.js": "", "scripts/other.js": "", "test/x.test.js": "", **files}
    base = Side(tree(*files), {path: text.encode() for path, text in files.items()})
    others = ADAPTERS[Runner.JEST].set_up_by(base, ["test/x.test.js"])
    pins = pins_of(base.tree, ["test/x.test.js::x"], ADAPTERS[Runner.JEST].conventions, others)
    layout = layout_of(base.tree, base.tree, pins)
    assert layout["scripts/setup.js"] is Source.BASE
    assert layout["scripts/other.js"] is Source.CANDIDATE


# --- their programs, piece by piece ---


def test_lines_that_a_witness_did_not_sign_are_forged() -> None:
    relay = load("relay")
    heard: list[object] = []
    told = (
        "import hashlib, hmac, json, os\n"
        "secret = os.read(3, 32)\n"
        "def send(n, kind, key=secret):\n"
        "    body = json.dumps({'n': n, 'kind': kind}).encode()\n"
        "    os.write(4, hmac.digest(key, body, 'sha256')[:16].hex().encode() + b' ' + body + b'\\n')\n"
        "send(0, 'hello'); os.write(4, b'no mac\\n'); send(1, 'forged', bytes(32)); send(7, 'skipped'); send(1, 'end')\n"
        "print('printed')\nos._exit(3)"
    )
    ended = relay.run([sys.executable, "-c", told], dict(os.environ), "/", {"a": 1}, heard.append)
    assert (ended.code, ended.forged) == (3, 3)
    assert [message["kind"] for message in ended.messages] == ["hello", "end"] == [m["kind"] for m in heard]
    assert ended.output == b"printed\n"
    assert ended.ending == "its process ended early, with exit code 3"


def test_what_a_process_leaves_behind_in_its_group_is_ended(tmp_path: Path) -> None:
    relay = load("relay")
    child = f"import os, time\nif os.fork() == 0: open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)\n"
    wait = f"import time, os.path\nwhile not (os.path.exists({str(tmp_path / 'pid')!r}) and os.path.getsize({str(tmp_path / 'pid')!r})): time.sleep(0.01)\n"
    ended = relay.run([sys.executable, "-c", child + wait], dict(os.environ), "/", {}, lambda message: None)
    assert ended.code == 0
    state = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    deadline = time.monotonic() + 60
    while is_alive(state) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(state)


def test_an_id_stands_for_what_is_below_it() -> None:
    relay = load("relay")
    sent: list[tuple[str, dict[str, object]]] = []
    plan = {"tests": ["a.js::leap", "b.js", "a.js::leap > x"], "workspace": "/", "ours": [], "seed": "1"}
    suite = relay.Suite(plan, lambda kind, **fields: sent.append((kind, fields)), " > ")
    suite.sentinel("b.js::must fail")
    for name in ("a.js::leap > x", "a.js::leaping", "b.js::y", "c.js::z", "b.js::must fail"):
        suite.take(name, {"outcome": "passed"})
    suite.finish({}, 0)
    assert sent[0][1]["tests"] == {
        "a.js::leap": ["a.js::leap > x"],
        "b.js": ["b.js::y"],
        "a.js::leap > x": ["a.js::leap > x"],
    }
    assert sent[0][1]["sentinels"] == ["b.js::must fail"]
    told = [fields["test"] for kind, fields in sent if kind == "test"]
    assert told == ["a.js::leap > x", "b.js::y", "b.js::must fail"]


def test_lines_of_javascript_that_have_code(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("// no\n/* no\n no */ yes()\n}\n\nyes\n})\n")
    assert load("run_node").code_lines(str(tmp_path / "a.js")) == [3, 6]


def test_lines_of_go_that_have_code() -> None:
    text = "package a\n\nvar x = 1\n\nfunc A() {\n\t// no\n\tyes()\n\n\tif x {\n\t}\n}\n\nfunc B() int { return 1 }\n"
    assert load("run_go").code_lines(text) == {7, 9}


def test_what_package_testing_printed_of_each_test() -> None:
    output = "--- FAIL: TestA (0.00s)\n    a_test.go:3: no\n    --- FAIL: TestA/x (0.00s)\n        a_test.go:9: yes\nFAIL\n"
    assert load("run_go").messages(output) == {"TestA": "a_test.go:3: no", "TestA/x": "a_test.go:9: yes"}


@pytest.mark.parametrize(
    ("path", "body", "declared"),
    [
        ("example.com/leap", "example.com/leap.Test1900", True),
        ("example.com/leap", "example.com/leap_test.Test1900", True),
        ("example.com/leap", "example.com/leap.init.0.func2", False),
        ("example.com/leap", "example.com/other.Test1900", False),
    ],
)
def test_a_test_is_the_function_that_its_package_declares(path: str, body: str, declared: bool) -> None:
    package = load("run_go").Package("", [], path=path)
    assert package.declares({"test": "Test1900", "body": body}) is declared


@needs("go")
def test_package_testing_of_this_machine_is_known(tmp_path: Path) -> None:
    bench = load("run_go").Bench({"workspace": str(tmp_path), "measured": []}, tmp_path)
    bench.lay_witness()
    assert [Path(path).name for path in bench.replaced] == ["quick.go", "testing.go", "axiom.go"]


def test_a_package_testing_that_is_not_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("run_go")
    (tmp_path / "src/testing").mkdir(parents=True)
    (tmp_path / "src/testing/testing.go").write_text("package testing\n")

    def go(*args: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, f"go1.99.1\n{tmp_path}\n", "")

    monkeypatch.setattr(module.subprocess, "run", go)
    with pytest.raises(module.UnfitError, match=r"package testing of go1\.99\.1 is not one that is known"):
        module.Bench({"workspace": str(tmp_path), "measured": []}, tmp_path).lay_witness()


@pytest.mark.parametrize(("name", "program"), [("run_node", "node"), ("run_go", "go")])
def test_without_its_program_a_runner_says_so(
    name: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    module = load(name)
    if name == "run_node":
        assert module.unfit() == "there is no program node"
        return
    with pytest.raises(module.UnfitError, match="there is no program go"):
        module.Bench({"workspace": str(tmp_path), "measured": []}, tmp_path).lay_witness()


# --- in a clean room ---


async def decide(bench: Bench, task: object, files: object, **fields: object) -> object:
    bench.room.shown = shown(task.program)
    return await bench.verify(task.base, put(files), task.criterion(**fields))


@needs("node")
@pytest.mark.sandbox
async def test_an_honest_fix_in_javascript_passes_with_its_coverage(bench: Bench) -> None:
    task = javascript.LEAP
    whole_file = [task.tests_path]
    found = await decide(
        bench, task, {task.module: task.right}, failToPass=whole_file, minChangedCoveragePercent=100
    )
    (result,) = found.results
    assert (found.verdict, result.strength) == (Verdict.PASS, Strength.IN_PROCESS), result.message
    evidence = bench.events[-2].evidence
    assert evidence["coverage"] == [{"total": 100, "changed": 100, "lines": 2}] * 2


@needs("jest")
@pytest.mark.sandbox
@pytest.mark.cheats
@pytest.mark.parametrize("task", with_jest.TASKS, ids=lambda task: task.name)
async def test_an_honest_fix_that_jest_tests_passes_with_its_coverage(bench: Bench, task: OtherTask) -> None:
    found = await decide(bench, task, {task.module: task.right}, minChangedCoveragePercent=100)
    (result,) = found.results
    assert (found.verdict, result.strength) == (Verdict.PASS, Strength.IN_PROCESS), result.message
    assert [run["changed"] for run in bench.events[-2].evidence["coverage"]] == [100, 100]


@needs("jest")
@pytest.mark.sandbox
@pytest.mark.cheats
async def test_code_that_jest_does_not_run_is_not_covered(bench: Bench) -> None:
    task = with_jest.ROMAN
    unused = task.right.replace(
        "module.exports", "function unused(a) {\n  a += 1\n  a += 2\n  return a\n}\nmodule.exports"
    )
    found = await decide(bench, task, {task.module: unused}, minCoveragePercent=80)
    assert found.verdict is Verdict.FAIL
    assert "lib/roman.js:8-11" in found.results[0].message, found.results[0].message


@needs("jest")
@pytest.mark.sandbox
@pytest.mark.cheats
@pytest.mark.parametrize(
    "name",
    ["matchers replaced", "expect replaced", "bodies replaced", "handlers called", "tests of the same names"],
)
async def test_what_is_done_to_jest_is_told_of(bench: Bench, name: str) -> None:
    task = with_jest.LEAP
    found = await decide(bench, task, with_jest.OWN["trickery"][name](task))
    assert found.verdict is Verdict.FAIL
    telling = {"matchers replaced": "expect().toBe", "bodies replaced": "without its own code"}
    assert telling.get(name, "") in found.results[0].message, found.results[0].message


@needs("jest")
@pytest.mark.sandbox
@pytest.mark.cheats
async def test_a_set_up_of_the_agents_does_not_take_the_place_of_the_bases(bench: Bench) -> None:
    roman = with_jest.ROMAN
    config = '{"name": "roman", "jest": {"setupFilesAfterEnv": ["./scripts/ready.js"]}}'
    set_up = {"package.json": config, "scripts/ready.js": "beforeEach(() => {})\n"}
    task = replace(roman, others={**roman.others, **set_up})
    evil = (
        "const always = () => ({ pass: true })\nexpect.extend({ toEqual: always, toStrictEqual: always })\n"
    )
    found = await decide(bench, task, {"scripts/ready.js": evil})
    assert found.verdict is Verdict.FAIL
    assert "The agent changed scripts/ready.js; the base's version was used." in found.results[0].message


@needs("jest")
@pytest.mark.sandbox
@pytest.mark.cheats
@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"jest.config.cjs": "module.exports = { testEnvironment: './env.cjs' }", "env.cjs": "module.exports = require('jest-environment-node').TestEnvironment"}, "run beside what watches the tests"),
        ({"jest.config.json": '{"projects": ["<rootDir>", "<rootDir>/test"]}', "test/package.json": "{}"}, "several projects"),
        ({"test/leap.test.mjs": "/**\n * @jest-environment jsdom\n */\n" + with_jest.LEAP.tests}, "@jest-environment"),
    ],
)  # fmt: skip
async def test_a_base_that_jest_cannot_be_watched_on_proves_nothing(bench: Bench, others: dict[str, str], message: str) -> None:  # fmt: skip
    task = with_jest.LEAP
    bench.room.shown = shown("jest")
    found = await bench.verify({**task.base, **others}, put({task.module: task.right}), task.criterion())
    assert found.verdict is not Verdict.PASS
    assert message in found.results[0].message, found.results[0].message


@needs("node")
@pytest.mark.sandbox
async def test_without_jest_its_runner_says_so(bench: Bench) -> None:
    task = with_jest.LEAP
    found = await bench.verify(task.base, put({task.module: task.right}), task.criterion())
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "there is no package jest" in found.results[0].message


@needs("node")
@pytest.mark.sandbox
async def test_javascript_that_replaces_assertions_fails(bench: Bench) -> None:
    found = await decide(
        bench, javascript.LEAP, javascript.CHEATS["trickery"]["one assertion replaced"](javascript.LEAP)
    )
    assert found.verdict is Verdict.FAIL
    assert "The code under test replaced assert.deepStrictEqual" in found.results[0].message


AT_A_CONTEXT = replace(
    javascript.LEAP,
    tests="import test from 'node:test'\nimport { isLeap } from '../leap.mjs'\n\n"
    "test('1900', async (t) => t.assert.equal(isLeap(1900), false))\n"
    "test('2000', async (t) => t.assert.ok(isLeap(2000)))\n",
    passing=("2000",),
)
"""Tests whose assertions are those of their context."""


@needs("node")
@pytest.mark.sandbox
@pytest.mark.cheats
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("test.beforeEach((t) => { try { t.assert.equal = () => {} } catch {} })", "node:test.beforeEach"),
        ("test.beforeEach((t) => Object.defineProperty(Object.getPrototypeOf(t), 'assert', { get: () => ({ equal() {}, ok() {} }) }))", "node:test.beforeEach"),
        ("B('node:test').beforeEach((t) => { t.assert.equal = () => {} })", "node:test.beforeEach"),
        ("test.assert?.register('equal', () => {}) ?? B('node:test').beforeEach(() => {})", "replaced node:test."),
        ("B('node:module').register('data:text/javascript,')", "how modules are found"),
    ],
)  # fmt: skip
async def test_assertions_of_a_tests_context_cannot_be_replaced(
    bench: Bench, code: str, message: str
) -> None:
    task = AT_A_CONTEXT
    cheat = f"import test from 'node:test'\n{javascript.B}{code}\n{task.buggy}"
    found = await decide(bench, task, {task.module: cheat})
    assert found.verdict is Verdict.FAIL
    assert message in found.results[0].message, found.results[0].message


@needs("node")
@pytest.mark.sandbox
@pytest.mark.cheats
@pytest.mark.parametrize(
    ("files", "verdict", "message"),
    [
        ({AT_A_CONTEXT.module: AT_A_CONTEXT.right}, Verdict.PASS, "2 tests pass in 2 runs."),
        ({"NEWS.md": "nothing mended"}, Verdict.FAIL, "true == false (line 4)"),
    ],
)
async def test_assertions_of_a_tests_context_decide(
    bench: Bench, files: dict[str, str], verdict: Verdict, message: str
) -> None:
    found = await decide(bench, AT_A_CONTEXT, files)
    assert found.verdict is verdict, found.results[0].message
    assert message in found.results[0].message, found.results[0].message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"runner": "GoTest", "passToPass": ["a.py::b"]},
            "a.py: go test runs tests in files that end in _test.go",
        ),
        (
            {"runner": "NodeTest", "passToPass": ["leap.js::b"], "isolation": "Process"},
            "Process asks for one of its own",
        ),
    ],
)
@pytest.mark.sandbox
async def test_what_a_runner_cannot_do_is_said_before_anything_runs(
    bench: Bench, fields: dict[str, object], message: str
) -> None:
    found = await bench.verify(
        {"a.py": "", "leap.js": ""}, put({"a.py": "1"}), {"name": "t", "tests": fields}
    )
    assert found.verdict is Verdict.INCONCLUSIVE
    assert message in found.results[0].message
    assert bench.room.jobs == []


@needs("go")
@pytest.mark.cheats
@pytest.mark.sandbox
async def test_an_honest_fix_in_go_passes_with_its_coverage(bench: Bench) -> None:
    task = golang.LEAP
    found = await decide(bench, task, {task.module: task.right}, minChangedCoveragePercent=100)
    assert found.verdict is Verdict.PASS, found.results[0].message
    assert [run["changed"] for run in bench.events[-2].evidence["coverage"]] == [100, 100]


@needs("go")
@pytest.mark.cheats
@pytest.mark.sandbox
async def test_a_test_in_go_that_takes_others_down_with_it_takes_no_result_of_theirs(bench: Bench) -> None:
    task = golang.LEAP
    crashing = 'package leap\n\nfunc IsLeap(year int) bool {\n\tif year == 1900 {\n\t\tpanic("no")\n\t}\n\treturn year%4 == 0\n}\n'
    base = task.base | {task.module: crashing}
    bench.room.shown = shown("go")
    found = await bench.verify(base, put({task.module: task.right}), task.criterion())
    assert found.verdict is Verdict.PASS, found.results[0].message


NODE = ("node_witness.mjs", Runner.NODE_TEST, javascript.LEAP, javascript.CHEATS)
JEST = ("jest_witness.cjs", Runner.JEST, with_jest.LEAP, with_jest.CHEATS)
JEST_BODIES = ("    ran: record.ended,\n", "    ran: true,\n")
REGISTERED = ("if (!isSentinel && !isOurs()) {", "if (false) {")
BODIES = ("    ran,\n", "    ran: true,\n")
FOUNDATIONS = ("send('tampered', { parts: ownKeys(seen) })", "")
DEFENCES = {
    "foundations": (NODE, "one assertion replaced, no other", (FOUNDATIONS,)),
    "bodies and foundations, each alone enough": (
        NODE,
        "one result in the stream patched",
        (BODIES, FOUNDATIONS),
    ),
    "Jest's expect": (JEST, "expect replaced", (FOUNDATIONS,)),
    "bodies of Jest's tests": (JEST, "bodies replaced, but the sentinel's", (JEST_BODIES,)),
    "whose code registers, and foundations, each alone enough": (
        JEST,
        "the function test replaced",
        (REGISTERED, FOUNDATIONS),
    ),
}
"""The cheat that gets through without these parts of the witness, and with no fewer gone."""


@needs("jest")
@pytest.mark.cheats
@pytest.mark.sandbox
@pytest.mark.parametrize(("language", "cheat", "gone"), DEFENCES.values(), ids=DEFENCES)
async def test_a_defence_switched_off_lets_a_cheat_through(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    language: tuple[str, Runner, OtherTask, dict[str, dict[str, javascript.Cheat]]],
    cheat: str,
    gone: tuple[tuple[str, str], ...],
) -> None:
    witness, runner, task, cheats = language
    path, files = bench.room.tools_folder / witness, cheats["trickery"][cheat](task)
    text, adapter = path.read_text(), ADAPTERS[runner]

    def without(*parts: tuple[str, str]) -> None:
        weaker = text
        for before, after in parts:
            assert before in weaker
            weaker = weaker.replace(before, after)
        path.write_text(weaker)
        ours = [(bench.room.tools_folder / part).read_bytes() for part in (adapter.tool, *adapter.parts)]
        monkeypatch.setattr(verifier, "runner_digest", lambda _: hashlib.sha256(b"".join(ours)).hexdigest())

    without(*gone)
    assert (await decide(bench, task, files)).verdict is Verdict.PASS
    for kept in gone:
        without(*(part for part in gone if part is not kept))
        assert (await bench.again(task.criterion())).verdict is Verdict.FAIL


@needs("jest")
@pytest.mark.cheats
@pytest.mark.sandbox
async def test_an_answer_that_calls_itself_a_matcher_passes_where_jest_asks_it(bench: Bench) -> None:
    """What docs/design/limitations.md says still passes."""
    always = "{ $$typeof: Symbol.for('jest.asymmetricMatcher'), asymmetricMatch: () => true }"
    lying = {with_jest.ROMAN.module: f"module.exports = {{ toRoman: () => ({always}) }}\n"}
    assert (await decide(bench, with_jest.ROMAN, lying)).verdict is Verdict.PASS


@needs("node")
@pytest.mark.cheats
@pytest.mark.sandbox
async def test_without_its_file_being_loaded_no_test_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = (
        "const T = await import('node:test')\nT.test('1900', () => {})\n"
        "T.describe('others', () => { T.test('2000', () => {}); T.test('2023', () => {}) })\n"
        "await new Promise(() => {})\nexport const isLeap = 1\n"
    )
    path = bench.room.tools_folder / "run_node.py"
    text = path.read_text()
    assert text.count('ended.said("loaded")') == 2
    path.write_text(text.replace('ended.said("loaded")', "True"))
    witness = bench.room.tools_folder / "node_witness.mjs"
    kept = witness.read_text()
    witness.write_text(kept.replace("genuine: body === undefined || body.foreign === 0", "genuine: true"))
    adapter = ADAPTERS[Runner.NODE_TEST]
    parts = [(bench.room.tools_folder / part).read_bytes() for part in (adapter.tool, *adapter.parts)]
    with monkeypatch.context() as patch:
        patch.setattr(verifier, "runner_digest", lambda _: hashlib.sha256(b"".join(parts)).hexdigest())
        assert (await decide(bench, javascript.LEAP, {"leap.mjs": fakes})).verdict is Verdict.PASS
    path.write_text(text)
    witness.write_text(kept)
    assert (await bench.again(javascript.LEAP.criterion())).verdict is Verdict.FAIL


EASED = replace(
    golang.LEAP,
    tests='package leap\n\nimport (\n\t"testing"\n\t"testing/quick"\n)\n\nfunc Test1900(t *testing.T) {\n'
    "\tyears := map[int]bool{1900: false, 1800: false, 2000: true}\n\tif testing.Short() {\n\t\tyears = nil\n\t}\n"
    "\tfor year, wanted := range years {\n\t\tif IsLeap(year) != wanted {\n\t\t\tt.Fatal(year)\n\t\t}\n\t}\n}\n\n"
    "func TestHundreds(t *testing.T) {\n\tright := func(n uint8) bool { return IsLeap(int(n)*400+100) == false }\n"
    "\tif err := quick.Check(right, nil); err != nil {\n\t\tt.Fatal(err)\n\t}\n}\n",
    failing=("Test1900", "TestHundreds"),
    passing=(),
)
TURNED_DOWN = {
    "fewer inputs": 'import (\n\t"flag"\n\t"testing"\n)\n\nfunc init() {\n\ttesting.Init()\n\tflag.Set("test.short", "true")\n'
    '\tflag.Set("quickchecks", "0")\n}\n',
    "booleans declared anew": "const true, false = 1 == 1, 1 == 1\n",
}


@needs("go")
@pytest.mark.cheats
@pytest.mark.sandbox
@pytest.mark.parametrize("text", TURNED_DOWN.values(), ids=TURNED_DOWN)
async def test_tests_in_go_try_as_much_and_mean_the_same_whatever_is_beside_them(
    bench: Bench, text: str
) -> None:
    bench.room.shown = shown("go")
    files = {EASED.module: EASED.buggy, "eased.go": f"package leap\n\n{text}"}
    found = (await bench.verify(EASED.base, put(files), EASED.criterion())).results[0]
    assert found.verdict is Verdict.FAIL, found.message


@needs("go")
@pytest.mark.cheats
@pytest.mark.sandbox
async def test_an_honest_fix_passes_tests_in_go_that_draw_values(bench: Bench) -> None:
    bench.room.shown = shown("go")
    found = (await bench.verify(EASED.base, put({EASED.module: EASED.right}), EASED.criterion())).results[0]
    assert found.verdict is Verdict.PASS, found.message
