"""A real clean room for tests: bubblewrap with no network, its own processes, and a tree that both sides see."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from axiom_sandbox.protocol.pages import Shown
from axiom_sandbox.verifying.rooms import TOOLS, Job, Look, Outcome, Seen

WORKSPACE = "/mnt"
HANGING = f"{WORKSPACE}/.hanging"
"""A program that makes this file has nothing else in mind, and is timed out at once."""


class BubblewrapRoom:
    """Runs each job in a PID namespace of its own, so that ending the job ends everything that it left behind."""

    workspace = WORKSPACE
    python = sys.executable
    tools = "/srv"

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        self.tree.mkdir(parents=True)
        self.tools_folder = folder / "tools"
        shutil.copytree(TOOLS, self.tools_folder)
        self.jobs: list[Job] = []
        self.shown: dict[Path, str] = {}
        """Folders of this machine that stand elsewhere, too, read-only."""
        self.looking: Callable[[Look], Seen] = lambda look: Seen(Shown(error="this room has no browser"))
        """Stands for a browser."""
        self.before: Callable[[Job], None] = lambda job: None
        """Called with each job when the tree is filled."""

    async def run(self, job: Job) -> Outcome:
        self.jobs.append(job)
        self.before(job)
        pipes = [os.pipe() for _ in (*job.feeds, *job.channels)]
        theirs = [*(p[0] for p in pipes[: len(job.feeds)]), *(p[1] for p in pipes[len(job.feeds) :])]
        looks = (os.pipe(), os.pipe()) if job.looks else ()
        theirs += [looks[0][1], looks[1][0]] if looks else []
        ours = [*(p[1] for p in pipes[: len(job.feeds)]), *(p[0] for p in pipes[len(job.feeds) :])]
        output = os.pipe()
        started = time.monotonic()
        pid = self._fork(job, theirs, output[1])
        for descriptor in (*theirs, output[1]):
            os.close(descriptor)
        loop = asyncio.get_running_loop()
        work = [loop.run_in_executor(None, _read, output[0])]
        work += [loop.run_in_executor(None, _read, fd) for fd in ours[len(job.feeds) :]]
        for descriptor, data in zip(ours, job.feeds.values(), strict=False):
            work.append(loop.run_in_executor(None, _write, descriptor, data))
        looking = loop.run_in_executor(None, self._look, job, looks[0][0], looks[1][1]) if looks else None
        waiting = loop.run_in_executor(None, os.waitpid, pid, 0)
        timed_out = await self._is_hanging(waiting, started + job.timeout)
        if timed_out:
            os.kill(pid, signal.SIGKILL)
        _, status = await waiting
        printed, *rest = await asyncio.gather(*work)
        seen = await looking if looking else ()
        code = os.waitstatus_to_exitcode(status)
        start_error = ""
        if b"bwrap: execvp" in printed:
            start_error, code = printed.decode().strip().rpartition(": ")[2], None
        killed = code is not None and (code < 0 or code > 128)
        number = None if not killed else (-code if code < 0 else code - 128)
        return Outcome(
            code=None if killed else code,
            signal=number,
            timed_out=timed_out,
            duration=time.monotonic() - started,
            output=printed[-job.max_output :],
            dropped=max(0, len(printed) - job.max_output),
            channels=dict(zip(job.channels, (data[: job.max_channel] for data in rest), strict=False)),
            start_error=start_error,
            seen=seen,
        )

    def _look(self, job: Job, ready: int, looked: int) -> tuple[Seen, ...]:
        _read(ready)
        seen = tuple(self.looking(look) for look in job.looks)
        os.close(looked)
        return seen

    async def _is_hanging(self, waiting: asyncio.Future[object], deadline: float) -> bool:
        while not (self.tree / Path(HANGING).name).exists() and time.monotonic() < deadline:
            if (await asyncio.wait([waiting], timeout=0.02))[0]:
                return False
        return not waiting.done()

    def _fork(self, job: Job, theirs: list[int], output: int) -> int:
        argv = [
            "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/", "/",
            "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", str(self.tree), WORKSPACE,
            "--ro-bind", str(self.tools_folder), self.tools, "--chdir", job.cwd, "--clearenv",
        ]  # fmt: skip
        for folder in {sys.prefix, sys.base_prefix}:
            if Path(folder).is_relative_to("/tmp"):  # the checkout lies there
                argv += ["--ro-bind", folder, folder]
        for folder, place in self.shown.items():
            argv += ["--tmpfs", str(Path(place).parent), "--ro-bind", str(folder), place]
        for name, value in job.env.items():
            argv += ["--setenv", name, value]
        argv += ["--", *job.argv]
        pid = os.fork()
        if pid:
            return pid
        try:
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for fd in theirs]
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.closerange(3, 200)
            for number, descriptor in enumerate(high, 3):
                os.dup2(descriptor, number)
            os.closerange(3 + len(high), 400)
            os.execvp("bwrap", argv)
        finally:
            os._exit(127)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb") as source:
        return source.read()


def _write(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb") as target:
        target.write(data)
