"""Code that stands in a message, as files: what an agent hands in that answers instead of writing. Pure.

A fenced block (``` or ~~~, as in Markdown) is a file where it says which: behind its language (```python src/leap.py, or
path=src/leap.py), or in a comment that is its whole first line and no part of the file (# src/leap.py). A block that names none
is the file that the task names for such blocks, if there is just one, of the language that this file's name says or of none;
other blocks are illustrations. Of two blocks of the same file the last one counts.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from axiom_sandbox.protocol.changes import Entry, EntryKind, Finding
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.paths import check_path, is_derived, is_git, printable

MAX_FILES = 1_000
_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})[ \t]*([^\n]*?)[ \t]*$")
_ROOT = "/workspace/"
_PATH = re.compile(r"(?:\.{0,2}/)?(?:[^\s/\\:`'\"<>|*?]+/)*[^\s/\\:`'\"<>|*?]+")
_HAS_ENDING = re.compile(r"[^/]*[^/.][^/]*\.[A-Za-z0-9_-]{1,10}|\.[A-Za-z][A-Za-z0-9._-]*")
_ATTRIBUTE = re.compile(r"\{?\s*(?:path|file|filename|title|name)\s*[=:]\s*[\"']?([^\s\"'}]+)[\"']?\s*\}?")
_COMMENT = re.compile(
    r"\s*(?:#|//|--|;+|%|<!--|/\*)\s*(?:(?:path|file|filename)\s*:\s*)?(?P<path>[^\s]+)\s*(?:-->|\*/)?\s*"
)
_CUT = re.compile(r"^\[… [\d,]+ characters …\]$", re.MULTILINE)
_LANGUAGES = {
    "py": ("python", "python3", "py"),
    "js": ("javascript", "js", "node"),
    "mjs": ("javascript", "js", "mjs"),
    "cjs": ("javascript", "js", "cjs"),
    "ts": ("typescript", "ts"),
    "jsx": ("jsx", "javascript"),
    "tsx": ("tsx", "typescript"),
    "go": ("go", "golang"),
    "rs": ("rust", "rs"),
    "rb": ("ruby", "rb"),
    "c": ("c",),
    "h": ("c", "cpp", "c++", "h"),
    "cpp": ("cpp", "c++", "cc"),
    "java": ("java",),
    "cs": ("csharp", "cs", "c#"),
    "php": ("php",),
    "pl": ("perl", "pl"),
    "sh": ("sh", "bash", "shell", "zsh"),
    "sql": ("sql",),
    "md": ("markdown", "md"),
    "yaml": ("yaml", "yml"),
    "yml": ("yaml", "yml"),
    "html": ("html",),
    "css": ("css",),
    "json": ("json",),
    "toml": ("toml",),
}
"""What blocks with a file's ending are called. A name that is not here is called by its ending."""


@dataclass(frozen=True)
class Given:
    """What a message holds."""

    files: Mapping[str, bytes]
    """Path inside the workspace → content."""
    findings: tuple[Finding, ...] = ()
    """Blocks that were not taken over, and why."""


@dataclass(frozen=True)
class _Block:
    info: str
    text: str
    is_closed: bool


def code_in(message: str, path: str = "", *, is_tail: bool = False) -> Given:
    """The files of a message.

    Args:
        path: the file that a block is which names none; empty: it is an illustration.
        is_tail: the message's beginning is missing, perhaps in the midst of a block.
    """
    files: dict[str, bytes] = {}
    findings: list[Finding] = []
    unnamed: list[_Block] = []
    for block in _blocks(message, is_tail=is_tail):
        name, text = _named(block)
        if not name:
            unnamed += [block] if path and _is_of(path, block.info) else []
        elif problem := _problem(name, block):
            findings.append(Finding(printable(name)[:1000], problem))
        else:
            files.pop(_inside(name), None)
            files[_inside(name)] = _content(text)
    if path and path not in files and unnamed:
        problem = (
            _problem(path, unnamed[0])
            if len(unnamed) == 1
            else f"is given by {len(unnamed)} blocks that name no file"
        )
        if problem:
            findings.append(Finding(path, problem))
        else:
            files[path] = _content(unnamed[0].text)
    return _bounded(files, findings)


def placed(given: Given, base: Mapping[str, Entry]) -> Given:
    """The same, without files that have no room in a base: where it has a folder, or no folder but a file or a symlink."""
    folders = {folder for path in base for folder in _folders(path)}
    files: dict[str, bytes] = {}
    findings = list(given.findings)
    for path, content in given.files.items():
        above = next((one for one in _folders(path) if one in base or one in files), None)
        if path in folders or any(one.startswith(f"{path}/") for one in files):
            findings.append(Finding(printable(path), "is a folder"))
        elif above:
            findings.append(Finding(printable(path), f"lies below {printable(above)}, which is no folder"))
        else:
            files[path] = content
    return Given(files, tuple(findings))


def is_program(path: str, content: bytes, base: Mapping[str, Entry]) -> bool:
    """Whether a file of a message is executable: as in the base; a new one if it begins with #!."""
    before = base.get(path)
    return before.executable if before and before.kind is EntryKind.FILE else content.startswith(b"#!")


def _blocks(message: str, *, is_tail: bool) -> Iterator[_Block]:
    opened: re.Match[str] | None = None
    lines: list[str] = []
    for line in message.replace("\r\n", "\n").split("\n"):
        fence = _FENCE.match(line)
        if opened is None:
            if fence and not ("`" in fence[2] and "`" in fence[3]) and (fence[3] or not is_tail):
                opened, lines, is_tail = fence, [], False
        elif fence and fence[2].startswith(opened[2]) and not fence[3]:
            yield _Block(opened[3], "\n".join(lines), is_closed=True)
            opened = None
        else:
            indent = len(opened[1])
            lines.append(line[min(indent, len(line) - len(line.lstrip(" "))) :])
    if opened is not None:
        yield _Block(opened[3], "\n".join(lines), is_closed=False)


def _named(block: _Block) -> tuple[str, str]:
    """The path that a block gives itself, empty without one, and its text without a line that says so."""
    if found := _ATTRIBUTE.search(block.info):
        return found[1], block.text
    language, *rest = block.info.split() or [""]
    if rest and _PATH.fullmatch(rest[0]) and "=" not in rest[0] and _looks_like_path(rest[0], alone=False):
        return rest[0], block.text
    before, colon, behind = language.partition(":")
    if colon and before and _PATH.fullmatch(behind):
        return behind, block.text
    if not rest and "/" in language and _PATH.fullmatch(language):
        return language, block.text
    first, _, others = block.text.partition("\n")
    comment = _COMMENT.fullmatch(first)
    if comment and _PATH.fullmatch(comment["path"]) and _looks_like_path(comment["path"], alone=True):
        return comment["path"], others
    return "", block.text


def _looks_like_path(text: str, *, alone: bool) -> bool:
    """`leap.py`, `src/leap.py`, `.gitignore`; behind a language also `Makefile`."""
    last = posixpath.basename(text)
    if _HAS_ENDING.fullmatch(last):
        return True
    return bool(last) and ("/" in text or not alone) and not text.startswith("!") and last[:1].isalpha()


def _is_of(path: str, info: str) -> bool:
    language = (info.split() or [""])[0].lower()
    ending = posixpath.splitext(path)[1].removeprefix(".").lower()
    return not language or language in _LANGUAGES.get(ending, (ending,))


def _inside(name: str) -> str:
    return name.removeprefix(_ROOT).removeprefix("./")


def _problem(name: str, block: _Block) -> str:
    path = _inside(name)
    try:
        check_path(path)
    except SnapshotError:
        return "is not a path inside the workspace"
    if is_git(path) or is_derived(path):
        return "is never part of a result"
    if not block.is_closed:
        return "is given by a block that does not end"
    return "is given by a block that lost its middle" if _CUT.search(block.text) else ""


def _content(text: str) -> bytes:
    return f"{text}\n".encode("utf-8", "replace") if text else b""


def _bounded(files: dict[str, bytes], findings: list[Finding]) -> Given:
    kept = dict([*files.items()][:MAX_FILES])
    if len(files) > MAX_FILES:
        findings.append(
            Finding("", f"{len(files)} files are given; only the first {MAX_FILES} are taken over")
        )
    return Given(kept, tuple(findings[:MAX_FILES]))


def _folders(path: str) -> Iterator[str]:
    folder = posixpath.dirname(path)
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
