"""Which lines of the code under test can run, and which did. The first is read off the source before any of it is
imported; the second is seen in the process that runs it, and is as good as that process's word.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import CodeType
from typing import Any


def executable_lines(path: str) -> list[int]:
    """Lines of a file that have code; none where it cannot be compiled."""
    try:
        code = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return sorted(set(_lines(code)))


def _lines(code: CodeType) -> Iterable[int]:
    first = True
    for _, _, line in code.co_lines():
        if line and not (first and line == code.co_firstlineno and code.co_name != "<module>"):
            yield line
        first = False
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _lines(constant)


class Recorder:
    """Notes each line of some files that runs in this process."""

    def __init__(self, files: Iterable[str]) -> None:
        self._names = {os.path.realpath(file): file for file in files}
        self._known: dict[str, set[int] | None] = {}
        self.ran: dict[str, set[int]] = {file: set() for file in self._names.values()}

    def begin(self) -> None:
        """From now on, in every thread."""
        if sys.version_info >= (3, 12):
            monitoring = sys.monitoring
            monitoring.use_tool_id(monitoring.COVERAGE_ID, "axiom")
            monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, self._line)
            monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)
        else:
            threading.settrace(self._trace)
            sys.settrace(self._trace)

    def _lines_of(self, code: CodeType) -> set[int] | None:
        name = code.co_filename
        if name not in self._known:
            file = self._names.get(os.path.realpath(name))
            self._known[name] = self.ran[file] if file else None
        return self._known[name]

    def _line(self, code: CodeType, line: int) -> Any:
        lines = self._lines_of(code)
        if lines is not None:
            lines.add(line)
        return sys.monitoring.DISABLE  # type: ignore[attr-defined, unused-ignore]

    def _trace(self, frame: Any, event: str, argument: Any) -> Any:
        lines = self._lines_of(frame.f_code)
        if lines is None:
            return None
        if event == "line":
            lines.add(frame.f_lineno)
        return self._trace
