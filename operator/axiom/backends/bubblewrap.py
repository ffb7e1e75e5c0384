"""Sandboxes on this machine, by bubblewrap: own user, PID, network, mount, IPC and UTS namespaces, read-only system."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
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

_PROXY_PORT = 8788
_MAX_SUPERVISOR_STARTS = 6
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


def find_bubblewrap() -> str:
    """Path of bwrap. Raises CannotRunError."""
    found = shutil.which("bwrap")
    if not found:
        raise CannotRunError(
            "bubblewrap is not installed, and without it nothing is isolated;"
            " install it (Debian and Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap) and run again"
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
        """Starts the trusted side, then the untrusted one. Raises CannotRunError."""
        bwrap, launcher = find_bubblewrap(), find_launcher()
        for name in ("state", "workspace", "home", "tmp", "etc"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._sockets / "run").mkdir()
        self._write_etc()
        await self._start_supervisor()
        self._watching.append(asyncio.create_task(self._keep_supervisor()))
        await self._until_listening()
        name = f"axiom-{os.getpid()}-{self._sockets.name}"
        self._group = ControlGroup.create(name, self.spec.processes + 16, self.spec.memory_bytes)
        self._bwrap = await asyncio.create_subprocess_exec(
            bwrap,
            *self._arguments(launcher),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=(self._folder / "bwrap.log").open("wb"),
            preexec_fn=self._group.enter if self._group else None,
            start_new_session=True,
        )
        self._watching.append(asyncio.create_task(self._watch_bwrap(self._bwrap)))
        self._set(Presence.RUNNING)

    def attach(self) -> Channel:
        """A channel to the trusted side."""
        return Channel.over_unix(self._sockets / "channel.sock")

    async def stop(self) -> None:
        """Ends both sides and removes what they left behind, but for the folder."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        self._watching.clear()
        for process in (self._bwrap, self.supervisor):
            await _end(process)
        if self._group:
            await asyncio.to_thread(self._group.remove)
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._set(Presence.GONE)

    def diagnosis(self) -> str:
        """What bubblewrap said, if it ended by itself."""
        log = self._folder / "bwrap.log"
        return log.read_text(errors="replace").strip()[-500:] if log.exists() else ""

    # --- the trusted side -------------------------------------------------------------------------------------

    async def _start_supervisor(self) -> None:
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            SETTINGS_VARIABLE: self._settings().model_dump_json(),
            **{name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "PYTHON"))},
        }
        self.supervisor = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "axiom_sandbox",
            "run",
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=(self._folder / "supervisor.log").open("ab"),
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

    async def _until_listening(self) -> None:
        socket = self._sockets / "run" / "launcher.sock"
        for _ in range(1000):
            if socket.exists():
                return
            await asyncio.sleep(0.01)
        log = (self._folder / "supervisor.log").read_text(errors="replace").strip()[-1000:]
        raise CannotRunError(f"the sandbox's trusted side does not start: {log or 'it says nothing'}")

    def _settings(self) -> SandboxSettings:
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
            inside=Inside(
                proxy_url=f"http://127.0.0.1:{_PROXY_PORT}" if egress else "",
                proxy_ports=(_PROXY_PORT,) if egress else (),
                network=spec.network,
                python=f"{sys.prefix}/bin/python",
            ),
            expect=Expectation(network=spec.network if spec.identity.role is Role.AGENT else Network.NONE),
        )

    # --- the untrusted side -----------------------------------------------------------------------------------

    async def _watch_bwrap(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self._set(Presence.GONE)

    def _set(self, presence: Presence) -> None:
        if presence is not self._presence:
            self._presence = presence
            self._changed()

    def _write_etc(self) -> None:
        etc = self._folder / "etc"
        (etc / "passwd").write_text("agent:x:1000:1000:agent:/home/agent:/bin/sh\n")
        (etc / "group").write_text("agent:x:1000:\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")

    def _arguments(self, launcher: Path) -> list[str]:
        spec, inside = self.spec, Inside()
        arguments = [
            "--unshare-all",
            "--unshare-user",
            "--uid",
            "1000",
            "--gid",
            "1000",
            "--hostname",
            "sandbox",
        ]
        arguments += ["--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"]
        arguments += [
            "--ro-bind",
            "/usr",
            "/usr",
            "--proc",
            "/proc",
            "--ro-bind",
            "/proc/sys",
            "/proc/sys",
            "--dev",
            "/dev",
        ]
        for name in _SYSTEM_LINKS:
            path = Path("/") / name
            if path.is_symlink():
                arguments += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                arguments += ["--ro-bind", str(path), str(path)]
        for name in _ETC:
            arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        for name in ("passwd", "group", "hosts"):
            arguments += ["--ro-bind", str(self._folder / "etc" / name), f"/etc/{name}"]
        arguments += ["--bind", str(self._folder / "tmp"), "/tmp"]  # noqa: S108 - the sandbox's own /tmp
        arguments += ["--bind", str(self._folder / "workspace"), inside.workspace]
        arguments += ["--bind", str(self._folder / "home"), inside.home]
        arguments += [
            "--ro-bind",
            str(launcher),
            "/axiom/bin/launcher",
            "--ro-bind",
            str(self._sockets / "run"),
            "/axiom/run",
        ]
        tools = Path(axiom_sandbox.__file__).parent / "verifying" / "tools"
        if spec.identity.role is Role.VERIFIER:
            arguments += ["--ro-bind", str(tools), inside.tools]
        for path in spec.read_only_paths:
            arguments += ["--ro-bind", str(path), str(path)]
        command = ["/axiom/bin/launcher", "init", "--socket", "/axiom/run/launcher.sock"]
        if spec.egress_socket:
            arguments += ["--ro-bind", str(spec.egress_socket.parent), "/axiom/egress"]
            command += ["--forward", f"127.0.0.1:{_PROXY_PORT}=/axiom/egress/{spec.egress_socket.name}"]
        return [*arguments, "--remount-ro", "/", "--chdir", "/", "--", *command]


def toolchain_paths() -> tuple[Path, ...]:
    """Where the Python and pytest of the clean room lie, as far as /usr does not hold them."""
    paths = {Path(sys.prefix), Path(sys.base_prefix)}
    return tuple(sorted(path for path in paths if not path.is_relative_to("/usr")))


async def _end(process: asyncio.subprocess.Process | None) -> None:
    """Ends a process of ours, at the latest after 5 s."""
    if process is None or process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), 5)
    except TimeoutError:
        process.kill()
        await process.wait()
