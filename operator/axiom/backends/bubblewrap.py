"""Sandboxes on this machine, by bubblewrap: own user, PID, network, mount, IPC and UTS namespaces, read-only system."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import axiom_sandbox
from axiom.backends.cgroups import ControlGroup
from axiom.backends.contract import CannotRunError, SandboxSpec
from axiom.channel import Channel
from axiom.planning.observed import Presence
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.launching import Expectation, Network
from axiom_sandbox.supervising.settings import SETTINGS_VARIABLE, Inside, SandboxSettings
from axiom_sandbox.verifying.rooms import TOOLS

_PROXY_PORT = 8788
_CLEAN_ROOM_PREFIX = "/axiom/python"
_CLEAN_ROOM_PYTHON = f"{_CLEAN_ROOM_PREFIX}/bin/{Path(sys.executable).name}"
_MAX_SUPERVISOR_STARTS = 6
_LISTENING_SECONDS = 60.0
_END_SECONDS = 5.0
_LAUNCHER_THREADS = 16
_PR_SET_PDEATHSIG = 1
_NAMESPACES = (
    *("--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox"),
    *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"),
)
_OWN_ETC = {
    "passwd": "agent:x:1000:1000:agent:/home/agent:/bin/sh\n",
    "group": "agent:x:1000:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
_SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC = (
    "alternatives",
    "ca-certificates",
    "ssl",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "terminfo",
)
_libc = ctypes.CDLL(None)


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


def find_launcher() -> Path:
    """Path of the launcher's binary. Raises CannotRunError."""
    beside = Path(axiom_sandbox.__file__).parent
    candidates = [Path(os.environ["AXIOM_LAUNCHER"])] if "AXIOM_LAUNCHER" in os.environ else []
    candidates += [beside / "bin" / "launcher", beside.parent.parent / "build" / "launcher"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    raise CannotRunError("the launcher has not been built; run `make launcher`, or name it in AXIOM_LAUNCHER")


class BubblewrapSandbox:
    """One sandbox. Its trusted side is a process of ours that is started again when it dies; see `contract.Sandbox`."""

    def __init__(self, spec: SandboxSpec, folder: Path, changed: Callable[[], None]) -> None:
        """`folder` keeps the ledger and the workspace; it must exist for as long as the sandbox lives."""
        self.spec, self._folder, self._changed = spec, folder, changed
        self._sockets = Path(tempfile.mkdtemp(prefix="axiom-"))
        self._bwrap: asyncio.subprocess.Process | None = None
        self.supervisor: asyncio.subprocess.Process | None = None
        self._group: ControlGroup | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._presence = Presence.PENDING

    @property
    def presence(self) -> Presence:
        """Whether it is there."""
        return self._presence

    async def start(self) -> None:
        """Starts the trusted side, then the untrusted one. Raises CannotRunError; then nothing of it is left."""
        launcher = find_launcher()
        try:
            self.prepare()
            await self._start_supervisor()
            keeping = asyncio.create_task(self._keep_supervisor())
            self._watching.append(keeping)
            await self._until_listening(keeping)
            await self._start_bwrap(launcher)
        except BaseException:
            await self.stop()
            raise
        self._set(Presence.RUNNING)

    def prepare(self) -> None:
        """Lays out the folders that both sides find."""
        for name in ("state", "workspace", "home", "tmp", "etc"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._sockets / "run").mkdir()
        for name, content in _OWN_ETC.items():
            (self._folder / "etc" / name).write_text(content)

    def attach(self) -> Channel:
        """A channel to the trusted side."""
        return Channel.over_unix(self._sockets / "channel.sock")

    async def stop(self) -> None:
        """Ends both sides and removes what they left behind, but for the folder."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        self._watching.clear()
        await _end(self.supervisor)  # which ends everything untrusted, and the launcher with it
        await _end(self._bwrap, patience=1.0 if self._presence is Presence.RUNNING else 0.0)
        if self._group:
            await asyncio.to_thread(self._group.remove)
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._set(Presence.GONE)

    def diagnosis(self) -> str:
        """The last words of bubblewrap and of the trusted side."""
        said = (_last_words(self._folder / name) for name in ("bwrap.log", "supervisor.log"))
        return "; ".join(words for words in said if words)

    # --- the trusted side -------------------------------------------------------------------------------------

    async def _start_supervisor(self) -> None:
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            SETTINGS_VARIABLE: self.settings().model_dump_json(),
            **{name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "PYTHON"))},
        }
        with (self._folder / "supervisor.log").open("ab") as log:
            self.supervisor = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "axiom_sandbox",
                "run",
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )

    async def _keep_supervisor(self) -> None:
        """The agent lives on while its supervisor is started again; its terminal waits in the launcher."""
        for _ in range(_MAX_SUPERVISOR_STARTS):
            assert self.supervisor is not None
            await self.supervisor.wait()
            await self._start_supervisor()
        assert self.supervisor is not None
        await self.supervisor.wait()
        self._set(Presence.GONE)

    async def _until_listening(self, keeping: asyncio.Task[None]) -> None:
        socket = self._sockets / "run" / "launcher.sock"
        until = asyncio.get_running_loop().time() + _LISTENING_SECONDS
        while not socket.exists():
            if keeping.done() or asyncio.get_running_loop().time() > until:
                said = _last_words(self._folder / "supervisor.log") or "it says nothing"
                raise CannotRunError(f"the sandbox's trusted side does not start: {said}")
            await asyncio.sleep(0.01)

    def settings(self) -> SandboxSettings:
        """What the trusted side is told."""
        spec = self.spec
        egress = spec.egress_socket is not None
        return SandboxSettings(
            identity=spec.identity,
            state=self._folder / "state",
            workspace=self._folder / "workspace",
            home=self._folder / "home",
            tmp=self._folder / "tmp",
            launcher_socket=self._sockets / "run" / "launcher.sock",
            channel_socket=self._sockets / "channel.sock",
            sealing_grace=0,
            inside=Inside(
                proxy_url=f"http://127.0.0.1:{_PROXY_PORT}" if egress else "",
                proxy_ports=(_PROXY_PORT,) if egress else (),
                network=spec.network,
                python=_CLEAN_ROOM_PYTHON,
            ),
            expect=Expectation(network=spec.network if spec.identity.role is Role.AGENT else Network.NONE),
        )

    # --- the untrusted side -----------------------------------------------------------------------------------

    async def _start_bwrap(self, launcher: Path) -> None:
        name = f"axiom-{os.getpid()}-{self._sockets.name}"
        self._group = ControlGroup.create(
            name, self.spec.processes + _LAUNCHER_THREADS, self.spec.memory_bytes
        )
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

    async def _watch_bwrap(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self._set(Presence.GONE)

    def _set(self, presence: Presence) -> None:
        if presence is not self._presence:
            self._presence = presence
            self._changed()

    def command(self, launcher: Path) -> list[str]:
        """The command of the untrusted side."""
        spec, inside = self.spec, Inside()
        command = ["/axiom/bin/launcher", "init", "--socket", "/axiom/run/launcher.sock"]
        binds = [
            ("--ro-bind", launcher, "/axiom/bin/launcher"),
            ("--ro-bind", self._sockets / "run", "/axiom/run"),
            ("--bind", self._folder / "tmp", "/tmp"),  # noqa: S108 - the sandbox's own /tmp
            ("--bind", self._folder / "workspace", inside.workspace),
            ("--bind", self._folder / "home", inside.home),
            *(("--ro-bind", self._folder / "etc" / name, f"/etc/{name}") for name in _OWN_ETC),
            *(("--ro-bind", path, str(path)) for path in spec.read_only_paths),
        ]
        if spec.identity.role is Role.VERIFIER:
            binds += [("--ro-bind", TOOLS, inside.tools), *_toolchain()]
        if spec.egress_socket:
            binds.append(("--ro-bind", spec.egress_socket.parent, "/axiom/egress"))
            command += ["--forward", f"127.0.0.1:{_PROXY_PORT}=/axiom/egress/{spec.egress_socket.name}"]
        mounts = [str(part) for bind in binds for part in bind]
        return [
            "bwrap",
            *_NAMESPACES,
            *_system(),
            *mounts,
            "--remount-ro",
            "/",
            "--chdir",
            "/",
            "--",
            *command,
        ]


def _system() -> list[str]:
    """The machine's own /usr, read-only, and as much of /etc as programs need to start."""
    arguments = ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"]
    arguments += ["--ro-bind", "/proc/sys", "/proc/sys"]  # root's processes could write there
    for name in _SYSTEM_LINKS:
        path = Path("/") / name
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    for name in _ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return arguments


def _toolchain() -> list[tuple[str, Path, str]]:
    """Our own Python with its pytest, for the clean room, at a path that no folder of the candidate covers."""
    binds = [("--ro-bind", Path(sys.prefix), _CLEAN_ROOM_PREFIX)]
    base = Path(sys.base_prefix)  # a virtual environment's python is a link into it
    if base != Path(sys.prefix) and not base.is_relative_to("/usr"):
        binds.append(("--ro-bind", base, str(base)))
    return binds


async def _end(process: asyncio.subprocess.Process | None, patience: float = 0.0) -> None:
    """Ends a process of ours: by itself within `patience` seconds, else asked to, and 5 s later by force."""
    if process is None:
        return
    if await _ended(process, patience):
        return
    process.send_signal(signal.SIGTERM)
    if not await _ended(process, _END_SECONDS):
        process.kill()
        await process.wait()


async def _ended(process: asyncio.subprocess.Process, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        return process.returncode is not None
    return True


def _die_with_parent() -> None:
    """For use between fork and exec: not even `kill -9` of the parent leaves this process behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-1000:] if log.exists() else ""
