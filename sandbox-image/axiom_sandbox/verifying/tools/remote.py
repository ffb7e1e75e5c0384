"""The tests' side of a candidate in a process of its own: what they import of it are stand-ins.

A stand-in passes on calls, attributes and special methods. What comes back is plain data, decoded here, so that every
comparison with plain data is made here, between objects of this process; or another stand-in. A comparison or an
operation between a stand-in and plain data would have to be believed, and would show the candidate what is expected: it is
not made, and the test is reported as one that needs to share a process with the code under test (`Session.beyond`).
The same goes for whatever else cannot be passed on. Of the tests' own objects the candidate gets functions to call, and
instances of the tests' own classes, by their public attributes.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import io
import logging
import os
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_FORWARDED = frozenset(
    f"__{name}__"
    for name in (
        "call", "len", "iter", "next", "getitem", "setitem", "delitem", "enter", "exit", "bool", "int", "float", "index",
        "complex", "str", "repr", "bytes", "format", "hash", "reversed", "neg", "pos", "abs", "invert", "round", "trunc",
        "floor", "ceil", "length_hint", "fspath", "missing",
    )
)  # fmt: skip
_COMPARED = frozenset(
    f"__{name}__"
    for name in (
        "eq", "ne", "lt", "le", "gt", "ge", "contains", "add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow",
        "matmul", "and", "or", "xor", "lshift", "rshift", "radd", "rsub", "rmul", "rtruediv", "rfloordiv", "rmod",
        "rdivmod", "rpow", "rmatmul", "rand", "ror", "rxor", "rlshift", "rrshift", "iadd", "isub", "imul", "iand", "ior",
        "instancecheck", "subclasscheck",
    )
)  # fmt: skip
_NEVER = frozenset(
    {
        "__await__",
        "__aiter__",
        "__anext__",
        "__aenter__",
        "__aexit__",
        "__reduce__",
        "__reduce_ex__",
        "__copy__",
        "__deepcopy__",
    }
)
_LENT_MODULES = frozenset({"builtins", "itertools", "unittest.mock", "functools", "collections"})
"""Whose instances do no harm in the candidate's hands: they hold what a test put into them."""
_NEVER_LENT = (
    type, types.ModuleType, types.FunctionType, types.MethodType, types.FrameType, types.TracebackType, types.CodeType,
    types.CoroutineType, types.AsyncGeneratorType, types.CellType, types.MappingProxyType, super, property,
)  # fmt: skip
"""What leads to more than it is."""
_CALLED_BACK = frozenset(
    {
        "__call__", "__iter__", "__next__", "__enter__", "__exit__", "__len__", "__getitem__", "__setitem__",
        "__delitem__", "__contains__", "__str__", "__repr__", "__eq__", "__lt__", "__gt__", "__le__", "__ge__", "__bool__", "__index__", "__int__", "__float__", "__hash__",
    }
)  # fmt: skip


_OF_CLASSES = frozenset(
    {
        "__classcell__", "__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__",
        "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__conditional_annotations__",
    }
)  # fmt: skip
"""What a class statement leaves in the namespace for itself."""


class BeyondError(Exception):
    """A test does something that cannot be passed on to another process."""


class Session:
    """One candidate's process."""

    def __init__(self, python: str, folder: Path, wire: Any, ours: Iterable[str]) -> None:
        """`folder` holds the programs, `wire` is the loaded module, `ours` are the files whose code is that of the tests."""
        self._w = wire
        self._ours = {os.path.realpath(path) for path in ours}
        self._lock = threading.RLock()
        self._classes: dict[int, type] = {}
        self._things: dict[int, Any] = {}
        self._lent: dict[int, Any] = {}
        self._lent_numbers: dict[int, int] = {}
        self._cwd, self._env, self._path = "", {}, []  # type: ignore[var-annotated]
        self.beyond: list[str] = []
        self.modules: dict[str, types.ModuleType] = {}
        self.pinned: list[str] = []
        """Folders of tests: a module there that is not ours appeared during the run."""
        self.roots: list[str] = []
        """Folders below which everything that is not ours is the candidate's."""
        to_read, to_write = os.pipe(), os.pipe()
        self._process = subprocess.Popen(
            [python, "-I", "-B", str(folder / "candidate.py"), str(to_write[0]), str(to_read[1])],
            stdin=subprocess.DEVNULL,
            env=_environment(),
            pass_fds=(to_write[0], to_read[1]),
        )
        os.close(to_write[0])
        os.close(to_read[1])
        self._wire = wire.Wire(os.fdopen(to_read[0], "rb"), os.fdopen(to_write[1], "wb"))
        self.Thing = _thing(self)

    def begin(self, hidden: list[str], measured: list[str]) -> str:
        """Locks the candidate out of hidden files. Why that cannot be done; empty: it is.

        Args:
            measured: files of which it notes the lines that run.
        """
        try:
            self._wire.send("lock", hidden, measured)
            answer = self._wire.receive()
        except (self._w.GoneError, self._w.WireError):
            return "the candidate's process ended at once"
        return "" if answer[0] == "ready" else str(answer[-1])

    def coverage(self) -> dict[str, list[int]]:
        """File → lines that ran, as the candidate's process says."""
        found: dict[str, list[int]] = self.ask("coverage")[0]
        return found

    def give_up(self, why: str) -> BeyondError:
        """Notes that a process of its own is not enough."""
        if why not in self.beyond:
            self.beyond.append(why[:200])
        return BeyondError(why)

    # --- asking -----------------------------------------------------------------------------------------------

    def ask(self, operation: str, *arguments: Any) -> list[Any]:
        """The answer's parts, still encoded. Raises what the candidate raised."""
        __tracebackhide__ = True
        with self._lock:
            self._wire.send(operation, self._surroundings(), *arguments)
            while True:
                message: list[Any] = self._wire.receive()
                if message[0] == "ok":
                    return message[1:]
                if message[0] == "no":
                    raise self._raised(message)
                if message[0] == "beyond":
                    raise self.give_up(str(message[1]))
                self._serve(message)

    def _raised(self, message: list[Any]) -> BaseException:
        error = self.decode(message[1])
        if not isinstance(error, BaseException):
            raise self._w.WireError("what was raised is no exception")
        return error

    def _surroundings(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        cwd, env = str(Path.cwd()), _environment()
        path = [entry for entry in sys.path if self._is_below(entry or cwd)]
        if cwd != self._cwd:
            self._cwd = found["cwd"] = cwd
        if env != self._env:
            self._env = found["env"] = env
        if path != self._path:
            self._path = found["path"] = path
        return found

    def _is_below(self, path: str) -> bool:
        return any(path == root or path.startswith(root + os.sep) for root in self.roots)

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls something of the candidate's."""
        __tracebackhide__ = True
        return self._take("call", args, kwargs, target, self.encode(list(args)), self.encode(kwargs))

    def invoke(self, kind: int, name: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls a method that a class of the candidate's defines."""
        __tracebackhide__ = True
        target = self.encode(target)
        return self._take(
            "invoke", args, kwargs, kind, name, target, self.encode(list(args)), self.encode(kwargs)
        )

    def special(self, name: str, target: Any, args: tuple[Any, ...]) -> Any:
        """Calls a special method."""
        __tracebackhide__ = True
        return self._take("special", args, {}, name, self.encode(target), self.encode(list(args)))

    def _take(self, operation: str, args: Any, kwargs: Any, *arguments: Any) -> Any:
        """The result; what the candidate did to lists, dicts and sets that it was given is done to them here."""
        __tracebackhide__ = True
        result, after = self.ask(operation, *arguments)
        given = [*args, *kwargs.values()]
        for index, content in after.items():
            _become(given[int(index)], self.decode(content))
        return self.decode(result)

    def getattr(self, target: Any, name: str) -> Any:
        """An attribute."""
        __tracebackhide__ = True
        return self.decode(self.ask("getattr", target, name)[0])

    # --- values -----------------------------------------------------------------------------------------------

    def encode(self, value: Any) -> Any:
        """For the candidate."""
        return self._w.encode(value, self._reference)

    def decode(self, data: Any) -> Any:
        """From the candidate."""
        return self._w.decode(data, self._resolve)

    def _reference(self, value: Any) -> Any:
        kind = type(value)
        number = _number_of(value)
        if number is not None:
            return ["r", number]
        if isinstance(value, types.ModuleType):
            if value.__name__ in self.modules:
                return ["m", value.__name__]
            raise self.give_up(f"the module {value.__name__} is given to the code under test")
        if kind is types.FunctionType and "_axiom" in value.__dict__:
            return ["u", *value.__dict__["_axiom"]]
        if kind in (staticmethod, classmethod):
            return ["sm" if kind is staticmethod else "cm", self.encode(value.__func__)]
        if kind is property:
            return ["pr", [self.encode(part) for part in (value.fget, value.fset, value.fdel)]]
        if (named := _standard(value)) is not None:
            return ["S", *named]
        if kind in (types.FunctionType, types.MethodType) and self._is_ours(value):
            return ["F", self._lend(value), str(getattr(value, "__name__", "function"))]
        if isinstance(value, BaseException):
            base = next(one for one in kind.__mro__ if self._w.class_name(one))
            args = self.encode(
                [arg for arg in value.args if arg is None or type(arg) in (bool, int, float, str)]
            )
            return ["x", self._lend(value), ["T", self._w.class_name(base)], args, kind.__name__]
        if self._is_ours(kind) or self._is_harmless(value):
            methods = [name for name in sorted(_CALLED_BACK) if getattr(kind, name, None) is not None]
            return ["h", self._lend(value), methods]
        raise self.give_up(
            f"an object of the type {kind.__module__}.{kind.__qualname__} is given to the code under test"
        )

    def _is_ours(self, value: Any) -> bool:
        module = sys.modules.get(str(getattr(value, "__module__", "")))
        file = getattr(module, "__file__", None)
        return file is not None and os.path.realpath(file) in self._ours

    def _is_harmless(self, value: Any) -> bool:
        kind = type(value)
        lent = isinstance(value, io.IOBase) or kind.__module__ in _LENT_MODULES
        return lent and not isinstance(value, _NEVER_LENT)

    def _may_see(self, target: Any, name: str) -> bool:
        """Public attributes of the tests' own objects, mocks and files; of others, methods alone: a generator has a frame."""
        kind = type(target)
        if name.startswith("_"):
            return False
        if self._is_ours(kind) or isinstance(target, io.IOBase) or kind.__module__ == "unittest.mock":
            return True
        return isinstance(getattr(kind, name, None), types.MethodDescriptorType)

    def _is_asked_later(self, kind: type, name: str) -> bool:
        """Whether an attribute says what became of an object: methods, and all that a mock has of its own."""
        return callable(getattr(kind, name, None)) or (
            kind.__module__ == "unittest.mock" and hasattr(kind, name)
        )

    def _lend(self, value: Any) -> int:
        number = self._lent_numbers.get(id(value))
        if number is None:
            number = self._lent_numbers[id(value)] = len(self._lent) + 1
            self._lent[number] = value
        return number

    def _resolve(self, data: list[Any]) -> Any:
        tag, *rest = data
        if tag == "r":
            return self._lent[rest[0]]
        if tag == "c":
            return self._class(int(rest[0]))
        if tag == "m":
            return self._module(str(rest[0]))
        number = int(rest[0])
        if number in self._things:
            return self._things[number]
        made: Any
        if tag == "h":
            made = object.__new__(self._class(int(rest[1])))
        elif tag == "p":
            made = self._plain(self._class(int(rest[1])), self.decode(rest[2]))
        elif tag == "e":
            made = self._exception(self.decode(rest[1]), self.decode(rest[2]), str(rest[3]))
        else:
            raise self._w.WireError(f"no such reference: {tag!r}")
        _set_number(made, number)
        self._things[number] = made
        return made

    def _plain(self, kind: type, value: Any) -> Any:
        base = type(value)
        if base not in kind.__mro__:
            raise self._w.WireError("a plain value of another class")
        return base.__new__(kind, value)

    def _exception(self, kind: Any, args: Any, text: str) -> BaseException:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise self._w.WireError("an exception of another class")
        try:
            base = next(one for one in kind.__mro__ if not isinstance(one, _Meta))
            made = base.__new__(kind, *args)
            _set_args(made, tuple(args))
            if not isinstance(kind, _Meta):
                kind.__init__(made, *args)
        except TypeError:
            made = BaseException.__new__(kind)
            _set_args(made, tuple(args))
        if isinstance(kind, _Meta):
            made.__dict__["_axiom_text"] = text
        return made

    def _module(self, name: str) -> Any:
        if name in self.modules:
            return self.modules[name]
        if name.partition(".")[0] in sys.stdlib_module_names and name in sys.modules:
            return sys.modules[name]
        return importlib.import_module(name) if self.finds(name) else self._unknown(name)

    def _unknown(self, name: str) -> Any:
        raise self.give_up(f"the module {name} is reached through the code under test")

    def finds(self, name: str) -> bool:
        """Whether a module of that name is the candidate's."""
        spec = importlib.machinery.PathFinder.find_spec(name) if "." not in name else None
        return name.partition(".")[0] in self.modules or (spec is not None and self.owns(spec))

    def owns(self, spec: importlib.machinery.ModuleSpec) -> bool:
        """Whether what a spec leads to lies below a root and is not ours."""
        places = [spec.origin or "", *(spec.submodule_search_locations or ())]
        real = {os.path.realpath(place) for place in places if place}
        if self._is_among_tests(real) and not real & self._ours:
            raise ImportError(f"{spec.name} appeared among the tests while they ran")
        if spec.origin and spec.origin not in ("built-in", "frozen"):
            return self._is_below(spec.origin) and os.path.realpath(spec.origin) not in self._ours
        places = list(spec.submodule_search_locations or ())
        return bool(places) and all(self._is_below(place) and not self._holds_ours(place) for place in places)

    def _is_among_tests(self, places: set[str]) -> bool:
        """Whether something lies in a folder of tests, and holds none of the files that are known there."""
        inside = any(place.startswith(folder + os.sep) for place in places for folder in self.pinned)
        return inside and not any(path.startswith(place + os.sep) for place in places for path in self._ours)

    def _holds_ours(self, place: str) -> bool:
        real = os.path.realpath(place) + os.sep
        return any(path.startswith(real) for path in self._ours) and not any(
            path.suffix == ".py" and os.path.realpath(path) not in self._ours
            for path in Path(place).rglob("*")
        )

    # --- classes ----------------------------------------------------------------------------------------------

    def _class(self, number: int) -> type:
        if number not in self._classes:
            self._classes[number] = self._describe(number)
        return self._classes[number]

    def _describe(self, number: int) -> type:
        name, qualname, module, bases, methods, doc = self.ask("describe", number)[0]
        parents = [parent for parent in (self.decode(base) for base in bases) if parent is not object]
        if not any(issubclass(parent, self.Thing) for parent in parents):
            parents.insert(0, self.Thing)
        space: dict[str, Any] = {"__module__": str(module), "__qualname__": str(qualname), "__doc__": doc}
        plain = any(
            parent in (int, float, str, bytes, tuple, frozenset) for one in parents for parent in one.__mro__
        )
        for method in methods:
            if made := self._method(number, str(method), plain):
                space[str(method)] = made
        made_class = type.__new__(_Meta, str(name), tuple(parents), space)
        type.__setattr__(made_class, "_axiom_class", number)
        type.__setattr__(made_class, "_axiom_session", self)
        return made_class

    def _method(self, number: int, name: str, plain: bool) -> Any:
        session = self
        if name in _COMPARED:
            if plain:
                return None  # a plain value is compared as what it is, whatever its class says

            def compared(this: Any, other: Any, *more: Any) -> Any:
                __tracebackhide__ = True
                if not isinstance(other, session.Thing):
                    raise session.give_up(
                        f"{type(this).__qualname__}.{name} is asked about {type(other).__qualname__}"
                    )
                return session.special(name, this, (other, *more))

            return compared
        if name in _NEVER:

            def never(this: Any, *args: Any) -> Any:
                raise session.give_up(f"{type(this).__qualname__}.{name} is used")

            return never
        if name in _FORWARDED:
            if plain and name not in (
                "__str__",
                "__repr__",
                "__format__",
                "__call__",
                "__enter__",
                "__exit__",
            ):
                return None

            def special(this: Any, *args: Any, **kwargs: Any) -> Any:
                __tracebackhide__ = True
                if name == "__exit__":
                    args = (*args[:2], None)  # a traceback shows the tests
                if name == "__call__":
                    return session.call(session.encode(this), args, kwargs)
                return session.special(name, this, args)

            special.__name__ = name
            return special
        if name.startswith("__") and name != "__init__":
            return None

        def method(this: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            return session.invoke(number, name, this, args, kwargs)

        method.__name__ = name
        method.__dict__["_axiom"] = (number, name)
        return method

    def subclass(
        self, name: str, bases: tuple[type, ...], space: dict[str, Any], keywords: dict[str, Any]
    ) -> int:
        """Makes the candidate's half of a class that a test derives from one of the candidate's."""
        told = {key: value for key, value in space.items() if key not in _OF_CLASSES}
        return int(
            self.ask("subclass", name, self.encode(list(bases)), self.encode(told), self.encode(keywords))[0]
        )

    # --- being asked ------------------------------------------------------------------------------------------

    def _serve(self, message: list[Any]) -> None:
        if message[0] == "tell":
            self._hear(message[1:])
            return
        if message[0] != "back":
            raise self._w.WireError(f"no such message: {message[0]!r}")
        _, what, number, args, kwargs = message
        try:
            value = self.encode(self._do(str(what), number, self.decode(args), self.decode(kwargs)))
        except BaseException as error:  # noqa: BLE001 - the candidate's code may want to handle it
            self._wire.send("no", self.encode(error))
            return
        self._wire.send("ok", value)

    def _do(self, what: str, number: int, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if what == "warn":
            category, text, filename, lineno = args
            warnings.warn_explicit(str(text), category, str(filename), int(lineno))
            return None
        target = self._lent[number]
        if what in ("getattr", "setattr"):
            if not self._may_see(target, str(args[0])):
                raise AttributeError(args[0])
            if what == "getattr":
                return getattr(target, args[0])
            if self._is_asked_later(type(target), str(args[0])):
                raise self.give_up(
                    f"{type(target).__qualname__}.{args[0]} is replaced by the code under test"
                )
            return setattr(target, args[0], args[1])
        if what not in _CALLED_BACK:
            raise self._w.WireError(f"no such operation: {what!r}")
        if what == "__call__":
            return target(*args, **kwargs)
        return getattr(type(target), what)(target, *args)

    def _hear(self, message: list[Any]) -> None:
        kind, *rest = message
        if kind == "out":
            stream = sys.stdout if rest[0] == "stdout" else sys.stderr
            stream.write(str(rest[1]))
        elif kind == "log":
            logger = logging.getLogger(str(rest[0]))
            if logger.isEnabledFor(int(rest[1])):
                logger.handle(
                    logger.makeRecord(logger.name, int(rest[1]), "candidate", 0, str(rest[2]), (), None)
                )


def _environment() -> dict[str, str]:
    """The tests' variables, without those in which pytest says that it runs, and which test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


def _become(value: Any, content: Any) -> None:
    if type(value) is not type(content):
        return
    if isinstance(value, (list, bytearray)):
        value[:] = content
    elif isinstance(value, (dict, set)):
        value.clear()
        value.update(content)
    else:
        value.clear()
        value.extend(content)


def _standard(value: Any) -> tuple[str, str] | None:
    """Module and name of a function or class of the standard library."""
    if isinstance(value, types.MethodDescriptorType):
        owner = value.__objclass__
        return ("builtins", value.__qualname__) if owner.__module__ == "builtins" else None
    if not isinstance(value, (types.FunctionType, types.BuiltinFunctionType, type)):
        return None
    module, name = str(getattr(value, "__module__", "")), str(getattr(value, "__qualname__", ""))
    is_standard = module.partition(".")[0] in sys.stdlib_module_names
    return (module, name) if is_standard and getattr(sys.modules.get(module), name, None) is value else None


def _number_of(value: Any) -> int | None:
    kind = type(value)
    if kind is _Meta or (isinstance(value, type) and isinstance(value, _Meta)):
        return type.__getattribute__(value, "_axiom_class")  # type: ignore[no-any-return]
    if isinstance(kind, _Meta):
        found: int | None = object.__getattribute__(value, "__dict__").get("_axiom_number")
        return found
    return None


def _set_number(value: Any, number: int) -> None:
    try:
        object.__getattribute__(value, "__dict__")["_axiom_number"] = number
    except AttributeError:
        pass  # a built-in exception: it goes by value


_set_args = BaseException.__dict__["args"].__set__


class _Meta(type):
    """The class of stand-ins for classes."""

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **keywords: Any) -> Any:
        """A class that a test derives from a stand-in."""
        session = next(getattr(base, "_axiom_session") for base in bases if isinstance(base, _Meta))  # noqa: B009
        number = session.subclass(name, bases, space, keywords)
        own = {
            key: value
            for key, value in space.items()
            if key in _OF_CLASSES
            or callable(value)
            or isinstance(value, (staticmethod, classmethod, property))
        }
        made = super().__new__(cls, name, bases, own)
        type.__setattr__(made, "_axiom_class", number)
        session._classes[number] = made  # noqa: SLF001
        return made

    def __init__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **keywords: Any) -> None:
        super().__init__(name, bases, space)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return cls._axiom_session.call(["r", cls._axiom_class], args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        __tracebackhide__ = True
        if name.startswith("_axiom") or name in ("__abstractmethods__", "__wrapped__", "__test__"):
            raise AttributeError(name)
        return cls._axiom_session.getattr(["r", cls._axiom_class], name)

    def __setattr__(cls, name: str, value: Any) -> None:
        session = cls._axiom_session
        session.ask("setattr", ["r", cls._axiom_class], name, session.encode(value))

    def __delattr__(cls, name: str) -> None:
        cls._axiom_session.ask("delattr", ["r", cls._axiom_class], name)

    def __dir__(cls) -> Any:
        session = cls._axiom_session
        return session.decode(session.ask("dir", ["r", cls._axiom_class])[0])

    def __iter__(cls) -> Any:
        return iter(cls._axiom_session.special("__iter__", cls, ()))

    def __len__(cls) -> int:
        return int(cls._axiom_session.special("__len__", cls, ()))

    def __bool__(cls) -> bool:
        return True

    def __getitem__(cls, key: Any) -> Any:
        return cls._axiom_session.special("__getitem__", cls, (key,))

    def __contains__(cls, key: Any) -> bool:
        session = cls._axiom_session
        if not isinstance(key, session.Thing):
            raise session.give_up(f"{cls.__qualname__} is asked whether it holds {type(key).__qualname__}")
        return bool(session.special("__contains__", cls, (key,)))


def _thing(session: Session) -> Any:
    """The class of all stand-ins for objects of one session."""

    def get(self: Any, name: str) -> Any:
        __tracebackhide__ = True
        if name.startswith("_axiom") or _number_of(self) is None:
            raise AttributeError(name)
        return session.getattr(["r", _number_of(self)], name)

    def put(self: Any, name: str, value: Any) -> None:
        if isinstance(self, BaseException) and name.startswith("__"):
            object.__setattr__(self, name, value)
        else:
            session.ask("setattr", ["r", _number_of(self)], name, session.encode(value))

    def drop(self: Any, name: str) -> None:
        session.ask("delattr", ["r", _number_of(self)], name)

    def listed(self: Any) -> Any:
        return session.decode(session.ask("dir", ["r", _number_of(self)])[0])

    def shown(self: Any) -> str:
        return str(session.special("__repr__", self, ()))

    def told(self: Any) -> str:
        if isinstance(self, BaseException):
            return str(self.__dict__.get("_axiom_text", ""))
        return str(session.special("__str__", self, ()))

    def never(self: Any, *args: Any) -> Any:
        raise session.give_up(f"{type(self).__qualname__} is copied")

    space = {
        "__module__": __name__, "__getattr__": get, "__setattr__": put, "__delattr__": drop, "__dir__": listed,
        "__repr__": shown, "__str__": told, "__reduce_ex__": never, "__deepcopy__": never, "__copy__": never,
        "_axiom_session": session,
    }  # fmt: skip
    return type.__new__(_Meta, "Thing", (object,), space)


# --- modules ----------------------------------------------------------------------------------------------------


class Module(types.ModuleType):
    """The stand-in for a module."""

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        if name in ("__path__", "__file__", "__wrapped__", "pytest_plugins", "__test__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        session = object.__getattribute__(self, "__dict__")["_axiom_session"]
        return session.getattr(["m", self.__name__], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__") or isinstance(value, types.ModuleType):
            super().__setattr__(name, value)
            return
        session = object.__getattribute__(self, "__dict__")["_axiom_session"]
        session.ask("setattr", ["m", self.__name__], name, session.encode(value))

    def __delattr__(self, name: str) -> None:
        if name in object.__getattribute__(self, "__dict__"):
            super().__delattr__(name)
            return
        self.__dict__["_axiom_session"].ask("delattr", ["m", self.__name__], name)

    def __dir__(self) -> Any:
        session = object.__getattribute__(self, "__dict__")["_axiom_session"]
        return session.decode(session.ask("dir", ["m", self.__name__])[0])


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the candidate's modules, and gives stand-ins for them."""

    def __init__(self, session: Session, present: Iterable[str]) -> None:
        """`present` are the modules that were there before."""
        self._session, self._present = session, frozenset(name.partition(".")[0] for name in present)

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """A spec for what is the candidate's; None: others know."""
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in self._present:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or not self._session.owns(spec):
            return None
        is_package = spec.submodule_search_locations is not None
        made = importlib.machinery.ModuleSpec(name, self, origin=spec.origin, is_package=is_package)
        if is_package:
            made.submodule_search_locations = list(spec.submodule_search_locations or ())
        return made

    def create_module(self, spec: Any) -> Any:
        """An empty stand-in."""
        module = Module(spec.name)
        module.__dict__["_axiom_session"] = self._session
        return module

    def exec_module(self, module: Any) -> None:
        """The candidate imports it."""
        __tracebackhide__ = True
        name = module.__name__
        path, doc, file = self._session.ask("import", name)
        if path:
            module.__path__ = [str(part) for part in path]
        module.__doc__ = doc
        if file:
            module.__file__ = str(file)
        self._session.modules[name] = module


def open_session(
    python: str, folder: Path, load: Callable[[Path], Any], plan: dict[str, Any]
) -> tuple[Session, Callable[[], str]]:
    """A candidate's process, and what lets the tests import from it (and says why that is impossible)."""
    workspace = plan["workspace"]
    ours, hidden, measured = (
        [f"{workspace}/{path}" for path in plan[key]] for key in ("ours", "hidden", "measured")
    )
    session = Session(python, folder, load(folder / "wire.py"), ours)
    session.roots = [workspace]
    session.pinned = [os.path.realpath(f"{workspace}/{folder}") for folder in plan["folders"]]

    def admit() -> str:
        if problem := session.begin(hidden, measured):
            return problem
        sys.meta_path.insert(0, Finder(session, list(sys.modules)))
        lock = load(folder / "candidate.py").lock
        load(folder / "sealing.py").Seal(session.roots, ours, session.give_up).close(lambda: lock(hidden))
        return ""

    return session, admit
