"""Runs named tests in the candidate's container and reports each to the driver, as far from the candidate as one
process allows.

Runs as `python -s -B run_pytest.py`, alone: nothing of Axiom is importable here, and Python from 3.10 and pytest from
7 on are enough. Descriptor 3 gives the plan (JSON), descriptor 4 takes the reports (`suites/reports.py` reads them).

Before anything of the workspace can be imported it has read the plan, bound what it reports with, loaded pytest and
the image's own plugins, compiled the tests' code for itself, and noted what pytest is made of. Afterwards it trusts
only what it bound: it calls each test's body itself, compares the body's code with what it compiled, puts a test that
must fail among those of each file, and looks whether somebody replaced parts of pytest. What remains possible for
code in the same process is listed in docs/design/limitations.md.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import hmac
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import json
import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

FEED, CHANNEL = 3, 4
MAX_TEXT = 1200

Send = Callable[..., None]


def connect() -> tuple[dict[str, Any], Send]:
    """The plan, and the function that reports. The nonce stays inside a keyed hash, where Python cannot read it."""
    chunks = []
    while chunk := os.read(FEED, 65536):
        chunks.append(chunk)
    os.close(FEED)
    os.set_inheritable(CHANNEL, False)
    plan = json.loads(b"".join(chunks))
    keyed = hmac.new(bytes.fromhex(plan.pop("nonce")), digestmod="sha256")
    write, encode, getpid, here, count = os.write, json.JSONEncoder().encode, os.getpid, os.getpid(), 0

    def send(kind: str, **fields: object) -> None:
        nonlocal count
        if getpid() != here:
            return
        body = encode({"n": count, "kind": kind, **fields}).encode()
        count += 1
        mac = keyed.copy()
        mac.update(body)
        line = mac.hexdigest()[:32].encode() + b" " + body + b"\n"
        while line:
            line = line[write(CHANNEL, line) :]

    return plan, send


# --- what is settled before the workspace is importable ---


def installed_plugins(options: list[str], words: list[str]) -> list[str]:
    """The names of the plugins that the image has installed and these tests may need. The workspace, which may
    declare some, is not on the path yet, nor is it when pytest loads them.

    Args:
        options: the configuration's `addopts`.
        words: those of `_BY_WORD` that occur in the tests or their configuration.
    """
    names = dict.fromkeys(entry.name for entry in importlib.metadata.entry_points(group="pytest11"))
    return [name for name in names if _is_needed(name, options, words)]


def _is_needed(name: str, options: list[str], words: list[str]) -> bool:
    if name in _BY_WORD:
        return _BY_WORD[name] in words
    prefixes = _BY_OPTION.get(name.partition(".")[0])
    return prefixes is None or any(option.startswith(prefixes) for option in options)


_BY_OPTION = {
    "xdist": ("-n", "--dist", "--num"),
    "pytest_cov": ("--cov", "--no-cov"),
    "randomly": ("-p=none",),
}
"""Plugins that disturb: loaded only when the configuration's options could not be understood without them."""
_BY_WORD = {"asyncio": "async", "anyio": "anyio", "hypothesispytest": "hypothesis"}
"""Plugins that take longer to import than most tests to run: loaded only when a word of theirs occurs."""


def arguments(plan: dict[str, Any], plugins: list[str]) -> list[str]:
    """pytest's command line. What comes last wins over the configuration's own options."""
    found = [*plan["files"], "-c", plan["configuration"] or os.devnull, "--rootdir", plan["rootdir"]]
    found += ["--confcutdir", plan["workspace"], "-p", "no:cacheprovider", "-o", "required_plugins="]
    found += ["-o", "pythonpath="]  # it is in the plan, and comes after the plugins
    for name in plugins:
        found += ["-p", name]
    if "packaging" in plan.get("own", ()):
        # pytest would compare it by the image's packaging, and the tests would be given that
        found += ["-o", "minversion="]
    if "xdist" in plugins:
        found += ["-n0"]
    if "pytest_cov" in plugins:
        found += ["--no-cov"]
    return [*found, "--continue-on-collection-errors", "--maxfail=0", "--tb=short", "--color=no"]


def in_use(own: Iterable[str]) -> str:
    """The first of the base's own modules that is loaded already, from elsewhere: tests would be given that one, whatever
    the workspace holds. What Python itself brings is the same for every program."""
    return next((name for name in own if name in sys.modules and name not in sys.stdlib_module_names), "")


_OTHER_MEANS = "Decide them by a Command criterion, or in an image whose pytest does without it."


def refuse_bytecode(workspace: str) -> None:
    """Nothing below the workspace is ever loaded from bytecode, not even what appears during the run."""
    loader = sys.modules["_frozen_importlib_external"]
    original = loader.cache_from_source

    def cache_from_source(path: str, *args: object, **kwargs: object) -> str:
        if str(path).startswith(workspace + os.sep):
            raise NotImplementedError
        return str(original(path, *args, **kwargs))

    loader.cache_from_source = cache_from_source  # type: ignore[attr-defined]
    rewrite = importlib.import_module("_pytest.assertion.rewrite")
    rewrite._read_pyc = lambda *args, **kwargs: None  # type: ignore[attr-defined]  # noqa: SLF001


class Codes:
    """The code of the tests, compiled from files that nobody could have touched yet."""

    def __init__(self, workspace: str, files: list[str]) -> None:
        self._codes: dict[tuple[str, str], list[CodeType]] = {}
        self._plain: set[tuple[str, str]] = set()
        for file in files:
            self._compile(file, f"{workspace}/{file}")

    def genuine(self, file: str, qualified: str, function: object) -> bool | None:
        """Whether a test's function is the one in its file; None: decorators or inheritance hide it."""
        if (file, qualified) in self._plain:
            return getattr(function, "__code__", None) in self._codes[file, qualified]
        inner = _innermost(function)
        known = self._codes.get((file, qualified), [])
        if inner is None or inner.co_filename not in {code.co_filename for code in known}:
            return None
        return inner in known

    def _compile(self, file: str, path: str) -> None:
        try:
            source = Path(path).read_bytes()
            tree = ast.parse(source, filename=path)
        except (OSError, SyntaxError, ValueError):
            return
        for code in self._variants(source, path):
            for name, inner in _functions(code, ""):
                self._codes.setdefault((file, name), []).append(inner)
        self._plain.update((file, name) for name in _undecorated(tree.body, ""))

    def _variants(self, source: bytes, path: str) -> Iterator[CodeType]:
        """As Python compiles the file, and as pytest does with and without the hook for passed assertions."""
        from _pytest.assertion.rewrite import rewrite_asserts

        yield compile(source, path, "exec", dont_inherit=True)
        for hook in (False, True):
            tree = ast.parse(source, filename=path)
            config: Any = SimpleNamespace(getini=lambda name, hook=hook: hook)
            rewrite_asserts(tree, source, path, config)
            yield compile(tree, path, "exec", dont_inherit=True)


def _innermost(function: Any) -> CodeType | None:
    """The code below decorators that say what they wrap, hypothesis's included."""
    function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    return getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None


def _functions(code: CodeType, prefix: str) -> Iterator[tuple[str, CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield prefix + constant.co_name, constant
            yield from _functions(constant, f"{prefix}{constant.co_name}.")


def _undecorated(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or not all(
            map(_is_mark, node.decorator_list)
        ):
            continue
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name
        elif not node.keywords:
            yield from _undecorated(node.body, f"{prefix}{node.name}.")


def _is_mark(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).startswith(("pytest.mark.", "mark."))


def listen(to: dict[str, Callable[[tuple[Any, ...]], None]]) -> None:
    """Has functions called with what Python tells audit hooks, before it happens."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in to:
            to[event](arguments)

    sys.addaudithook(hook)


class Stamps:
    """The moments at which files of the base were last changed, which nobody can set: one that was changed and put back is
    found, too. With `watch`, so is a folder that was exchanged for a while, and a link that leads to one of the files."""

    def __init__(self, workspace: str, files: list[str], links: Iterable[str] = ()) -> None:
        """`links` are the symlinks that the base has."""
        self._files = {file: f"{workspace}/{file}" for file in files}
        self._names = {path: file for file, path in self._files.items()}
        self._links = {f"{workspace}/{link}" for link in links}
        self._stat, self._absolute, self._real, self._is_link = (
            os.stat, os.path.abspath, os.path.realpath, os.path.islink,
        )  # fmt: skip
        self._before = {file: self._stamp(path) for file, path in self._files.items()}
        parents = {str(parent) for path in self._names for parent in Path(path).parents}
        self._folders = {
            folder: self._stamp(folder)[0] for folder in parents if folder.startswith(workspace + os.sep)
        }
        self._system = tuple(
            {sys.prefix, sys.base_prefix, str(Path(__file__).parent), "/usr", "/proc", "/dev"}
        )
        self._noticed: dict[str, None] = {}

    def watch(self) -> None:
        """Looks at a file again when it is opened, and at a folder when it is listed."""
        listen(
            {"open": self._opened, "os.listdir": self._listed, "os.scandir": self._listed},
        )

    def changed(self) -> list[str]:
        """Files that are not what they were, at most 20."""
        now = [file for file, path in self._files.items() if self._stamp(path) != self._before[file]]
        return [*self._noticed, *now][:20]

    def _opened(self, arguments: tuple[Any, ...]) -> None:
        if not isinstance(arguments[0], (str, bytes)):
            return
        path = self._absolute(os.fsdecode(arguments[0]))
        file = self._names.get(path)
        if file is not None:
            if self._stamp(path) != self._before[file]:
                self._noticed[file] = None
        elif (
            not path.startswith(self._system)
            and (target := self._names.get(self._real(path)))
            and self._first_link(path) not in self._links
        ):
            self._noticed[f"a link to {target}"] = None

    def _listed(self, arguments: tuple[Any, ...]) -> None:
        if arguments[0] is None or isinstance(arguments[0], (str, bytes)):
            path = self._absolute(os.fsdecode(arguments[0] or "."))
            if path in self._folders and self._stamp(path)[0] != self._folders[path]:
                self._noticed[f"the folder {Path(path).name}"] = None

    def _first_link(self, path: str) -> str:
        return next(
            (
                one
                for at, char in enumerate(path + os.sep)
                if char == os.sep and at and self._is_link(one := path[:at])
            ),
            path,
        )

    def _stamp(self, path: str) -> tuple[int, int]:
        try:
            found = self._stat(path, follow_symlinks=False)
        except OSError:
            return 0, 0
        return found.st_ino, found.st_ctime_ns


class Watch:
    """What pytest and the foundations of assertions consist of, so that replaced parts are noticed."""

    _MODULES = frozenset(
        {
            "builtins", "math", "operator", "time", "unittest.case", "unittest.mock", "hypothesis", "hypothesis.core",
            "hypothesis.strategies",
        }
    )  # fmt: skip
    _TRACED_BY = (f"{os.sep}hypothesis{os.sep}", f"{os.sep}doctest.py", f"{os.sep}_pytest{os.sep}")
    """Who traces honestly, now and then."""

    def __init__(self) -> None:
        self._parts: list[tuple[str, Any, str, object, object]] = []
        self._members: list[tuple[str, type, int]] = []
        self._tracers = (sys.gettrace(), sys.getprofile())
        self._traced = False
        for name, module in list(sys.modules.items()):
            if name in self._MODULES or name.partition(".")[0] in {"_pytest", "pluggy", "pytest"}:
                self._note(name, vars(module))

    def changes(self) -> list[str]:
        """The parts that are no longer what they were, at most 20."""
        found = [
            f"{owner}.{key}"
            for owner, space, key, value, code in self._parts
            if space.get(key) is not value or _code(value) is not code
        ]
        found += [owner for owner, kind, count in self._members if _count(kind) != count]
        if self._traced or (sys.gettrace(), sys.getprofile()) != self._tracers:
            found.append("sys.settrace")
        return found[:20]

    def listen(self) -> None:
        """Notes who traces for a moment, too: a tracer can step over a test's assertions, and take itself away."""
        listen(dict.fromkeys(("sys.settrace", "sys.setprofile"), self._traces))

    def _traces(self, arguments: tuple[Any, ...]) -> None:
        caller = sys._getframe(2).f_code.co_filename  # noqa: SLF001
        self._traced = self._traced or not any(part in caller for part in self._TRACED_BY)

    def _note(self, owner: str, space: Any) -> None:
        for key, value in list(space.items()):
            if callable(value) or isinstance(value, (classmethod, staticmethod, property)):
                self._parts.append((owner, space, key, value, _code(value)))
            if isinstance(value, type) and value.__module__ == owner and owner != "builtins":
                self._members.append((f"{owner}.{key}", value, _count(value)))
                self._note(f"{owner}.{key}", vars(value))


def _code(value: Any) -> object:
    function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
    return function.__code__ if isinstance(function, FunctionType) else None


def _count(kind: type) -> int:
    return sum(callable(value) for value in list(vars(kind).values()))


class Image(importlib.abc.MetaPathFinder):
    """What the image can import stays the image's, where the agent added a module of the same name."""

    def __init__(self, added: Iterable[str]) -> None:
        """`added` are names that no module of the base has."""
        self._added, self._path = frozenset(added), [*sys.path]

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """The image's module; None: it has none, or the name is not among those."""
        if name not in self._added:
            return None
        for finder in (importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter):
            if (found := finder.find_spec(name)) is not None:
                return found
        found = importlib.machinery.PathFinder.find_spec(name, self._path)
        return found if found and found.origin else None


# --- what happens while the workspace's code may run ---


def in_a_process_of_its_own(plan: dict[str, Any], send: Send) -> Any:
    """Starts the candidate's process, and lets the tests import from it. Ends this one where that is impossible."""
    folder = Path(__file__).parent
    remote = _load(folder / "remote.py")
    session, admit = remote.open_session(sys.executable, folder, _load, plan)
    if problem := admit():
        send("unable", reason=problem)
        os._exit(0)
    return session


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"axiom_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def witness(plan: dict[str, Any], send: Send, codes: Codes, runner: str) -> object:
    """The plugin that lets the workspace in, chooses, orders, runs and reports."""
    import pytest
    from _pytest.runner import runtestprotocol
    from _pytest.unittest import TestCaseFunction

    workspace, wanted = plan["workspace"], plan["tests"]
    shuffle = random.Random(plan["seed"])  # noqa: S311 - an order, not a secret
    watches: list[Watch] = []
    names: dict[object, str] = {}
    reports: dict[str, list[Any]] = {}
    ran: dict[object, bool] = {}
    genuine: dict[object, bool | None] = {}
    sentinels: set[str] = set()
    sessions: list[Any] = []
    stamps = Stamps(workspace, plan.get("ours", []), plan.get("links", ()))
    measured = {f"{workspace}/{path}": path for path in plan.get("measured", ())}
    lines = _load(Path(__file__).parent / "lines.py") if measured else None
    with_code = {file: lines.executable_lines(file) for file in measured} if lines else {}
    recorder = lines.Recorder(measured) if lines and not plan.get("process") else None

    def shown(item: Any) -> str:
        file = os.path.relpath(item.path, workspace)
        rest = item.nodeid.partition("::")[2]
        return f"{file}::{rest}" if rest else file

    def is_genuine(item: Any, function: object) -> bool | None:
        file, _, rest = names[item].partition("::")
        original = getattr(item, "originalname", None) or item.name
        qualified = ".".join([*rest.partition("[")[0].split("::")[:-1], original])
        return codes.genuine(file, qualified, getattr(function, "__func__", function))

    class Witness:
        def pytest_load_initial_conftests(self) -> None:
            for name in plan.get(
                "first", ()
            ):  # after the plugins, which pytest warns of where they are known already
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
            if taken := in_use(plan.get("own", ())):
                reason = f"{taken} is part of what runs them, and not the workspace's"
                send("unable", reason=reason, cure=_OTHER_MEANS)
                os._exit(0)
            if recorder:
                recorder.begin()
            watches.append(Watch())
            if recorder is None:
                watches[0].listen()
            stamps.watch()
            send("hello", runner=runner, pytest=pytest.__version__, python=sys.version.split()[0])
            if plan.get("process"):
                sessions.append(in_a_process_of_its_own(plan, send))
            sys.meta_path.insert(0, Image(plan.get("added", ())))
            sys.path[:0] = plan["path"]

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, session: Any, config: Any, items: list[Any]) -> None:
            chosen: dict[str, list[str]] = {test: [] for test in wanted}
            for item in items:
                name = shown(item)
                for test in wanted:
                    if name == test or name.startswith((f"{test}::", f"{test}[")):
                        chosen[test].append(name)
                        names[item] = name
            kept = [item for item in items if item in names]
            kept += [
                _sentinel(pytest, module, shuffle, names, sentinels) for module in _modules(pytest, kept)
            ]
            items[:] = _shuffled(kept, shuffle)
            send("collected", tests=chosen, sentinels=sorted(sentinels))

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                file = os.path.relpath(Path(plan["rootdir"], report.nodeid.partition("::")[0]), workspace)
                send("error", file=file, message=_last_lines(str(report.longrepr)))

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> bool:
            name = names[item]
            reports[item.nodeid] = []
            if isinstance(item, TestCaseFunction):
                genuine[item] = is_genuine(item, getattr(item.cls, item.originalname, None))
            send("start", test=name)
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            own = runtestprotocol(item, nextitem=nextitem, log=False)
            for report in own:
                if name not in sentinels:
                    item.ihook.pytest_runtest_logreport(report=report)
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            outcome, message = _outcome([*own, *reports.pop(item.nodeid)], workspace)
            expects = type(item) is pytest.Function and not _is_async(item.obj)
            send(
                "test",
                test=name,
                outcome=outcome,
                message=message,
                ran=ran.get(item, False) if expects else ran.get(item),
                genuine=genuine.get(item),
                under=_settings_of(item),
                tampered=watches[0].changes(),
                changed=stamps.changed(),
                beyond=[why for session in sessions for why in session.beyond],
            )
            return True

        def pytest_sessionfinish(self) -> None:
            if measured:
                ran = recorder.ran if recorder else sessions[0].coverage()
                files = {
                    path: {"lines": with_code[file], "ran": sorted(ran.get(file, ()))}
                    for file, path in measured.items()
                }
                send("coverage", files=files)

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.nodeid in reports:
                reports[report.nodeid].append(report)

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_call(self, item: Any) -> None:
            if not isinstance(item, pytest.Function):
                return
            given = _given(item.obj)
            if given is None and not _is_async(item.obj) and not isinstance(item, TestCaseFunction):
                return  # pytest_pyfunc_call calls it

            def end() -> None:
                ran[item] = True

            ran[item] = False
            if given is None:
                item.obj = _noting_its_end(item.obj, end)
                if isinstance(item, TestCaseFunction) and _is_async(item.obj):  # unittest looks for it itself
                    vars(getattr(item, "_testcase", None) or item.instance)[item.name] = item.obj
            else:
                given.inner_test = _noting_its_end(
                    getattr(given.inner_test, "__axiom__", given.inner_test), end
                )

        @pytest.hookimpl(tryfirst=True)
        def pytest_pyfunc_call(self, pyfuncitem: Any) -> bool | None:
            function = pyfuncitem.obj
            if _is_async(function):
                return None
            genuine[pyfuncitem] = is_genuine(pyfuncitem, function)
            function(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames})  # noqa: SLF001
            ran.setdefault(pyfuncitem, True)  # where others call the body, its end is noted there
            return True

    return Witness()


def _noting_its_end(body: Any, note: Callable[[], None]) -> Any:
    """A body that others call: unittest, which some exceptions end without a trace, an event loop's plugin, hypothesis."""

    @functools.wraps(body)
    def test(*args: Any, **kwargs: Any) -> Any:
        result = body(*args, **kwargs)
        note()
        return result

    @functools.wraps(body)
    async def later(*args: Any, **kwargs: Any) -> Any:
        result = await body(*args, **kwargs)
        note()
        return result

    noting: Any = later if inspect.iscoroutinefunction(body) else test
    noting.__axiom__ = body
    return noting


def _given(function: Any) -> Any:
    """What hypothesis keeps of a test that it calls with values of its own; None: it is none."""
    handle = getattr(function, "hypothesis", None)
    return handle if callable(getattr(handle, "inner_test", None)) else None


def _settings_of(item: Any) -> str:
    """How much hypothesis tries."""
    found = getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None)
    return "" if found is None else f"max_examples={found.max_examples}, phases={len(found.phases)}"


def _modules(pytest: Any, items: list[Any]) -> list[Any]:
    return list(dict.fromkeys(module for item in items if (module := item.getparent(pytest.Module))))


def _sentinel(
    pytest: Any, module: Any, shuffle: random.Random, names: dict[object, str], known: set[str]
) -> Any:
    """A test of that file, like any other but that it must fail."""
    left = shuffle.getrandbits(32)

    def test(left: int = left, right: int = left + 1) -> None:
        assert left == right

    name = f"test_{shuffle.getrandbits(40):x}"
    test.__code__ = test.__code__.replace(co_filename=str(module.path), co_name=name)
    test.__name__ = test.__qualname__ = name
    item = pytest.Function.from_parent(module, name=name, callobj=test)
    names[item] = name
    known.add(name)
    return item


def _shuffled(items: list[Any], shuffle: random.Random) -> list[Any]:
    """In random order, but files, and classes within them, stay together."""

    def rank(item: Any) -> tuple[float, ...]:
        return tuple(ranks.setdefault(node, shuffle.random()) for node in item.listchain())

    ranks: dict[object, float] = {}
    return sorted(items, key=rank)


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _outcome(reports: list[Any], workspace: str) -> tuple[str, str]:
    """The worst of a test's phases, with what it says."""
    for report in reports:
        if report.failed:
            return "failed", _crash(report, workspace)
    for report in reports:
        if hasattr(report, "wasxfail"):
            return ("xfailed" if report.skipped else "xpassed"), f"expected to fail: {report.wasxfail}"
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            return "skipped", reason[:MAX_TEXT]
    called = any(report.when == "call" and report.passed for report in reports)
    return ("passed" if called else "failed"), ""


def _crash(report: Any, workspace: str) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return _last_lines(str(report.longrepr))
    path = os.path.relpath(crash.path, workspace) if str(crash.path).startswith(workspace) else crash.path
    phase = "" if report.when == "call" else f" during {report.when}"
    return f"{crash.message[:MAX_TEXT]} ({path}:{crash.lineno}{phase})"


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-8:])[-MAX_TEXT:]


def main() -> None:
    """Reads the plan, settles what must be settled, runs, and leaves without running anything that was left behind."""
    leave = os._exit
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # this folder
    for name in ("PYTHONHASHSEED", "PYTHONSAFEPATH"):
        os.environ.pop(name, None)  # not for programs that tests start
    plan, send = connect()
    runner = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    try:
        import pytest
    except ImportError:
        send("unable", reason=f"pytest is not installed for {sys.executable}")
        leave(0)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    refuse_bytecode(plan["workspace"])
    plugin = witness(plan, send, Codes(plan["workspace"], plan["files"]), runner)
    status = pytest.main(arguments(plan, installed_plugins(plan["options"], plan["words"])), plugins=[plugin])
    sys.stdout.flush()
    sys.stderr.flush()
    send("end", status=int(status))
    leave(0)


if __name__ == "__main__":
    main()
