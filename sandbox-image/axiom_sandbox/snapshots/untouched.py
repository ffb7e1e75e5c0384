"""What of git's own configuration in a checkout says nothing of who worked in it: what `git clone` writes, or the base's repository has."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path

from axiom_sandbox.protocol.changes import Entry
from axiom_sandbox.snapshots.paths import is_derived, is_git_control, is_git_store
from axiom_sandbox.snapshots.trees import CAPTURE_LIMITS, OpenFile, Selection, copy_hashed, walk

_LARGEST = 64 * 1024
_SECTION = re.compile(r'\[(core|extensions|remote|branch|submodule)(?: "[^"\\]*")?\]')
_SETTING = re.compile(r"([a-z]+) = (\S.*)")
_WRITTEN = {
    "core": frozenset({"repositoryformatversion", "filemode", "bare", "logallrefupdates", "ignorecase", "precomposeunicode", "symlinks"}),
    "extensions": frozenset({"objectformat", "refstorage"}),
    "remote": frozenset({"url", "fetch"}),
    "branch": frozenset({"remote", "merge"}),
    "submodule": frozenset({"active", "url"}),
}  # fmt: skip
_PLAIN_VALUE = re.compile(r"(?!-)(?![a-z0-9+.-]+::)[^\\\"#;\x00-\x1f\x7f]+")
"""No option, no helper (`ext::sh …`), nothing quoted."""


def is_as_written(path: str, content: bytes) -> bool:
    """Whether git itself leaves such a configuration in a new clone. Pure; what is not understood is not."""
    if path != ".git/config":
        return False
    section = ""
    try:
        lines = content.decode("ascii").splitlines()
    except UnicodeDecodeError:
        return False
    for line in map(str.strip, lines):
        if begun := _SECTION.fullmatch(line):
            section = begun[1]
        elif line:
            setting = _SETTING.fullmatch(line)
            known = setting and setting[1].lower() in _WRITTEN.get(section, ())
            if not (setting and known and _PLAIN_VALUE.fullmatch(setting[2])):
                return False
    return True


def untouched_controls(checkout: Path, repository: Path | None = None) -> Mapping[str, Entry]:
    """Git's configuration in a checkout where it is as `git clone` leaves it, and hooks and configuration of the base's repository.

    Args:
        repository: the base's, on this machine. Where it is the checkout itself it says nothing, as anybody may have changed it.

    Raises:
        OSError: a directory cannot be read.
    """
    plain: set[str] = set()

    def consume(file: OpenFile) -> tuple[int, str]:
        if os.fstat(file.descriptor).st_size > _LARGEST:
            return copy_hashed(file)
        sink = io.BytesIO()
        found = copy_hashed(file, sink)
        if is_as_written(file.path, sink.getvalue()):
            plain.add(file.path)
        return found

    here = walk(checkout, CAPTURE_LIMITS, consume, Selection(_wants)).entries
    theirs: Mapping[str, Entry] = {}
    if repository and not repository.samefile(checkout):
        theirs = walk(repository, CAPTURE_LIMITS, copy_hashed, Selection(_wants)).entries
    return {**theirs, **{path: here[path] for path in plain if path in here}}


def _wants(path: str, is_directory: bool) -> bool:
    if is_directory:
        return not is_git_store(path) and not is_derived(path)
    return is_git_control(path)
