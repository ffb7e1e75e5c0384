"""What every sandbox on this machine has: its folders, and a trusted side that is started again when it dies.

The trusted side is a process of ours, outside the sandbox. It serves its channel on a Unix socket, and the launcher's
socket in a folder that the untrusted side sees read-only. How the untrusted side is started is a backend's own.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from axiom.backends.browser_room import browser_settings
from axiom.backends.contract import CannotRunError, SandboxSpec
from axiom.backends.host import PROXY_PORT, find_launcher, own_etc
from axiom.backends.leftovers import PREFIX, note_elsewhere
from axiom.backends.understudies import Understudies
from axiom.channel import Channel
from axiom.planning.observed import Presence
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.launching import Expectation, Network
from axiom_sandbox.supervising.settings import SETTINGS_VARIABLE, Inside, SandboxSettings

CHANNEL = "channel.sock"
LAUNCHER_THREADS = 16
"""Threads of the launcher and of bubblewrap, besides the agent's own."""
_MAX_SUPERVISOR_STARTS = 6
_LISTENING_SECONDS = 60.0
_END_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class LocalSandbox(ABC):
    """One sandbox on this machine; see `contract.Sandbox`."""

    orphaned = signal.SIGKILL
    """What the trusted side gets when the process that started it dies."""
    user = 1000
    """The agent's user id, as the sandbox shows it."""

    def __init__(
        self,
        spec: SandboxSpec,
        folder: Path,
        changed: Callable[[], None],
        understudies: Understudies | None = None,
    ) -> None:
        """`folder` keeps the ledger and the workspace; it must exist for as long as the sandbox lives."""
        self.spec, self._folder, self._changed = spec, folder, changed
        self._understudies = understudies
        self._sockets = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.supervisor: asyncio.subprocess.Process | None = None
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
            await self._start_untrusted(launcher)
        except BaseException:
            await self.stop()
            raise
        self._set(Presence.RUNNING)

    def prepare(self) -> None:
        """Lays out the folders that both sides find."""
        for name in ("state", "workspace", "home", "tmp", "etc"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        note_elsewhere(self._folder, self._sockets)
        (self._sockets / "run").mkdir()
        for name, content in own_etc(self.user).items():
            (self._folder / "etc" / name).write_text(content)

    def attach(self) -> Channel:
        """A channel to the trusted side."""
        return Channel.over_unix(self._sockets / CHANNEL)

    async def stop(self) -> None:
        """Ends both sides and removes what they left behind, but for the folder."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        self._watching.clear()
        await end(self.supervisor)  # which ends everything untrusted, and the launcher with it
        await self._end_untrusted()
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._set(Presence.GONE)

    def diagnosis(self) -> str:
        """The last words of the untrusted side's program and of the trusted side."""
        said = (self._last_words_of_untrusted(), last_words(self._folder / "supervisor.log"))
        return "; ".join(words for words in said if words)

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
            channel_socket=self._sockets / CHANNEL,
            saving_grace=0,
            sealing_grace=0,
            checkpoint=spec.checkpoint,
            browser=browser_settings(),
            inside=Inside(
                proxy_url=f"http://127.0.0.1:{PROXY_PORT}" if egress else "",
                proxy_ports=(PROXY_PORT,) if egress else (),
                network=spec.network,
                write_paths=spec.write_paths,
            ),
            expect=Expectation(
                network=spec.network if spec.identity.role is Role.AGENT else Network.NONE,
                may_miss=spec.may_miss,
            ),
        )

    # --- the untrusted side, by a backend ---------------------------------------------------------------------

    @abstractmethod
    async def _start_untrusted(self, launcher: Path) -> None:
        """Starts it with the launcher as its first process. Raises CannotRunError."""

    @abstractmethod
    async def _end_untrusted(self) -> None:
        """Ends it if it has not ended with the trusted side, and removes what it left. Safe to call again."""

    @abstractmethod
    def _last_words_of_untrusted(self) -> str:
        """Why it ended, as far as is known."""

    def _launch_command(self) -> list[str]:
        """The launcher's own command line, as the sandbox sees it."""
        command = ["/axiom/bin/launcher", "init", "--socket", "/axiom/run/launcher.sock"]
        if self.spec.egress_socket:
            target = f"/axiom/egress/{self.spec.egress_socket.name}"
            command += ["--forward", f"127.0.0.1:{PROXY_PORT}={target}"]
        return command

    def _set(self, presence: Presence) -> None:
        if presence is not self._presence:
            self._presence = presence
            self._changed()

    # --- the trusted side -------------------------------------------------------------------------------------

    def _trusted_command(self) -> list[str]:
        return trusted_command()

    async def _start_supervisor(self) -> None:
        """The first one may be an understudy; whoever takes the place of one that died is new."""
        settings, path, orphaned = self.settings(), self._folder / "supervisor.log", self.orphaned
        if self._understudies and self.supervisor is None:
            self.supervisor = await self._understudies.take(self.spec.identity.role, settings, path)
            if self.supervisor:
                return
        environment = {**own_environment(), SETTINGS_VARIABLE: settings.model_dump_json()}
        with path.open("ab") as log:
            self.supervisor = await asyncio.create_subprocess_exec(
                *self._trusted_command(),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                preexec_fn=lambda: _signal_when_orphaned(orphaned),
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
                said = last_words(self._folder / "supervisor.log") or "it says nothing"
                raise CannotRunError(f"the sandbox's trusted side does not start: {said}")
            await asyncio.sleep(0.01)


def trusted_command() -> list[str]:
    """Starts the trusted side on this machine."""
    return [sys.executable, "-m", "axiom_sandbox", "run"]


def own_environment() -> dict[str, str]:
    """What processes of ours are told of this machine's environment."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        **{name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "PYTHON"))},
    }


async def begin_understudy(role: Role) -> asyncio.subprocess.Process:
    """A trusted side that waits to be told which sandbox is its own. Ends with the process that began it."""
    return await asyncio.create_subprocess_exec(
        *trusted_command(),
        "--told",
        role.value,
        env=own_environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=lambda: _signal_when_orphaned(signal.SIGKILL),
        start_new_session=True,
    )


async def end(process: asyncio.subprocess.Process | None, patience: float = 0.0) -> None:
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


def _signal_when_orphaned(number: int) -> None:
    """For use between fork and exec: not even `kill -9` of the parent leaves this process behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, number)


def last_words(log: Path) -> str:
    """The end of a log; empty where there is none."""
    return log.read_text(errors="replace").strip()[-1000:] if log.exists() else ""
