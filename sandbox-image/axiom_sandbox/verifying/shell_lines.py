"""What a shell would do with a command line, as far as that is certain from its text alone. Pure.

A line is read into its simple commands, in order. What this does not understand (loops, conditions, functions, `eval`, traps)
makes the whole line say nothing: who asks what was run is told rather too little than too much.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

UNKNOWN = "\0"
"""Stands in a word for what is known only when the line runs: variables and substitutions."""
_OPERATORS = (
    "<<-",
    "<<<",
    "&>>",
    "&&",
    "||",
    ";;",
    "|&",
    "&>",
    ">>",
    ">|",
    ">&",
    "<<",
    "<&",
    "<>",
    *"|&;()<>",
)
_REDIRECTIONS = frozenset({"<", ">", ">>", ">|", ">&", "<&", "<>", "&>", "&>>", "<<<"})
_HERE = frozenset({"<<", "<<-"})
_COMPOUND = frozenset(
    [
        "if",
        "then",
        "else",
        "elif",
        "fi",
        "for",
        "while",
        "until",
        "do",
        "done",
        "case",
        "esac",
        "in",
        "select",
        "function",
        "coproc",
        "[[",
        "{",
        "}",
        "!",
    ]
)
_CHANGES_MEANING = frozenset({"eval", "trap", "alias", "unalias", "enable", "shopt", "hash", "builtin"})
_ENVIRONMENTS = frozenset({"activate", "nvm.sh", ".bashrc", ".profile", "profile", "env"})
"""Scripts that are sourced to set an environment up."""
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_DEEPEST = 20


class _NotUnderstoodError(Exception):
    pass


@dataclass(frozen=True)
class Step:
    """One simple command of a line."""

    words: tuple[str, ...]
    """Without quotes, assignments and redirections."""
    cwd: str
    """Absolute, as far as `cd` with plain paths tells."""
    always: bool
    """Whenever the line runs, so does this."""
    decides: bool
    """If the line ends with exit code 0, this ran and did, too."""
    fed: str | None = None
    """The here-document on its standard input."""
    writes: tuple[str, ...] = ()
    """Absolute paths that `>` empties and this writes."""


@dataclass(frozen=True)
class _Word:
    text: str
    quoted: bool


@dataclass(frozen=True)
class _Operator:
    text: str


@dataclass(frozen=True)
class _Here:
    text: str


_Token = _Word | _Operator | _Here


def steps_of(line: str, cwd: str, options: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """The simple commands of a line; none where it is not understood. `options` are those of `set` at its beginning."""
    try:
        return tuple(_Reader(list(_tokens(line)), cwd, options).read())
    except (_NotUnderstoodError, RecursionError):
        return ()


class _Reader:
    """Recursive descent over lists, and-or lists, pipelines and commands."""

    def __init__(self, tokens: list[_Token], cwd: str, options: tuple[str, ...]) -> None:
        self._tokens, self._at, self._cwd = tokens, 0, posixpath.normpath(cwd)
        self._stops_at_failure = self._pipes_fail = False
        self._ended = self._may_end = False
        self._depth = 0
        self._set(options)

    def read(self) -> list[Step]:
        steps = self._list()
        if self._at < len(self._tokens):
            raise _NotUnderstoodError
        return steps

    def _list(self) -> list[Step]:
        parts: list[tuple[list[Step], bool]] = []
        while True:
            while self._takes(";"):
                pass
            if self._at >= len(self._tokens) or self._peek() == ")":
                break
            stops, sure = self._stops_at_failure and not self._depth, not self._may_end
            steps, is_simple = self._and_or()
            steps = [replace(step, always=step.always and sure) for step in steps]
            in_background = self._takes("&")
            if in_background:
                steps = [replace(step, decides=False) for step in steps]
            parts.append((steps, stops and is_simple))
            if not in_background and not self._takes(";"):
                break
        found: list[Step] = []
        for number, (steps, stops) in enumerate(parts):
            is_last = number == len(parts) - 1
            found += [replace(step, decides=step.decides and (is_last or stops)) for step in steps]
        return found

    def _and_or(self) -> tuple[list[Step], bool]:
        """Its steps, and whether its failure is that of its one pipeline: among several, `set -e` minds the last alone."""
        found, only_and, is_simple = self._pipeline(), True, True
        while (operator := self._peek()) in ("&&", "||"):
            self._at += 1
            is_simple, only_and = False, only_and and operator == "&&"
            while self._takes(";"):  # a line may end behind it
                pass
            ended, before = self._ended, self._at
            found += [replace(step, always=False) for step in self._pipeline()]
            if self._ended and not ended and operator == "||" and self._gives_up(before):
                self._ended, self._may_end = False, True
        return (found if only_and else [replace(step, decides=False) for step in found]), is_simple

    def _gives_up(self, at: int) -> bool:
        """Whether what stands here is `exit 1`, which can hide no failure."""
        words = [token.text if isinstance(token, _Word) else "" for token in self._tokens[at : at + 2]]
        return words[:1] in (["exit"], ["return"]) and words[1:] != ["0"] and words[-1].isdecimal()

    def _pipeline(self) -> list[Step]:
        parts = [self._command()]
        while self._peek() in ("|", "|&"):
            self._at += 1
            parts.append(self._command())
        before = [
            replace(step, decides=step.decides and self._pipes_fail) for part in parts[:-1] for step in part
        ]
        return [*before, *parts[-1]]

    def _command(self) -> list[Step]:
        if not self._takes("("):
            return self._simple()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _NotUnderstoodError
        outside = (self._cwd, self._stops_at_failure, self._pipes_fail, self._ended)
        found = self._list()
        self._cwd, self._stops_at_failure, self._pipes_fail, self._ended = outside
        self._depth -= 1
        if not self._takes(")"):
            raise _NotUnderstoodError
        while self._peek() in _REDIRECTIONS:
            self._at += 2
        return found

    def _simple(self) -> list[Step]:
        words: list[_Word] = []
        writes: list[str] = []
        fed: str | None = None
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            match token:
                case _Word():
                    words.append(token)
                    self._at += 1
                case _Here(text):
                    fed = text
                    self._at += 1
                case _Operator(text) if text in _REDIRECTIONS:
                    target = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else None
                    if not isinstance(target, _Word):
                        raise _NotUnderstoodError
                    if words and words[-1].text.isdecimal() and not words[-1].quoted and text[0] in "<>":
                        words.pop()  # the number of a descriptor
                    if text in (">", ">|"):
                        writes.append(self._absolute(target.text))
                    if text in ("<", "<<<", "<>"):
                        fed = None
                    self._at += 2
                case _:
                    break
        if self._peek() == "(":
            raise _NotUnderstoodError  # a function
        return self._step(words, fed, tuple(writes))

    def _step(self, words: list[_Word], fed: str | None, writes: tuple[str, ...]) -> list[Step]:
        while words and not words[0].quoted and _ASSIGNMENT.match(words[0].text):
            if words[0].text.partition("=")[0].rstrip("+") in ("PATH", "BASH_ENV", "LD_PRELOAD"):
                raise _NotUnderstoodError
            words = words[1:]
        words = _plainly(words)
        if not words:
            return []
        first = words[0]
        if (not first.quoted and first.text in _COMPOUND) or first.text in _CHANGES_MEANING:
            raise _NotUnderstoodError
        texts = tuple(word.text for word in words)
        ended = self._ended
        match first.text:
            case "exit" | "return" | "exec":
                self._ended = True
            case "cd" | "pushd" if len(texts) > 1:
                self._cwd = self._absolute(texts[-1])
            case "set":
                self._set(texts[1:])
            case "source" | "." if posixpath.basename(texts[-1]) not in _ENVIRONMENTS:
                raise _NotUnderstoodError
            case name if UNKNOWN in name and "/" not in name:
                self._ended = True  # it may be `exit`
            case _:
                pass
        if ended:
            return []
        if first.text == "exec":
            texts = texts[1:]
        if not texts:
            return []
        return [Step(texts, self._cwd, always=True, decides=True, fed=fed, writes=writes)]

    def _set(self, options: tuple[str, ...]) -> None:
        named = set(options)
        letters = {letter for one in options if re.fullmatch(r"-[a-zA-Z]+", one) for letter in one}
        if letters & {"n", "t"} or named & {"noexec", "onecmd"}:
            raise _NotUnderstoodError  # what follows is read, and not run
        if any(one.startswith("+") for one in options):
            self._stops_at_failure = self._pipes_fail = False
        self._stops_at_failure = self._stops_at_failure or "e" in letters or "errexit" in named
        self._pipes_fail = self._pipes_fail or "pipefail" in named

    def _absolute(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self._cwd, path))

    def _peek(self) -> str:
        token = self._tokens[self._at] if self._at < len(self._tokens) else None
        return token.text if isinstance(token, _Operator) else ""

    def _takes(self, operator: str) -> bool:
        if self._peek() != operator:
            return False
        self._at += 1
        return True


def _plainly(words: list[_Word]) -> list[_Word]:
    """Without `command` and `time` in front, which change nothing of what the shell itself does by the word behind them."""
    while len(words) > 1 and words[0].text in ("command", "time"):
        rest = words[1:]
        while len(rest) > 1 and rest[0].text == "-p":
            rest = rest[1:]
        if rest[0].text.startswith("-"):
            break
        words = rest
    return words


def _tokens(line: str) -> Iterator[_Token]:
    at = 0
    waiting: list[tuple[str, bool, bool]] = []
    """Here-documents whose text begins on the next line: how each ends, tabs are dropped, nothing in it is replaced."""
    while at < len(line):
        char = line[at]
        if char in " \t\r":
            at += 1
        elif line.startswith("\\\n", at):
            at += 2
        elif char == "#":
            at = _end(line, "\n", at, len(line))
        elif char == "\n":
            at += 1
            for ending, drops_tabs, _ in waiting:
                _, at = _here(line, at, ending, drops_tabs=drops_tabs)
            waiting = []
            yield _Operator(";")
        elif operator := next((one for one in _OPERATORS if line.startswith(one, at)), ""):
            at += len(operator)
            if operator not in _HERE:
                yield _Operator(operator)
                continue
            word, at = _word(line, _skip_blanks(line, at))
            waiting.append((word.text, operator == "<<-", word.quoted))
            yield _Here(_peek_here(line, at, waiting))
        else:
            found, at = _word(line, at)
            yield found


def _peek_here(line: str, at: int, waiting: list[tuple[str, bool, bool]]) -> str:
    """The text of the last of the here-documents that begin on the next line."""
    at, text = _end(line, "\n", at, len(line)) + 1, ""
    for ending, drops_tabs, _ in waiting:
        text, at = _here(line, at, ending, drops_tabs=drops_tabs)
    literal = waiting[-1][2]
    return text if literal or not set("$`\\").intersection(text) else UNKNOWN


def _here(line: str, at: int, ending: str, *, drops_tabs: bool) -> tuple[str, int]:
    kept: list[str] = []
    while at < len(line):
        stop = _end(line, "\n", at, len(line))
        row, at = line[at:stop], stop + 1
        row = row.lstrip("\t") if drops_tabs else row
        if row == ending:
            break
        kept.append(f"{row}\n")
    return "".join(kept), min(at, len(line))


def _word(line: str, at: int) -> tuple[_Word, int]:
    text, quoted = "", False
    while at < len(line) and line[at] not in " \t\r\n|&;()<>":
        char = line[at]
        if char == "'":
            stop = _closing(line, "'", at + 1)
            text, quoted, at = text + line[at + 1 : stop], True, stop + 1
        elif char == '"':
            part, at = _double(line, at + 1)
            text, quoted = text + part, True
        elif char == "\\":
            text, quoted, at = (
                text + ("" if line[at + 1 : at + 2] == "\n" else line[at + 1 : at + 2]),
                True,
                at + 2,
            )
        elif char in "$`":
            at = _substitution(line, at)
            text += UNKNOWN
        else:
            text, at = text + char, at + 1
    return _Word(text, quoted), at


def _double(line: str, at: int) -> tuple[str, int]:
    text = ""
    while at < len(line):
        char = line[at]
        if char == '"':
            return text, at + 1
        if char == "\\" and line[at + 1 : at + 2] in ("$", "`", '"', "\\", "\n"):
            text, at = text + line[at + 1].replace("\n", ""), at + 2
        elif char == "`" or (char == "$" and re.match(r"[A-Za-z0-9_({@*#?!$-]", line[at + 1 : at + 2])):
            at = _substitution(line, at)
            text += UNKNOWN
        else:
            text, at = text + char, at + 1
    raise _NotUnderstoodError


def _substitution(line: str, at: int) -> int:
    """Where `$X`, `${X}`, `$(…)` or a pair of backquotes ends."""
    if line[at] == "`":
        return _closing(line, "`", at + 1) + 1
    following = line[at + 1 : at + 2]
    if following in ("(", "{"):
        closing = {"(": ")", "{": "}"}[following]
        depth, at = 0, at + 1
        while at < len(line):
            if line[at] in "'\"":
                at = _closing(line, line[at], at + 1)
            depth += (line[at] == following) - (line[at] == closing)
            at += 1
            if depth == 0:
                return at
        raise _NotUnderstoodError
    if following == "'":
        raise _NotUnderstoodError  # $'…'
    name = re.match(r"\$([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?!$-])?", line[at:])
    assert name is not None
    return at + name.end()


def _closing(line: str, char: str, at: int) -> int:
    found = line.find(char, at)
    if found < 0:
        raise _NotUnderstoodError
    return found


def _end(line: str, char: str, at: int, otherwise: int) -> int:
    found = line.find(char, at)
    return otherwise if found < 0 else found


def _skip_blanks(line: str, at: int) -> int:
    while at < len(line) and line[at] in " \t":
        at += 1
    return at
