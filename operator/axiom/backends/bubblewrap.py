"""Sandboxes on this machine, by bubblewrap: own user, PID, network, mount, IPC and UTS namespaces, read-only system."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Collection
from pathlib import Path

from axiom.backends.cgroups import ControlGroup
from axiom.backends.contract import CannotRunError, SandboxSpec
from axiom.backends.host import (
    CLEAN_ROOM_PYTHON,
    Bind,
    own_etc,
    runner_tools,
    system,
    toolchain,
)
from axiom.backends.leftovers import PREFIX, note_elsewhere
from axiom.backends.local import LAUNCHER_THREADS, LocalSandbox, begin_understudy, end, last_words
from axiom.backends.understudies import Understudies
from axiom.planning.observed import Presence
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.supervising.settings import Inside, SandboxSettings

_NAMESPACES = (
    *("--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox"),
    *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"),
)


def find_bubblewrap() -> str:
    """Path of a bwrap that can make sandboxes here. Raises CannotRunError."""
    found = shutil.which("bwrap")
    if not found:
        raise CannotRunError(
            "bubblewrap is not installed, and without it nothing is isolated;"
            " install it (Debian and Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap) and run again"
        )
    tried = subprocess.run(
        [found, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--", "/bin/true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        raise CannotRunError(
            f"bubblewrap cannot make a sandbox on this machine ({tried.stderr.strip()[-300:]});"
            " allow user namespaces to this user (in a container: to the container), and run again"
        )
    return found


class BubblewrapBackend:
    """Sandboxes that show this machine's own system; images mean nothing to it."""

    name = "bubblewrap"

    def __init__(self) -> None:
        self._understudies = Understudies(begin_understudy)

    async def prepare(self, images: Collection[str], say: Callable[[str], None]) -> None:
        """Nothing has to be got: what runs is installed."""

    def sandbox(self, spec: SandboxSpec, folder: Path, changed: Callable[[], None]) -> BubblewrapSandbox:
        """A sandbox that is not started yet."""
        return BubblewrapSandbox(spec, folder, changed, self._understudies)

    def get_ready(self, role: Role) -> None:
        """Loads what the trusted side of a sandbox of this role needs."""
        self._understudies.get_ready(role)

    async def close(self) -> None:
        """Ends what nobody has used."""
        await self._understudies.close()


class BubblewrapSandbox(LocalSandbox):
    """One sandbox. Its untrusted side is bubblewrap's child."""

    _bwrap: asyncio.subprocess.Process | None = None
    _group: ControlGroup | None = None

    def settings(self) -> SandboxSettings:
        """What the trusted side is told."""
        settings = super().settings()
        inside = settings.inside.model_copy(update={"python": CLEAN_ROOM_PYTHON})
        return settings.model_copy(update={"inside": inside})

    async def _start_untrusted(self, launcher: Path) -> None:
        name = f"{PREFIX}{os.getpid()}-{self._sockets.name}"
        self._group = ControlGroup.create(
            name, self.spec.processes + LAUNCHER_THREADS, self.spec.memory_bytes
        )
        for group in self._group.folders if self._group else ():
            note_elsewhere(self._folder, group)
        with (self._folder / "bwrap.log").open("wb") as log:
            try:
                self._bwrap = await asyncio.create_subprocess_exec(
                    *self.command(launcher),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=log,
                    preexec_fn=self._group.enter if self._group else None,
                    start_new_session=True,
                )
            except OSError as error:
                raise CannotRunError(f"bubblewrap cannot be started: {error}") from error
        self._watching.append(asyncio.create_task(self._watch_bwrap(self._bwrap)))

    async def _end_untrusted(self) -> None:
        await end(self._bwrap, patience=1.0 if self._presence is Presence.RUNNING else 0.0)
        if self._group:
            await asyncio.to_thread(self._group.remove)

    def _last_words_of_untrusted(self) -> str:
        return last_words(self._folder / "bwrap.log")

    async def _watch_bwrap(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self._set(Presence.GONE)

    def command(self, launcher: Path) -> list[str]:
        """The command of the untrusted side."""
        spec, inside, shown = self.spec, Inside(), system()
        binds = [
            Bind(launcher, "/axiom/bin/launcher"),
            Bind(self._sockets / "run", "/axiom/run"),
            Bind(self._folder / "tmp", "/tmp", read_only=False),  # noqa: S108 - the sandbox's own /tmp
            Bind(self._folder / "workspace", inside.workspace, read_only=False),
            Bind(self._folder / "home", inside.home, read_only=False),
            *(Bind(self._folder / "etc" / name, f"/etc/{name}") for name in own_etc(self.user)),
            *(Bind(path, str(path)) for path in spec.read_only_paths),
        ]
        if spec.identity.role is Role.VERIFIER:
            binds += [runner_tools(inside.tools), *toolchain()]
        if spec.egress_socket:
            binds.append(Bind(spec.egress_socket.parent, "/axiom/egress"))
        links = [part for link, target in shown.links.items() for part in ("--symlink", target, link)]
        return [
            "bwrap",
            *_NAMESPACES,
            *_mounts(shown.binds),
            *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"),  # noqa: S108
            *("--ro-bind", "/proc/sys", "/proc/sys"),  # root's processes could write there
            *(part for path in _masked() for part in ("--ro-bind", "/dev/null", path)),
            *links,
            *_mounts(binds),
            *("--remount-ro", "/", "--chdir", "/", "--"),
            *self._launch_command(),
        ]


def _masked() -> list[str]:
    """Files of /proc that container runtimes cover, as far as this kernel has them."""
    names = ("kcore", "keys", "latency_stats", "sched_debug", "timer_list", "timer_stats")
    return [f"/proc/{name}" for name in names if Path("/proc", name).exists()]


def _mounts(binds: Collection[Bind]) -> list[str]:
    return [
        part
        for bind in binds
        for part in ("--ro-bind" if bind.read_only else "--bind", str(bind.source), bind.target)
    ]
