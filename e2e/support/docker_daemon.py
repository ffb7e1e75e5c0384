"""A Docker daemon of a test's own: its data, sockets, control groups and images lie apart from any other on the machine."""

from __future__ import annotations

import ctypes
import io
import os
import platform
import shutil
import signal
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import cache
from e2e.cluster.shell import run
from e2e.cluster.waiting import wait_until

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_PACKAGES = ("docker.io", "containerd", "runc", "tini", "libdevmapper1.02.1")
_CGROUPS = Path("/sys/fs/cgroup")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class DockerDaemon:
    """A daemon without network and registry."""

    address: str
    """For DOCKER_HOST."""
    client: docker.DockerClient

    def make_image(self, name: str, files: dict[str, Path]) -> str:
        """An image of these files alone, path inside → file here, each executable; its name."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for target, source in files.items():
                item = archive.gettarinfo(source, target.lstrip("/"))
                item.mode, item.uid, item.gid = 0o755, 0, 0
                with source.open("rb") as content:
                    archive.addfile(item, content)
        image = f"axiom.dev/{name}:test"
        repository, _, tag = image.partition(":")
        self.client.api.import_image_from_data(out.getvalue(), repository=repository, tag=tag)
        return image

    def containers(self) -> list[str]:
        """Names of all containers, those that have ended included."""
        return [item.name for item in self.client.containers.list(all=True, ignore_removed=True)]


@contextmanager
def docker_daemon() -> Iterator[DockerDaemon]:
    """Starts a daemon for as long as the context is open. Skips the test where this user or system has none to start."""
    program, environment = _programs()
    name = f"axiom-docker-{uuid.uuid4().hex[:8]}"
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    address = f"unix://{folder}/docker.sock"
    (folder / "daemon.json").write_text("{}")
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [
                program,
                *("--config-file", folder / "daemon.json", "--data-root", folder / "data"),
                *("--exec-root", folder / "exec", "--pidfile", folder / "pid", "--host", address),
                *("--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"),
                *("--ip-masq=false", "--userland-proxy=false", "--cgroup-parent", f"/{name}"),
                *("--oom-score-adjust", "0"),
            ],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
        )
    client: docker.DockerClient | None = None
    try:
        client = _connected(address, daemon, folder / "log")
        yield DockerDaemon(address, client)
        for container in client.containers.list(all=True, ignore_removed=True):
            client.api.remove_container(container.id, force=True, v=True)
    finally:
        if client is not None:
            client.close()
        daemon.terminate()
        try:
            daemon.wait(timeout=60)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        _remove(folder, name)


def _programs() -> tuple[str, dict[str, str]]:
    """dockerd, and the environment in which it finds what it needs."""
    if os.geteuid() != 0:
        _not_here("only root can start a Docker daemon of its own")
    if found := shutil.which("dockerd", path=_PATH):
        return found, {**os.environ, "PATH": _PATH}
    if not shutil.which("dpkg-deb"):
        _not_here("dockerd is not installed, and this is no Debian to get it from")
    return _unpacked(
        cache() / f"docker-{platform.freedesktop_os_release().get('VERSION_CODENAME', 'debian')}"
    )


def _unpacked(root: Path) -> tuple[str, dict[str, str]]:
    """Debian's packages, unpacked and not installed: that would start a daemon that changes the machine's firewall."""
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="docker-packages-", dir=root.parent))
        try:
            run(["apt-get", "download", *_PACKAGES], cwd=unfinished, timeout_seconds=600)
        except ClusterError:
            run(["apt-get", "update", "-qq"], timeout_seconds=600)
            run(["apt-get", "download", *_PACKAGES], cwd=unfinished, timeout_seconds=600)
        for package in unfinished.glob("*.deb"):
            run(["dpkg-deb", "--extract", package, unfinished / "root"])
        (unfinished / "root").rename(root)
        shutil.rmtree(unfinished)
    libraries = ":".join(str(folder) for folder in root.glob("**/lib/*-linux-gnu"))
    path = f"{root}/usr/sbin:{root}/usr/bin:{_PATH}"
    environment = {**os.environ, "PATH": path, "LD_LIBRARY_PATH": libraries}
    return f"{root}/usr/sbin/dockerd", environment


def _not_here(why: str) -> None:
    if os.environ.get("AXIOM_CI"):
        pytest.fail(why)
    pytest.skip(why)


def _connected(address: str, daemon: subprocess.Popen[bytes], log: Path) -> docker.DockerClient:
    found: list[docker.DockerClient] = []

    def missing() -> str | None:
        if daemon.poll() is not None:
            pytest.fail(f"dockerd ended: {log.read_text()[-3000:]}")
        try:
            found.append(docker.DockerClient(base_url=address, timeout=60))
        except DockerException as error:
            return str(error)
        return None

    wait_until("dockerd", missing, limit_seconds=120, diagnose=lambda: log.read_text()[-3000:])
    return found[0]


def _remove(folder: Path, name: str) -> None:
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((path for path in mounted if path.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
    wait_until("the daemon's folders to be removed", lambda: _removed(folder, name), limit_seconds=60)


def _removed(folder: Path, name: str) -> str | None:
    """The daemon's own children, such as containerd, may be about to end still."""
    try:
        for group in sorted(_CGROUPS.rglob(name), key=lambda path: len(path.parts), reverse=True):
            for inner in sorted(group.rglob("*/"), reverse=True):
                inner.rmdir()
            group.rmdir()
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        return str(error)
    return None
