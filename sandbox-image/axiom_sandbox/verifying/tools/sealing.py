"""Keeps the process of the tests free of what the code under test wrote, while that has a process of its own.

Stand-ins keep its objects out; nothing keeps a test from running its files (`runpy`), its text (`eval`) or its pickles, and
from starting its programs. Python tells an audit hook before it does any of that. What would run here is not run, and counts
as something that needs one process for both (`Session.give_up`); a program that is started is locked out of the tests' files
as the code under test is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Event = tuple[Any, ...]
_LEADS_AWAY = ("os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec", "os.spawn")


class Seal:
    """Closes this process to what lies in some folders, but for files that are ours."""

    def __init__(
        self, roots: Iterable[str], ours: Iterable[str], give_up: Callable[[str], BaseException]
    ) -> None:
        self._roots = tuple(root + os.sep for root in roots)
        self._ours = {*ours, *map(os.path.realpath, ours)}
        self._system = tuple({sys.prefix, sys.base_prefix, "/usr", "/lib"})
        self._give_up = give_up
        self._judges: dict[str, Callable[[Event], None]] = {
            "exec": self._executes,
            "compile": self._evaluates,
            "marshal.loads": self._evaluates,
            "pickle.find_class": self._unpickles,
            "ctypes.dlopen": self._loads,
            **dict.fromkeys(_LEADS_AWAY, self._leads_away),
        }

    def close(self, lock: Callable[[], None]) -> None:
        """From now on. `lock` locks the calling thread, and what it starts, out of the tests' files."""
        _start_programs_locked(lock)
        judges = self._judges

        def hook(event: str, arguments: Event) -> None:
            if event in judges:
                judges[event](arguments)

        sys.addaudithook(hook)

    def _executes(self, arguments: Event) -> None:
        if self._is_theirs(arguments[0].co_filename):
            raise self._give_up(f"the tests themselves run {Path(arguments[0].co_filename).name}")

    def _evaluates(self, arguments: Event) -> None:
        """Text that a test's own code hands to Python may come from the code under test."""
        if isinstance(arguments[0], (str, bytes)) and sys._getframe(2).f_code.co_filename in self._ours:  # noqa: SLF001
            raise self._give_up("the tests evaluate text")

    def _unpickles(self, arguments: Event) -> None:
        raise self._give_up(f"the tests unpickle {arguments[0]}.{arguments[1]}")

    def _loads(self, arguments: Event) -> None:
        name = str(arguments[0] or "")
        if os.sep in name and not os.path.realpath(name).startswith(self._system):
            raise self._give_up(f"the tests load {Path(name).name}")

    def _leads_away(self, arguments: Event) -> None:
        raise self._give_up("the tests start another process by themselves")

    def _is_theirs(self, file: str) -> bool:
        if file.startswith("<"):
            return False
        path = os.path.abspath(file)  # noqa: PTH100 - links are followed below
        return (
            path.startswith(self._roots)
            and path not in self._ours
            and os.path.realpath(path) not in self._ours
        )


def _start_programs_locked(lock: Callable[[], None]) -> None:
    """Programs are started by a thread that is locked out, and so are they: Landlock holds for a thread and its children."""
    start = getattr(subprocess, "_fork_exec", None)
    if start is None:
        return
    pool = ThreadPoolExecutor(1, initializer=lock)

    def start_locked(*arguments: Any) -> int:
        return int(pool.submit(start, *arguments).result())

    subprocess._fork_exec = start_locked  # type: ignore[attr-defined]  # noqa: SLF001
    # From Python 3.13 on most programs would be started by another call, which no thread of ours could take over.
    subprocess._USE_POSIX_SPAWN = False  # type: ignore[misc]  # noqa: SLF001
