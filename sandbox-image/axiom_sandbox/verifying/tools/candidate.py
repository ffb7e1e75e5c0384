"""The candidate's process: imports the code under test and does what the process of the tests asks of it.

Runs as `python -I -B candidate.py`, started by the runner. Before anything of the workspace is importable it locks itself
out of the tests' files and of the runner's process (Landlock). Everything in it may be hostile from then on: what it says
are values and claims, and who asks believes no more of them than that. Its
arguments are two descriptors: one brings requests, the other takes answers.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import json
import logging
import operator
import os
import sys
import threading
import types
import warnings
from pathlib import Path
from typing import Any

_READ_FILE, _REFER = 1 << 2, 1 << 13
_SCOPES = 0b11
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_NO_NEW_PRIVILEGES = 38

wire: Any = None


# --- locked out of the tests ---


def lock(hidden: list[str]) -> None:
    """From now on neither the hidden files nor the runner's process can be read, by this process or any that it starts.

    Raises OSError where the kernel has no Landlock, ImportError where Python has no ctypes.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = _call(libc, _CREATE, None, 0, 1)
    handled = _READ_FILE | (_REFER if version >= 2 else 0)
    scoped = _SCOPES if version >= 6 else 0
    attribute = (ctypes.c_uint64 * 3)(handled, 0, scoped)
    ruleset = _call(libc, _CREATE, attribute, 24 if scoped else 8, 0)
    chain = {str(parent) for path in hidden for parent in Path(path).parents}
    for path in _beside(Path("/"), chain, set(hidden)):
        _allow(libc, ruleset, path, handled)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    _call(libc, _RESTRICT, ruleset, 0)
    os.close(ruleset)


def _beside(folder: Path, chain: set[str], hidden: set[str]) -> Any:
    """Everything but what leads to a hidden file."""
    for entry in os.scandir(folder):
        if entry.path in hidden or entry.is_symlink():
            continue
        if entry.path in chain:
            yield from _beside(Path(entry.path), chain, hidden)
        else:
            yield entry.path


def _allow(libc: Any, ruleset: int, path: str, handled: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what cannot be opened need not be allowed
    try:
        allowed = handled if Path(path).is_dir() else handled & _READ_FILE
        rule = allowed.to_bytes(8, sys.byteorder) + descriptor.to_bytes(4, sys.byteorder)
        libc.syscall(_ADD, ruleset, 1, rule, 0)
    finally:
        os.close(descriptor)


def _call(libc: Any, *arguments: Any) -> int:
    found: int = libc.syscall(*arguments)
    if found < 0:
        raise OSError(ctypes.get_errno(), "Landlock")
    return found


# --- what goes by reference ---


class BeyondError(Exception):
    """Something that cannot be done from the other process."""


class Foreign:
    """An object of the tests: what can be asked of it is asked of them."""

    def __init__(self, number: int) -> None:
        object.__setattr__(self, "_axiom", number)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return side.back("getattr", self._axiom, [name], {})

    def __setattr__(self, name: str, value: Any) -> None:
        side.back("setattr", self._axiom, [name, value], {})


def _foreign_method(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return side.back(name, self._axiom, args, kwargs)

    method.__name__ = name
    return method


_foreign_kinds: dict[tuple[str, ...], type] = {}


def foreign(number: int, methods: list[str]) -> Foreign:
    """A stand-in with the special methods that the object has."""
    names = tuple(methods)
    if names not in _foreign_kinds:
        space = {name: _foreign_method(name) for name in names}
        if "__eq__" in space:
            space["__hash__"] = (
                _foreign_method("__hash__") if "__hash__" in space else (lambda self: hash(self._axiom))
            )
        _foreign_kinds[names] = type("Foreign", (Foreign,), space)
    return _foreign_kinds[names](number)  # type: ignore[no-any-return]


def callback(number: int, name: str) -> Any:
    """A function of the tests."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return side.back("__call__", number, args, kwargs)

    call.__name__ = call.__qualname__ = name
    call.__dict__["_axiom"] = number
    return call


_METHODS = (
    types.FunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.BuiltinFunctionType,
)  # fmt: skip
_PLAIN: dict[type, Any] = {
    int: lambda v: int.__add__(v, 0),
    float: lambda v: float.__add__(v, 0.0),
    str: lambda v: str.__add__(v, ""),
    bytes: lambda v: bytes.__add__(v, b""),
    tuple: lambda v: tuple.__getitem__(v, slice(None)),
    frozenset: lambda v: frozenset(frozenset.__iter__(v)),
}
_MEMBERS = {"mro", "__new__", "__init_subclass__", "__subclasshook__", "__class_getitem__", "__getattribute__", "__getattr__"}  # fmt: skip


class Side:
    """This end of the connection."""

    def __init__(self, connection: Any) -> None:
        self.wire = connection
        self._objects: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._foreign: dict[int, Any] = {}
        self._originals: dict[tuple[int, str], Any] = {}
        self._thread = threading.get_ident()
        self._pid = os.getpid()
        self._environment: dict[str, str] = {}
        self._path: list[str] = []
        self._replaced: dict[tuple[int, str], Any] = {}
        """What was there before a test put something else: stand-ins have no `__dict__`, so who patches them takes away what
        it put there instead of putting back what it found."""
        self.recorder: Any = None

    # values

    def number(self, value: Any) -> int:
        """Which object this is to the other side; it stays, so that the number stays its own."""
        found = self._numbers.get(id(value))
        if found is None:
            found = self._numbers[id(value)] = len(self._objects) + 1
            self._objects[found] = value
        return found

    def encode(self, value: Any) -> Any:
        """For the other side."""
        return wire.encode(value, self.reference)

    def reference(self, value: Any) -> Any:
        """What is not plain, for the other side."""
        if isinstance(value, types.ModuleType):
            return ["m", value.__name__]
        if isinstance(value, Foreign):
            return ["r", value._axiom]  # noqa: SLF001
        if type(value) is types.FunctionType and "_axiom" in value.__dict__:
            return ["r", value.__dict__["_axiom"]]
        if isinstance(value, type):
            return ["c", self.number(value)]
        for kind, plain in _PLAIN.items():
            if isinstance(value, kind):
                return ["p", self.number(value), self.number(type(value)), self.encode(plain(value))]
        if isinstance(value, BaseException):
            return [
                "e",
                self.number(value),
                self.encode(type(value)),
                self.encode(list(value.args)),
                _text(value),
            ]
        return ["h", self.number(value), self.number(type(value))]

    def decode(self, data: Any) -> Any:
        """From the other side."""
        return wire.decode(data, self.resolve)

    def resolve(self, data: list[Any]) -> Any:
        """What the other side means by a reference."""
        tag = data[0]
        if tag == "r":
            return self._objects[data[1]]
        if tag == "m":
            return importlib.import_module(data[1])
        if tag == "u":
            return self._originals[data[1], data[2]]
        if tag in ("F", "h") and data[1] in self._foreign:
            return self._foreign[data[1]]
        if tag == "F":
            return self._keep(data[1], callback(data[1], data[2]))
        if tag == "S":
            return operator.attrgetter(data[2])(importlib.import_module(data[1]))
        if tag == "x":
            return self._exception(*data[1:])
        if tag == "h":
            return self._keep(data[1], foreign(data[1], data[2]))
        if tag in ("sm", "cm"):
            return (staticmethod if tag == "sm" else classmethod)(self.decode(data[1]))
        if tag == "pr":
            return property(*(self.decode(part) for part in data[1]))
        raise wire.WireError(tag)

    def _keep(self, number: int, value: Any) -> Any:
        self._foreign[number] = value
        return value

    def _exception(self, number: int, base: Any, args: Any, name: str) -> Any:
        kind = self.decode(base)
        made: Any = type(name, (kind,), {})
        error = made.__new__(made)
        error.args = tuple(self.decode(args))
        error.__dict__["_axiom"] = number
        return error

    # asking the tests

    def back(self, what: str, number: int, args: Any, kwargs: Any) -> Any:
        """Asks the other side while it waits for an answer of this one."""
        if threading.get_ident() != self._thread or os.getpid() != self._pid:
            raise BeyondError(
                "code of the tests is called by another thread or process of the code under test"
            )
        self.wire.send("back", what, number, self.encode(list(args)), self.encode(dict(kwargs)))
        while True:
            message = self.wire.receive()
            if message[0] == "ok":
                return self.decode(message[1])
            if message[0] == "no":
                raise self.decode(message[1])
            self.answer(message)

    def tell(self, *message: Any) -> None:
        """Says something that needs no answer."""
        if os.getpid() == self._pid:
            self.wire.send("tell", *message)

    # being asked

    def answer(self, message: list[Any]) -> None:
        """Does what is asked, and says what came of it."""
        operation, surroundings, *arguments = message
        try:
            self._surround(surroundings)
            value = getattr(self, f"do_{operation}")(*arguments)
        except wire.GoneError:
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
            if isinstance(error, BeyondError):
                self.wire.send("beyond", str(error))
            else:
                self._raise(error)
            return
        self.wire.send("ok", *value)

    def _raise(self, error: BaseException) -> None:
        number = getattr(error, "_axiom", None)
        if isinstance(number, int):
            self.wire.send("no", ["r", number])
            return
        self.wire.send("no", self.reference(error))

    def _surround(self, surroundings: dict[str, Any]) -> None:
        """Working directory, environment and import path follow those of the tests."""
        if "cwd" in surroundings:
            os.chdir(surroundings["cwd"])
        if "env" in surroundings:
            os.environ.clear()
            os.environ.update(surroundings["env"])
        if "path" in surroundings:
            others = [entry for entry in sys.path if entry not in self._path]
            self._path = surroundings["path"]
            sys.path[:] = [*self._path, *others]
            importlib.invalidate_caches()

    def _called(self, function: Any, args: Any, kwargs: Any) -> Any:
        given, named = self.decode(args), self.decode(kwargs)
        mutable = [*given, *named.values()]
        before = [json.dumps(self.encode(item)) if type(item) in wire.MUTABLE else "" for item in mutable]
        result = function(*given, **named)
        after = {}
        for index, item in enumerate(mutable):
            if before[index] and json.dumps(now := self.encode(item)) != before[index]:
                after[str(index)] = now
        return self.encode(result), after

    def do_import(self, name: str) -> Any:
        """An operation."""
        module = importlib.import_module(name)
        return (
            list(getattr(module, "__path__", [])),
            getattr(module, "__doc__", None) and str(module.__doc__),
            str(getattr(module, "__file__", "")),
        )

    def do_call(self, target: Any, args: Any, kwargs: Any) -> Any:
        """An operation."""
        return self._called(self.decode(target), args, kwargs)

    def do_invoke(self, kind: int, name: str, target: Any, args: Any, kwargs: Any) -> Any:
        """A method, as the class defines it, on an object that may have another by now."""
        owner, instance = self._objects[kind], self.decode(target)
        holder = next((one for one in type(instance).__mro__ if name in one.__dict__), None)
        if holder is owner or not isinstance(instance, owner):
            bound = getattr(instance, name)
        else:
            bound = owner.__dict__[name].__get__(instance, type(instance))
        return self._called(bound, args, kwargs)

    def do_special(self, name: str, target: Any, args: Any) -> Any:
        """A special method, looked up where Python looks."""
        instance = self.decode(target)
        return self._called(lambda *given: getattr(type(instance), name)(instance, *given), args, ["d", []])

    def do_getattr(self, target: Any, name: str) -> Any:
        """An operation."""
        return (self.encode(getattr(self.decode(target), name)),)

    def do_setattr(self, target: Any, name: str, value: Any) -> Any:
        """An operation."""
        owner = self.decode(target)
        own = getattr(owner, "__dict__", {})
        if name in own:
            self._replaced.setdefault((id(owner), name), own[name])
        setattr(owner, name, self.decode(value))
        return (None,)

    def do_delattr(self, target: Any, name: str) -> Any:
        """An operation."""
        owner = self.decode(target)
        if (id(owner), name) in self._replaced:
            setattr(owner, name, self._replaced.pop((id(owner), name)))
        else:
            delattr(owner, name)
        return (None,)

    def do_dir(self, target: Any) -> Any:
        """An operation."""
        return (self.encode(list(dir(self.decode(target)))),)

    def do_describe(self, number: int) -> Any:
        """An operation."""
        kind = self._objects[number]
        own = dict(kind.__dict__)
        for name, value in own.items():
            self._originals.setdefault((number, name), value)
        methods = [
            name for name, value in own.items() if isinstance(value, _METHODS) and name not in _MEMBERS
        ]
        if own.get("__hash__", 0) is None:
            methods.append("__hash__")
        # The other side cannot derive from a mutable type and keep its content here: that becomes a class like any other.
        bases = [
            ["c", self.number(base)] if base in wire.MUTABLE else self.encode(base) for base in kind.__bases__
        ]
        return (
            [
                kind.__name__,
                kind.__qualname__,
                str(kind.__module__),
                bases,
                methods,
                kind.__doc__ and str(kind.__doc__),
            ],
        )

    def do_coverage(self) -> Any:
        """An operation."""
        return ({file: sorted(lines) for file, lines in self.recorder.ran.items()},)

    def do_subclass(self, name: str, bases: Any, namespace: Any, keywords: Any) -> Any:
        """An operation."""
        made = types.new_class(
            name,
            tuple(self.decode(bases)),
            self.decode(keywords),
            lambda space: space.update(self.decode(namespace)),
        )
        return (self.number(made),)


def _text(error: BaseException) -> str:
    try:
        return str(error)[:4000]
    except Exception:  # noqa: BLE001 - whatever it is, it is not a text
        return ""


# --- what is not asked for ---


class Output:
    """Standard output and standard error of the code under test, which are the tests' to capture."""

    encoding, errors, closed = "utf-8", "strict", False

    def __init__(self, name: str, original: Any) -> None:
        self.name, self._original, self.buffer = name, original, original.buffer

    def write(self, text: str) -> int:
        """Hands on."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        side.tell("out", self.name, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Hands on."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is kept here."""

    def isatty(self) -> bool:
        """It is none."""
        return False

    def writable(self) -> bool:
        """It is."""
        return True

    def readable(self) -> bool:
        """It is not."""
        return False

    def fileno(self) -> int:
        """The process's own."""
        return int(self._original.fileno())


class Records(logging.Handler):
    """Log records go to the tests' own loggers."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hands on."""
        side.tell("log", record.name, record.levelno, record.getMessage())


def _warn(
    message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    side.back("warn", 0, [category, str(message), filename, lineno], {})


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"axiom_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _measure(files: list[str]) -> None:
    side.recorder = _load(Path(__file__).with_name("lines.py")).Recorder(files)
    side.recorder.begin()


def main() -> None:
    """Locks itself out, then answers until the other side has had enough."""
    global side, wire
    leave = os._exit
    here = Path(__file__).with_name("wire.py")
    wire = _load(here)
    requests, answers = map(int, sys.argv[1:])
    for descriptor in (requests, answers):
        os.set_inheritable(descriptor, False)
    del sys.argv[1:]
    reading, writing = os.fdopen(requests, "rb"), os.fdopen(answers, "wb")
    connection = wire.Wire(reading, writing)
    side = Side(connection)
    order = connection.receive()
    try:
        lock(order[1])
    except (OSError, AttributeError) as error:
        connection.send("unable", f"the candidate's process cannot be locked out of its tests: {error}")
        leave(0)
    if order[2]:
        _measure(order[2])
    connection.send("ready")
    sys.stdout, sys.stderr = Output("stdout", sys.stdout), Output("stderr", sys.stderr)
    logging.root.addHandler(Records(0))
    logging.root.setLevel(1)
    warnings.simplefilter("always")
    warnings.showwarning = _warn
    with contextlib.suppress(wire.GoneError):
        while True:
            side.answer(connection.receive())
    leave(0)


side: Any = None
if __name__ == "__main__":
    main()
