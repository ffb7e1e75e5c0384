"""Builds the packages of named Go tests, runs each in a process of its own beside `go_witness.txt`, and reports.

Runs as `python -I -B relay.py run_go.py`. The witness is laid over the standard library with `-overlay`, and package testing, in a
copy for this build, tells it when a test begins and how it ended; a test that must fail is laid over each package. All is
built before anything of the workspace runs. Tests come in random order.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PARTS = ("run_go.py", "relay.py", "run_pytest.py", "go_witness.txt")
SEPARATOR = "/"
OLDEST = (1, 21)
SEEDS = (Path("/usr/local/share/go-build"),)
"""Where an image may keep what was built of the standard library: a cache that is copied, so that it need not be writable."""
MAX_RESTARTS = 20
_PATCHES = (
    ("\nimport (\n", '\nimport (\n\taxiom "@PATH@"\n'),
    ("type T struct {\n", "type T struct {\n\taxiomRan bool\n\taxiomBody string\n"),
    (
        "\tfn(t)\n",
        "\tif t.parent != nil {\n\t\taxiom.Start(t.name)\n\t}\n"
        "\tt.axiomBody = runtime.FuncForPC(reflect.ValueOf(fn).Pointer()).Name()\n\tfn(t)\n\tt.axiomRan = true\n",
    ),
    ("\treturn *short\n", "\treturn false\n"),  # a flag that the code under test could set
    (
        "func (t *T) report() {\n",
        "func (t *T) report() {\n\tif t.parent == nil {\n\t\taxiom.End()\n\t} else {\n"
        "\t\taxiom.Report(t.name, t.Failed(), t.Skipped(), t.axiomRan, t.axiomBody)\n\t}\n",
    ),
)
_QUICK = (
    ('\t"flag"\n', ""),
    (
        '*int = flag.Int("quickchecks", 100, "The default number of iterations for each check")',
        "= func() *int { count := 100; return &count }()",
    ),
)
"""Package testing/quick, whose number of tries is no flag that the code under test could set."""
_TEST = re.compile(r"^func (Test\w*)\(", re.MULTILINE)
_PACKAGE = re.compile(r"^package (\w+)", re.MULTILINE)
_MODULE = re.compile(r"^module\s+\"?([^\s\"]+)", re.MULTILINE)
_BLOCK = re.compile(r"^(.+):(\d+)\.\d+,(\d+)\.\d+ (\d+) (\d+)$")


class UnfitError(Exception):
    """There is nothing to run tests with. The message is for people."""


@dataclass
class Package:
    """A directory whose tests are asked for."""

    folder: str
    """Inside the workspace; empty: the workspace itself."""
    files: list[str]
    tests: dict[str, str] = field(default_factory=dict)
    """Name of a test's function → file."""
    sentinel: str = ""
    binary: Path = Path()
    digest: str = ""
    problem: str = ""
    """Why it could not be built."""
    path: str = ""
    """The path by which it is imported."""

    def declares(self, result: dict[str, Any]) -> bool:
        """Whether what ran as one of its tests is the function of that name."""
        where, _, function = str(result["body"]).rpartition(".")
        return function == result["test"] and where in (self.path, f"{self.path}_test")


class Bench:
    """Where things are built."""

    def __init__(self, plan: dict[str, Any], folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.workspace = Path(plan["workspace"])
        self.env = dict(os.environ) | {"GOCACHE": str(folder / "cache"), "GOTMPDIR": str(folder)}
        self.replaced: dict[str, str] = {}
        for seed in SEEDS:
            if seed.is_dir():
                shutil.copytree(seed, folder / "cache", dirs_exist_ok=True, copy_function=shutil.copyfile)

    def lay_witness(self) -> None:
        """Over the standard library. Raises UnfitError."""
        try:
            printed = subprocess.run(
                ["go", "env", "GOVERSION", "GOROOT"], env=self.env, capture_output=True, check=True, text=True
            ).stdout.split("\n")
        except (OSError, subprocess.CalledProcessError) as error:
            raise UnfitError("there is no program go") from error
        version = tuple(map(int, re.findall(r"\d+", printed[0])[:2]))
        if version < OLDEST:
            raise UnfitError(f"Go {OLDEST[0]}.{OLDEST[1]} or newer is needed, not {printed[0]}")
        source = Path(printed[1], "src")
        text = (source / "testing" / "testing.go").read_text()
        if any(text.count(before) != 1 for before, _ in _PATCHES):
            raise UnfitError(f"package testing of {printed[0]} is not one that is known")
        text = _replaced(text, _PATCHES)
        quick = source / "testing" / "quick" / "quick.go"
        if all(quick.read_text().count(before) == 1 for before, _ in _QUICK):
            self.lay(quick, _replaced(quick.read_text(), _QUICK))
        # Nobody can import it, as nobody knows its path; and of packages that import as little, it is the first.
        path = f"0{os.urandom(16).hex()}"
        self.lay(source / "testing" / "testing.go", text.replace("@PATH@", path))
        self.lay(source / path / "axiom.go", (Path(__file__).parent / "go_witness.txt").read_text())

    def lay(self, path: Path, text: str) -> None:
        """Puts a text in the place of a file, for builds alone."""
        ours = self.folder / f"{len(self.replaced)}.go"
        ours.write_text(text)
        os.utime(ours, (0, 0))  # Go before 1.25 looks for a package of new files in the real directory alone
        self.replaced[str(path)] = str(ours)

    def build(self, package: Package, number: int) -> None:
        """Makes the program that runs the package's tests."""
        overlay = self.folder / "overlay.json"
        overlay.write_text(json.dumps({"Replace": self.replaced}))
        package.binary = self.folder / f"{number}.test"
        module = self.module_of(package.folder)
        target = os.path.relpath(self.workspace / package.folder, module)
        package.path = _import_path(module, target)
        argv = ["go", "test", "-c", "-vet=off", f"-overlay={overlay}", "-o", str(package.binary)]
        if self.plan["measured"]:
            argv += ["-covermode=set", "-coverpkg=./..."]
        done = subprocess.run(
            [*argv, f"./{target}"], cwd=module, env=self.env, capture_output=True, check=False
        )
        if done.returncode or not package.binary.exists():
            text = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
            package.problem = f"it does not compile: {text[-1000:]}"
            return
        package.digest = _digest(package.binary)

    def module_of(self, folder: str) -> Path:
        """The directory with the go.mod that a directory belongs to."""
        at = self.workspace / folder
        while at != self.workspace and not (at / "go.mod").exists():
            at = at.parent
        return at

    def source(self, file: str) -> str:
        """A file of the workspace; empty where it is none."""
        try:
            return (self.workspace / file).read_text("utf-8", "replace")
        except OSError:
            return ""


def main(relay: Any) -> None:
    """Reads the plan, builds all, runs each, reports."""
    plan, send = relay.begin(PARTS)
    with tempfile.TemporaryDirectory(prefix="go-", ignore_cleanup_errors=True) as folder:
        bench = Bench(plan, Path(folder))
        suite = relay.Suite(plan, send, SEPARATOR)
        try:
            bench.lay_witness()
        except UnfitError as error:
            send("unable", reason=str(error))
            return
        packages = packages_of(plan["files"], bench)
        for number, package in enumerate(packages):
            _add_sentinel(bench, suite, package, number)
        for number, package in enumerate(packages):
            bench.build(package, number)
        suite.shuffle.shuffle(packages)
        status, coverage = 0, Coverage(bench)
        for package in packages:
            status = _run(relay, bench, suite, package, coverage) or status
        suite.covered(coverage.ran)
        suite.finish(coverage.lines() if plan["measured"] else {}, status)


def _replaced(text: str, patches: tuple[tuple[str, str], ...]) -> str:
    for before, after in patches:
        text = text.replace(before, after)
    return text


def packages_of(files: list[str], bench: Bench) -> list[Package]:
    """The directories of some files, with the tests that these declare."""
    found: dict[str, Package] = {}
    for file in sorted(files):
        folder = posixpath.dirname(file)
        package = found.setdefault(folder, Package(folder, []))
        package.files.append(file)
        package.tests |= dict.fromkeys(_TEST.findall(bench.source(file)), file)
    return list(found.values())


def _add_sentinel(bench: Bench, suite: Any, package: Package, number: int) -> None:
    left = suite.shuffle.getrandbits(31)
    package.sentinel = f"Test{suite.shuffle.getrandbits(40):X}"
    declared = _PACKAGE.search(bench.source(package.files[0]))
    text = (
        f'package {declared[1] if declared else "main"}\n\nimport "testing"\n\nvar value{package.sentinel} = {left}\n\n'
        f"func {package.sentinel}(t *testing.T) {{\n\tif true == false || true != (1 == 1) {{\n\t\treturn\n\t}}\n"  # declared anew
        f"\tif value{package.sentinel} != {left + 1} {{\n\t\tt.Fatal()\n\t}}\n}}\n"
    )
    bench.lay(bench.workspace / package.folder / f"x{number}{package.sentinel}_test.go", text)
    suite.sentinel(f"{package.files[0]}::{package.sentinel}")


def _run(relay: Any, bench: Bench, suite: Any, package: Package, coverage: Coverage) -> int:
    """A package's tests; those that a test took down with it once more, without that test."""
    if package.problem:
        for file in package.files:
            suite.error(file, package.problem)
        return 2
    left, status = set(package.tests) & _tops(suite.plan["tests"], package), 0
    for restart in range(MAX_RESTARTS):
        if _digest(package.binary) != package.digest:
            suite.tampered(["the program of the tests"])
            break
        wanted = "|".join(sorted(left | {package.sentinel}))
        profile = bench.folder / f"{package.binary.name}.{restart}.out"
        argv = [
            str(package.binary), f"-test.run=^({wanted})$", f"-test.shuffle={suite.shuffle.getrandbits(31)}",
            "-test.timeout=0", "-test.paniconexit0",
        ]  # fmt: skip
        if bench.plan["measured"]:
            argv.append(f"-test.coverprofile={profile}")
        begun: list[str] = []

        def on(message: dict[str, Any], begun: list[str] = begun) -> None:
            if message["kind"] == "start":
                begun.append(str(message["test"]))
                suite.start(_shown(package, begun[-1]))

        env = {name: value for name, value in bench.env.items() if name not in ("GOCACHE", "GOTMPDIR")}
        ended = relay.run(argv, env, str(bench.workspace / package.folder), {}, on)
        status = ended.code or status
        suite.check(ended)
        coverage.read(profile)
        said = messages(ended.output.decode("utf-8", "replace"))
        own = {str(result["test"]): package.declares(result) for result in ended.said("test")}
        for result in ended.said("test"):
            name = str(result["test"])
            fields = {"outcome": result["outcome"], "message": said.get(name, ""), "ran": result["ran"]}
            suite.take(_shown(package, name), fields | {"genuine": own.get(name.partition("/")[0])})
        if ended.said("end"):
            break
        reported = {str(result["test"]).partition("/")[0] for result in ended.said("test")}
        guilty = next((name for name in reversed(begun) if name.partition("/")[0] not in reported), "")
        text = ended.output.decode("utf-8", "replace").strip()
        where = package.tests.get(guilty.partition("/")[0])
        for file in [where] if where else package.files:
            suite.error(file, f"{ended.ending}: {text[:600]}")
        left -= {*reported, guilty.partition("/")[0]}
        if not guilty or not left:
            break
    return int(status)


def _tops(ids: list[str], package: Package) -> set[str]:
    found: set[str] = set()
    for test_id in ids:
        file, _, name = test_id.partition("::")
        if name:
            found.add(name.partition("/")[0])
        else:
            found |= {test for test, where in package.tests.items() if where == file}
    return found


def _shown(package: Package, name: str) -> str:
    return f"{package.tests.get(name.partition('/')[0], package.files[0])}::{name}"


def messages(output: str) -> dict[str, str]:
    """What package testing printed of each test that failed or was skipped: words for people, proof of nothing."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in output.split("\n"):
        if begins := re.match(r"\s*--- (?:FAIL|SKIP): (\S+) ", line):
            current = found.setdefault(begins[1], [])
        elif line.startswith("    "):
            current.append(line.strip())
        else:
            current = []
    return {name: "\n".join(lines)[:1200] for name, lines in found.items()}


class Coverage:
    """Lines of the code under test, as the profiles have them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._lines: dict[str, set[int]] = {}
        self.ran: dict[str, set[int]] = {}

    def read(self, profile: Path) -> None:
        """Adds what one process wrote at its end."""
        try:
            text = profile.read_text()
        except OSError:
            return
        for line in text.split("\n"):
            block = _BLOCK.match(line)
            path = self._path(block[1]) if block else None
            if block is None or path is None:
                continue
            span = range(int(block[2]), min(int(block[3]), int(block[2]) + 100_000) + 1)
            self._lines.setdefault(path, set()).update(span)
            if int(block[5]):
                self.ran.setdefault(path, set()).update(span)

    def lines(self) -> dict[str, list[int]]:
        """Lines that can run: of a file that no profile names, all that have code in functions or may have."""
        return {
            path: sorted(code & self._lines.get(path, code))
            for path in self._bench.plan["measured"]
            if (code := code_lines(self._bench.source(path)))
        }

    def _path(self, name: str) -> str | None:
        """`example.com/leap/a.go` → `a.go`, where the workspace is that module."""
        for folder in self._modules():
            declared = _MODULE.search(self._bench.source(posixpath.join(folder, "go.mod")))
            if declared and name.startswith(f"{declared[1]}/"):
                return posixpath.join(folder, name[len(declared[1]) + 1 :])
        return None

    def _modules(self) -> list[str]:
        folders = {posixpath.dirname(path) for path in self._bench.plan["measured"]}
        roots = {os.path.relpath(self._bench.module_of(folder), self._bench.workspace) for folder in folders}
        return sorted(("" if root == "." else root for root in roots), key=len, reverse=True)


def code_lines(text: str) -> set[int]:
    """Lines of Go inside functions that hold more than blanks, brackets and comments."""
    found, inside = set(), False
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("func "):
            inside = not line.rstrip().endswith("}")
            continue
        if line.startswith("}"):
            inside = False
        rest = line.strip()
        if inside and rest.strip("{}()[];, ") and not rest.startswith(("//", "/*", "*")):
            found.add(number)
    return found


def _import_path(module: Path, target: str) -> str:
    """The path of a package as the linker spells it: dots of its last part are escaped."""
    declared = _MODULE.search(
        (module / "go.mod").read_text("utf-8", "replace") if (module / "go.mod").exists() else ""
    )
    path = os.path.normpath(posixpath.join(declared[1] if declared else "", target))
    head, slash, last = path.rpartition("/")
    return head + slash + last.replace(".", "%2e")


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
