"""Small faults, put into the functions that a change wrote: tests that notice none of them prove nothing. Pure.

A function is changed if its code, comments and layout aside, is not that of the base's function of the same name. Of all
faults that its syntax tree has room for, a sample is taken by a seed. Beside them stands a control: the same functions,
written otherwise and meaning the same, on which whatever passes must pass, or it looks at the text and not at what it does.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from axiom_sandbox.snapshots.paths import printable

MAX_FILE_BYTES = 1024 * 1024
_MOST_FAULTS, _MOST_IN_A_ROW, _MOST_LINES, _MOST_COLUMNS = 20_000, 4, 40, 2_000
_ASKED = (ast.Name, ast.Attribute, ast.Call, ast.Subscript)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Named = ast.Assign | ast.AnnAssign
"""A statement that gives a lambda a name."""
_OPEN = (ast.If, ast.Try, ast.With, ast.For, ast.While, ast.Match, ast.match_case)
"""Statements outside of functions that may hold some."""
_Place = tuple[int, int, int, int]
_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True)
class Mutant:
    """One fault in one file."""

    path: str
    line: int
    what: str
    """In words: `n > 0` became `n >= 0`."""
    text: bytes
    """The whole file with it."""

    @property
    def place(self) -> str:
        """`src/leap.py:2`."""
        return f"{printable(self.path)}:{self.line}"


@dataclass(frozen=True)
class _Fault:
    """A stretch of a file, and what is to stand there."""

    place: _Place
    before: str
    after: str


@dataclass(frozen=True)
class Sample:
    """What is to be tried."""

    mutants: tuple[Mutant, ...]
    control: Mapping[str, bytes]
    """Path → the file written otherwise; each changed function with something in it that does nothing."""
    possible: int
    """Faults that there is room for."""
    functions: int
    """Changed functions."""
    unread: tuple[str, ...] = ()
    """Files that cannot be parsed here."""


@lru_cache(maxsize=4)
def sample_of(files: tuple[tuple[str, bytes, bytes], ...], most: int, seed: bytes) -> Sample:
    """Faults in those functions of Python files that differ from before.

    Args:
        files: path, the content before, empty where there was none, and the content now.
        most: faults at most.
    """
    found: list[tuple[str, _Fault, bytes]] = []
    control: dict[str, bytes] = {}
    unread: list[str] = []
    count = 0
    for path, before, text in sorted(files):
        old, new = _parsed(before), _parsed(text)
        if new is None:
            unread.append(printable(path))
            continue
        functions = _changed(old, new)
        count += len(functions)
        every = (fault for function in functions for fault in _faults(function))
        faults = list(islice(every, _MOST_FAULTS - len(found)))
        found += [(path, fault, text) for fault in faults]
        if faults:
            control[path] = _written_otherwise(text, functions, seed)
    order = random.Random(hashlib.sha256(seed).digest())  # noqa: S311 - a sample, not a secret
    order.shuffle(found)
    mutants: list[Mutant] = []
    for path, fault, text in found:
        if len(mutants) < most and (mutated := _spliced(text, fault)) is not None:
            mutants.append(Mutant(path, fault.place[0], f"`{fault.before}` became `{fault.after}`", mutated))
    return Sample(tuple(mutants), control, len(found), count, tuple(unread))


def _parsed(text: bytes) -> ast.Module | None:
    if len(text) > MAX_FILE_BYTES:
        return None
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _changed(old: ast.Module | None, new: ast.Module) -> list[_Function | _Named]:
    known = {name: ast.dump(function) for name, function in _functions(old)} if old else {}
    return [function for name, function in _functions(new) if known.get(name) != ast.dump(function)]


def _functions(tree: ast.Module) -> Iterator[tuple[str, _Function | _Named]]:
    """Functions, methods and lambdas by name, those inside others as a part of them."""
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:
        prefix, parent = waiting.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, _Function):
                yield f"{prefix}{node.name}", node
            elif isinstance(node, ast.ClassDef):
                waiting.append((f"{prefix}{node.name}.", node))
            elif isinstance(node, _Named) and any(isinstance(one, ast.Lambda) for one in ast.walk(node)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield f"{prefix}{ast.unparse(targets[0])}", node
            elif isinstance(node, (*_OPEN, ast.ExceptHandler)):
                waiting.append((prefix, node))


def _faults(function: _Function | _Named) -> Iterator[_Fault]:
    """Everything that a function's body has room for, from top to bottom."""
    if isinstance(function, _Named):
        yield from _faults_below(function)
        return
    for statement in _without_docstring(function):
        yield from _faults_below(statement)


def _without_docstring(function: _Function) -> Sequence[ast.stmt]:
    first = function.body[0]
    says = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return function.body[1:] if says and isinstance(first.value.value, str) else function.body  # type: ignore[attr-defined]


def _faults_below(top: ast.stmt) -> Iterator[_Fault]:
    waiting: list[ast.AST] = [top]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.JoinedStr, ast.arguments)):
            continue  # places inside f-strings are not told rightly by every Python
        if isinstance(node, _Function):
            waiting += reversed(_without_docstring(node))
            continue
        if (
            isinstance(node, (ast.If, ast.IfExp))
            and isinstance(node.test, _ASKED)
            and (place := _place_of(node.test))
        ):
            yield _Fault(place, _shown(node.test), f"(not {_shown(node.test)})")
        if place := _place_of(node):
            for other in _others(node):
                yield _Fault(place, _shown(node), _shown(other, is_part=isinstance(node, ast.expr)))
        waiting += reversed(
            [child for child in ast.iter_child_nodes(node) if child is not getattr(node, "annotation", None)]
        )


def _others(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    match node:
        case ast.Compare(ops=operators):
            for number, operator in enumerate(operators[:_MOST_IN_A_ROW]):
                for other in _COMPARED.get(type(operator), ()):
                    made = copy.deepcopy(node)
                    made.ops[number] = other()
                    yield made
        case ast.BinOp(op=operator) if type(operator) in _COMPUTED:
            yield ast.BinOp(node.left, _COMPUTED[type(operator)](), node.right)
        case ast.AugAssign(op=operator) if type(operator) in _COMPUTED:
            yield ast.AugAssign(node.target, _COMPUTED[type(operator)](), node.value)
            yield ast.Pass()
        case ast.BoolOp(op=operator, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(value=str() as value):
            yield ast.Constant("" if value else "axiom")
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.Delete():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case _:
            pass


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _shown(node: ast.AST, *, is_part: bool = False) -> str:
    """A node as text, in one line; an expression that stands among others in brackets."""
    text = ast.unparse(node)
    return (
        f"({text})" if is_part and isinstance(node, ast.expr) and not isinstance(node, ast.Constant) else text
    )


def _place_of(node: ast.AST) -> _Place | None:
    if not isinstance(node, (ast.expr, ast.stmt)) or node.end_lineno is None or node.end_col_offset is None:
        return None
    is_long = node.end_lineno - node.lineno > _MOST_LINES or node.end_col_offset > _MOST_COLUMNS
    return None if is_long else (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)


def _spliced(text: bytes, fault: _Fault) -> bytes | None:
    """The text with a fault; None where it would be none, or no Python."""
    lines = text.splitlines(keepends=True)
    first, start, last, end = fault.place
    try:
        before = b"".join(lines[: first - 1]) + lines[first - 1][:start]
        after = lines[last - 1][end:] + b"".join(lines[last:])
    except IndexError:
        return None
    made = before + fault.after.encode("utf-8", "surrogateescape") + after
    old, new = _parsed(text), _parsed(made)
    return made if old and new and ast.dump(old) != ast.dump(new) else None


def _written_otherwise(text: bytes, functions: Iterable[_Function | _Named], seed: bytes) -> bytes:
    """Each function begins with a name that nothing reads, and a comment, so that lines and code differ from before."""
    lines = text.splitlines(keepends=True)
    name = f"unused_{hashlib.sha256(seed + b'control').hexdigest()[:12]}".encode()
    defined = [one for one in functions if isinstance(one, _Function)]
    for function in sorted(defined, key=lambda one: -one.body[0].lineno):
        body = _without_docstring(function)
        first = body[0] if body else None
        if first is None or first.lineno == function.lineno:
            continue  # it has no line of its own
        line = min([first.lineno, *(one.lineno for one in getattr(first, "decorator_list", []))])
        indent = lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]
        if lines[line - 1][: first.col_offset].strip():
            continue
        lines.insert(line - 1, indent + name + b" = 0  # control\n")
    made = b"# control\n" * (not text.startswith((b"#!", b"# -*-", b"# coding"))) + b"".join(lines)
    return made if _parsed(made) else text + b"\n# control\n"
