"""Sandboxes on this machine, by Docker: the untrusted side is a container, the trusted side a process of ours outside.

The container has no network but its own loopback, no capability, no new privileges, a read-only root, Docker's seccomp
profile under the launcher's own, and the pod's limits. Nothing of Docker is inside. Its user is this user, so that the
trusted side can read files of mode 0600. Root is nobody's user in there: then both sides run as a user id that is made
from the sandbox's name, and the trusted side keeps a single capability, that of reading. Without a user namespace the
user's other processes would count against RLIMIT_NPROC, so the control group alone limits processes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import zlib
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import requests
from docker.errors import DockerException
from docker.types import LogConfig, Mount

from axiom.backends.contract import CannotRunError, SandboxSpec
from axiom.backends.docker_daemon import (
    OWNER_LABEL,
    connect,
    explain,
    get_image,
    host_image,
    remove_container,
    remove_leftovers,
)
from axiom.backends.host import CLEAN_ROOM_PYTHON, Bind, own_etc, runner_tools, system, toolchain
from axiom.backends.local import LAUNCHER_THREADS, LocalSandbox
from axiom.backends.owners import Owner
from axiom.manifests.naming import labels_of, pod_name
from axiom.planning.observed import Presence
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.supervising.settings import Inside, SandboxSettings

_THREADS = 16
_WAIT_SECONDS = 30
_END_SECONDS = 30
_OOM_EXIT = 137
_FIRST_STAND_IN = 1_600_000_000
_STAND_INS = 200_000_000
"""User ids that no distribution gives to people, services or containers."""

_Answer = TypeVar("_Answer")


class DockerBackend:
    """Sandboxes as containers of the class's image, or of this machine's own system where it names none."""

    name = "docker"

    def __init__(self) -> None:
        """Raises CannotRunError when there is no daemon that will do."""
        self.client = connect()
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")

    async def prepare(self, images: Collection[str], say: Callable[[str], None]) -> None:
        """Removes containers of killed runs, pulls images that are missing. Raises CannotRunError."""
        for name in await self.call(lambda: remove_leftovers(self.client)):
            say(f"removed the container {name}, which a killed run had left")
        for image in sorted(images):
            await self.call(lambda image=image: get_image(self.client, image, say))  # type: ignore[misc]

    def sandbox(self, spec: SandboxSpec, folder: Path, changed: Callable[[], None]) -> DockerSandbox:
        """A sandbox that is not started yet."""
        return DockerSandbox(self, spec, folder, changed)

    def get_ready(self, role: Role) -> None:
        """Nothing: the trusted side runs under a user of its container's own."""

    async def call(self, function: Callable[[], _Answer]) -> _Answer:
        """Runs a blocking call of the client."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function)

    async def close(self) -> None:
        """Ends the connection to the daemon."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.client.close()


class DockerSandbox(LocalSandbox):
    """One sandbox. Its untrusted side is a container."""

    orphaned = signal.SIGTERM
    """The trusted side then ends everything untrusted itself, and the container with it."""

    def __init__(
        self, backend: DockerBackend, spec: SandboxSpec, folder: Path, changed: Callable[[], None]
    ) -> None:
        super().__init__(spec, folder, changed)
        self._backend = backend
        self.user = os.geteuid() or _stand_in(spec.identity.agent_id)
        self.name = pod_name(spec.identity)
        self._creating: asyncio.Future[None] | None = None
        self._end = ""

    def prepare(self) -> None:
        """Lays out the folders; root gives them to the stand-in."""
        super().prepare()
        if self.user == os.geteuid():
            return
        given = [self._folder / name for name in ("state", "workspace", "home", "tmp")]
        for path in (*given, self._sockets, self._sockets / "run"):
            os.chown(path, self.user, self.user)
        if self.spec.egress_socket:
            os.chown(self.spec.egress_socket, self.user, self.user)

    def settings(self) -> SandboxSettings:
        """What the trusted side is told."""
        settings = super().settings()
        python = {} if self.spec.image else {"python": CLEAN_ROOM_PYTHON}
        return settings.model_copy(
            update={
                "tmp": None if self._tmp_is_memory else settings.tmp,
                "inside": settings.inside.model_copy(update={"own_user": False, **python}),
                "expect": settings.expect.model_copy(update={"user_namespace": False}),
            }
        )

    @property
    def _tmp_is_memory(self) -> bool:
        """As in a pod. The clean room's is a folder, which the trusted side empties between two candidates."""
        return self.spec.identity.role is Role.AGENT

    def _trusted_command(self) -> list[str]:
        command = super()._trusted_command()
        if self.user == os.geteuid():
            return command
        reads = "-all,+dac_read_search"
        return [
            "setpriv",
            *("--reuid", str(self.user), "--regid", str(self.user), "--clear-groups", "--no-new-privs"),
            *("--inh-caps", reads, "--ambient-caps", reads, "--bounding-set", reads),
            *("--pdeathsig", self.orphaned.name.removeprefix("SIG"), "--"),
            *command,
        ]

    # --- the container ----------------------------------------------------------------------------------------

    async def _start_untrusted(self, launcher: Path) -> None:
        self._creating = asyncio.ensure_future(self._backend.call(lambda: self._create(launcher)))
        # Shielded: what is being created must be there to be removed.
        await asyncio.shield(self._creating)
        self._watching.append(asyncio.create_task(self._watch()))

    def _create(self, launcher: Path) -> None:
        client = self._backend.client
        image = self.spec.image or host_image(client, system())
        try:
            remove_container(client, self.name)
            client.containers.create(image, **self.container(self._installed(launcher))).start()
        except (DockerException, requests.RequestException) as error:
            raise CannotRunError(
                f"Docker cannot start the container {self.name} of {image}: {explain(error)}; if it says that a"
                " path does not exist, Docker does not see this machine's folders: run axiom where dockerd runs"
            ) from error

    def _installed(self, launcher: Path) -> Path:
        """The launcher where its user cannot read it: a process of such a program cannot be dumped from the first."""
        if self.user == os.geteuid():
            return launcher
        copy = self._folder / "launcher"
        shutil.copyfile(launcher, copy)
        copy.chmod(0o111)
        return copy

    def container(self, launcher: Path) -> dict[str, Any]:
        """The container, as the client takes it."""
        spec = self.spec
        tmp = f"rw,exec,nosuid,nodev,mode=1777,size={spec.tmp_bytes or spec.memory_bytes // 2}"
        return {
            "name": self.name,
            "labels": {**labels_of(spec.identity), OWNER_LABEL: str(Owner.current())},
            "entrypoint": self._launch_command(),
            "command": [],
            "user": f"{self.user}:{self.user}",
            "working_dir": "/",
            "hostname": "sandbox",
            "network_mode": "none",
            "ipc_mode": "private",
            "read_only": True,
            "privileged": False,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "pids_limit": spec.processes + LAUNCHER_THREADS,
            "mem_limit": spec.memory_bytes,
            "memswap_limit": spec.memory_bytes,
            **({"nano_cpus": spec.cpu_millis * 1_000_000} if spec.cpu_millis else {}),
            "tmpfs": {"/tmp": tmp} if self._tmp_is_memory else {},  # noqa: S108 - the sandbox's own /tmp
            "mounts": [_mount(bind) for bind in self._binds(launcher)],
            "restart_policy": {"Name": "no"},
            "healthcheck": {"test": ["NONE"]},  # an image's own would run outside the launcher's lock
            "log_config": LogConfig(type="json-file", config={"max-size": "64k", "max-file": "1"}),
        }

    def _binds(self, launcher: Path) -> list[Bind]:
        spec, inside = self.spec, Inside()
        binds = [
            Bind(launcher, "/axiom/bin/launcher"),
            Bind(self._sockets / "run", "/axiom/run"),
            Bind(self._folder / "workspace", inside.workspace, read_only=False),
            Bind(self._folder / "home", inside.home, read_only=False),
            *(Bind(self._folder / "etc" / name, f"/etc/{name}") for name in own_etc(self.user)),
            *(Bind(path, str(path)) for path in spec.read_only_paths),
        ]
        if not self._tmp_is_memory:
            binds.append(Bind(self._folder / "tmp", "/tmp", read_only=False))  # noqa: S108
        if spec.image is None:
            binds += system().binds
        if spec.identity.role is Role.VERIFIER:
            binds += [runner_tools(inside.tools), *(() if spec.image else toolchain())]
        if spec.egress_socket:
            binds.append(Bind(spec.egress_socket, f"/axiom/egress/{spec.egress_socket.name}"))
        return binds

    async def _watch(self) -> None:
        """Until the container has ended, by itself or by somebody."""
        client = self._backend.client
        while True:
            try:
                await self._backend.call(lambda: client.api.wait(self.name, timeout=_WAIT_SECONDS))
                self._end = await self._backend.call(self._why_ended)
            except requests.RequestException as error:
                if await self._backend.call(self._is_running):
                    continue  # nothing happened for as long as we asked
                self._end = f"Docker's daemon does not answer: {explain(error)}"
            except DockerException as error:
                self._end = f"the container is gone: {explain(error)}"
            self._set(Presence.GONE)
            return

    def _is_running(self) -> bool:
        try:
            state: dict[str, Any] = self._backend.client.api.inspect_container(self.name)["State"]
        except (DockerException, requests.RequestException):
            return False
        return bool(state["Running"])

    def _why_ended(self) -> str:
        api = self._backend.client.api
        state = api.inspect_container(self.name)["State"]
        said = " ".join(api.logs(self.name, tail=20).decode(errors="replace").split())[-1000:]
        if state.get("OOMKilled") or (state["ExitCode"] == _OOM_EXIT and not said):
            said = f"{said} it was killed, perhaps as its memory was full".strip()
        return f"the container ended with code {state['ExitCode']}: {said or 'it said nothing'}"

    async def _end_untrusted(self) -> None:
        if self._creating is None:
            return
        await asyncio.wait((self._creating,), timeout=_END_SECONDS)
        try:
            await self._backend.call(lambda: remove_container(self._backend.client, self.name))
        except (DockerException, requests.RequestException) as error:
            self._end = f"the container {self.name} cannot be removed: {explain(error)}"
        else:
            self._creating = None

    def _last_words_of_untrusted(self) -> str:
        return self._end


def _stand_in(agent_id: str) -> int:
    """A user id for a sandbox of root's: the same for the same sandbox."""
    return _FIRST_STAND_IN + zlib.crc32(agent_id.encode()) % _STAND_INS


def _mount(bind: Bind) -> Mount:
    return Mount(bind.target, str(bind.source), type="bind", read_only=bind.read_only)
