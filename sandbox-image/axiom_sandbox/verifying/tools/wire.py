"""What goes between the process of the tests and that of the candidate: lines of JSON, plain data by value, the rest by
reference. Both sides run this module; neither believes the other more than the form of what it says.

Only exact types are plain: an instance of a subclass goes by reference, so that what it overrides never decides anything
on the other side. Nothing that is decoded is imported or executed; a class is named from a fixed list.
"""

from __future__ import annotations

import base64
import builtins
import collections
import datetime
import decimal
import fractions
import json
import pathlib
import re
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any, BinaryIO

Encoded = Any
Reference = Callable[[Any], Encoded]

LARGEST = 2**53
_SEQUENCES: dict[str, type] = {"l": list, "t": tuple, "s": set, "f": frozenset, "q": collections.deque}
_MAPPINGS: dict[str, type] = {"d": dict, "o": collections.OrderedDict, "n": collections.Counter}
_TAGS = {kind: tag for tag, kind in (_SEQUENCES | _MAPPINGS).items()}
MUTABLE = (list, dict, set, bytearray, collections.deque, collections.OrderedDict, collections.Counter)

VALUES: dict[str, tuple[type, Callable[[Any], list[Any]], Callable[..., Any]]] = {
    "complex": (complex, lambda v: [v.real, v.imag], complex),
    "range": (range, lambda v: [v.start, v.stop, v.step], range),
    "slice": (slice, lambda v: [v.start, v.stop, v.step], slice),
    "date": (datetime.date, lambda v: [v.year, v.month, v.day], datetime.date),
    "time": (datetime.time, lambda v: [v.hour, v.minute, v.second, v.microsecond, v.tzinfo], datetime.time),
    "datetime": (
        datetime.datetime,
        lambda v: [v.year, v.month, v.day, v.hour, v.minute, v.second, v.microsecond, v.tzinfo],
        datetime.datetime,
    ),
    "timedelta": (datetime.timedelta, lambda v: [v.days, v.seconds, v.microseconds], datetime.timedelta),
    "timezone": (datetime.timezone, lambda v: [v.utcoffset(None)], datetime.timezone),
    "Decimal": (decimal.Decimal, lambda v: [str(v)], decimal.Decimal),
    "Fraction": (fractions.Fraction, lambda v: [v.numerator, v.denominator], fractions.Fraction),
    "UUID": (uuid.UUID, lambda v: [str(v)], uuid.UUID),
    "Path": (pathlib.PosixPath, lambda v: [str(v)], pathlib.PosixPath),
    "PurePath": (pathlib.PurePosixPath, lambda v: [str(v)], pathlib.PurePosixPath),
    "Pattern": (re.Pattern, lambda v: [v.pattern, v.flags], re.compile),
}
"""Types of the standard library that both sides hold to be the same: name → type, arguments of a value, maker."""
_VALUE_NAMES = {kind: name for name, (kind, _, _) in VALUES.items()}
_SINGLE = {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}


class WireError(Exception):
    """The other side said something that has no meaning."""


class GoneError(Exception):
    """The other side has ended."""

    def __str__(self) -> str:
        return "the process of the code under test has ended"


class Wire:
    """One end of the connection. Messages are lists whose first part says their kind."""

    def __init__(self, reading: BinaryIO, writing: BinaryIO) -> None:
        self._reading, self._writing, self._lock = reading, writing, threading.Lock()

    def send(self, *message: Any) -> None:
        """Raises GoneError."""
        line = _dump(message).encode() + b"\n"
        with self._lock:
            try:
                self._writing.write(line)
                self._writing.flush()
            except (OSError, ValueError) as error:
                raise GoneError from error

    def receive(self) -> list[Any]:
        """Raises GoneError, WireError."""
        try:
            line = self._reading.readline()
        except (OSError, ValueError) as error:
            raise GoneError from error
        if not line.endswith(b"\n"):
            raise GoneError
        try:
            message = _load(line.decode())
        except (ValueError, RecursionError) as error:
            raise WireError from error
        if not isinstance(message, list) or not message or not isinstance(message[0], str):
            raise WireError
        return message


_dump, _load = json.JSONEncoder(separators=(",", ":")).encode, json.JSONDecoder().decode


def encode(value: Any, reference: Reference, inside: tuple[int, ...] = ()) -> Encoded:
    """A value as JSON; what is not plain is what `reference` makes of it."""
    kind = type(value)
    if value is None or kind in (bool, str, float):
        return value
    if kind is int:
        return value if -LARGEST < value < LARGEST else ["i", hex(value)]
    if kind in (bytes, bytearray):
        return ["b" if kind is bytes else "B", base64.b64encode(value).decode()]
    for name, single in _SINGLE.items():
        if value is single:
            return ["1", name]
    if kind in _TAGS:
        if id(value) in inside:
            return reference(value)
        within = (*inside, id(value))
        if kind in _MAPPINGS.values():
            pairs = [
                [encode(key, reference, within), encode(item, reference, within)]
                for key, item in value.items()
            ]
            return [_TAGS[kind], pairs]
        return [_TAGS[kind], [encode(item, reference, within) for item in value]]
    if kind in _VALUE_NAMES:
        name = _VALUE_NAMES[kind]
        return ["v", name, [encode(part, reference, inside) for part in VALUES[name][1](value)]]
    if isinstance(value, type) and (shared := class_name(value)):
        return ["T", shared]
    return reference(value)


def decode(data: Encoded, resolve: Callable[[list[Any]], Any]) -> Any:
    """The value; `resolve` knows what goes by reference. Raises WireError."""
    if data is None or isinstance(data, (bool, str, float, int)):
        return data
    try:
        return _decode_tagged(data, resolve)
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, re.error) as error:
        raise WireError(f"{type(error).__name__}: {error}") from error


def _decode_tagged(data: list[Any], resolve: Callable[[list[Any]], Any]) -> Any:
    tag = data[0]
    if tag == "i":
        return int(data[1], 16)
    if tag in ("b", "B"):
        content = base64.b64decode(data[1])
        return content if tag == "b" else bytearray(content)
    if tag == "1":
        return _SINGLE[data[1]]
    if tag in _MAPPINGS:
        pairs = {decode(key, resolve): decode(item, resolve) for key, item in data[1]}
        return pairs if tag == "d" else _MAPPINGS[tag](pairs)
    if tag in _SEQUENCES:
        return _SEQUENCES[tag]([decode(item, resolve) for item in data[1]])
    if tag == "v":
        return VALUES[data[1]][2](*(decode(part, resolve) for part in data[2]))
    if tag == "T":
        return shared_class(data[1])
    return resolve(data)


def class_name(kind: type) -> str:
    """How a class that both sides have is named; empty: the other side need not have it."""
    module, name = getattr(kind, "__module__", ""), getattr(kind, "__qualname__", "")
    if kind in _VALUE_NAMES:
        return f"values:{_VALUE_NAMES[kind]}"
    if kind in (collections.OrderedDict, collections.Counter, collections.deque):
        return f"collections:{name}"
    if module == "builtins" and getattr(builtins, name, None) is kind:
        return f"builtins:{name}"
    if issubclass(kind, BaseException) and _is_standard(str(module)):
        return f"{module}:{name}" if getattr(sys.modules.get(module), name, None) is kind else ""
    return ""


def shared_class(named: str) -> type:
    """The class of that name. Raises WireError, unless it is a built-in type, a plain one, or a standard exception."""
    module, _, name = named.partition(":")
    if module == "values" and name in VALUES:
        return VALUES[name][0]
    if module == "collections" and name in ("OrderedDict", "Counter", "deque"):
        return getattr(collections, name)  # type: ignore[no-any-return]
    found = getattr(sys.modules.get(module), name, None) if _is_standard(module) else None
    if isinstance(found, type) and (module == "builtins" or issubclass(found, BaseException)):
        return found
    raise WireError(f"there is no class {named!r}")


def _is_standard(module: str) -> bool:
    """Whether exceptions of a module may cross: those of unittest steer the run of a test."""
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names and top != "unittest"
