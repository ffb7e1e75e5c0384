"""Starts programs again when they end by themselves, as a kubelet does with the containers of a Deployment."""

from __future__ import annotations

import os
import signal
import threading
from types import TracebackType
from typing import Self

from e2e.support.control_plane import Program

_LOOK_SECONDS = 0.1
_BACK_OFF_SECONDS = 1.0


class Keeper:
    """Keeps programs running for as long as the context is open; they must have been started."""

    def __init__(self, *programs: Program) -> None:
        self._programs = programs
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self.exits: list[tuple[str, int]] = []
        """Module and exit code (negative: the signal) of each end that was seen."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def kill(self, program: Program) -> None:
        """SIGKILL; it is started again."""
        with self._lock:
            if program.process is not None and program.process.poll() is None:
                os.kill(program.process.pid, signal.SIGKILL)

    def exits_of(self, program: Program) -> list[int]:
        """The exit codes of one program so far."""
        return [code for module, code in self.exits if module == program.module]

    def _keep(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            for program in self._programs:
                self._look(program)

    def _look(self, program: Program) -> None:
        with self._lock:
            process = program.process
            if process is None or (code := process.poll()) is None:
                return
            again = bool(self.exits_of(program))
            self.exits.append((program.module, code))
        if again:  # the first time at once, then not so fast
            self._over.wait(_BACK_OFF_SECONDS)
        with self._lock:
            if program.process is process:  # nobody stopped or started it meanwhile
                program.start()
