"""The Docker daemon of this machine: whether it will do, the images it has, and what killed runs left at it.

Blocking, as the client is; callers bring a thread.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Callable
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.utils import parse_repository_tag

from axiom.backends.contract import CannotRunError
from axiom.backends.host import System
from axiom.backends.owners import Owner
from axiom.manifests.naming import MANAGED_BY, MANAGED_BY_LABEL

OWNER_LABEL = "axiom.dev/owner"
"""The process whose run a container belongs to, as `Owner` writes it."""
_TIMEOUT_SECONDS = 60
_TELL_SECONDS = 2.0
_NEEDED = {
    "PidsLimit": "the number of processes",
    "MemoryLimit": "memory",
}
_HOST_SYSTEM = "axiom.dev/this-machine"

Say = Callable[[str], None]


def connect() -> docker.DockerClient:
    """A client of a daemon that can hold our sandboxes. Raises CannotRunError."""
    address = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not address.startswith("unix://"):
        raise CannotRunError(
            f"DOCKER_HOST is {address}, but the sandboxes' folders and sockets are on this machine: Docker must"
            " run here, too; unset DOCKER_HOST, or use a unix:// address"
        )
    try:
        client = docker.DockerClient(base_url=address, timeout=_TIMEOUT_SECONDS, max_pool_size=32)
        info = client.info()
    except (DockerException, requests.RequestException) as error:
        raise CannotRunError(_why_unreachable(address, error)) from error
    if problem := _problem_of(info):
        client.close()
        raise CannotRunError(problem)
    return client


def _why_unreachable(address: str, error: Exception) -> str:
    text = str(error)
    if "Permission" in text:
        return (
            f"this user may not use Docker at {address}; add the user to the group docker and log in anew"
            " (whoever is in it is as good as root on this machine), or use --backend bubblewrap"
        )
    return (
        f"no Docker daemon answers at {address}; install and start Docker (Debian and Ubuntu: apt install"
        f" docker.io), or name its socket in DOCKER_HOST ({text[-200:]})"
    )


def _problem_of(info: dict[str, Any]) -> str:
    """Why this daemon cannot hold our sandboxes, with the cure; empty if it can."""
    security = {option.split(",")[0] for option in info.get("SecurityOptions") or ()}
    if info.get("OperatingSystem") == "Docker Desktop":
        return (
            "Docker Desktop runs containers in a virtual machine, which the sandboxes' sockets do not reach;"
            " run axiom on Linux, or inside that machine"
        )
    for option, word in (("name=rootless", "rootless"), ("name=userns", "with remapped users")):
        if option in security:
            return (
                f"this Docker daemon is {word}: its containers' users are not this machine's, and the trusted side"
                " could not read what the agent writes; use --backend bubblewrap, or another daemon (DOCKER_HOST)"
            )
    if "name=seccomp" not in security:
        return "this Docker daemon has no seccomp, and without it isolation is not complete; use a kernel that has it"
    for field, what in _NEEDED.items():
        if not info.get(field):
            return (
                f"this Docker daemon cannot limit {what}; give it the control group that does,"
                " or use --backend bubblewrap"
            )
    return ""


def get_image(client: docker.DockerClient, image: str, say: Say) -> None:
    """Pulls an image that the daemon does not have. Raises CannotRunError."""
    try:
        client.images.get(image)
    except ImageNotFound:
        say(f"pulling {image}")
    except (DockerException, requests.RequestException) as error:
        raise CannotRunError(f"Docker cannot look for the image {image}: {explain(error)}") from error
    else:
        return
    try:
        _pull(client, image, say)
    except (DockerException, requests.RequestException) as error:
        raise CannotRunError(
            f"the image {image} is not here and cannot be pulled: {explain(error)}; correct spec.image of the"
            " AgentClass (or spec.verification.image of the task), log in to its registry with `docker login`,"
            " or bring it with `docker build` or `docker load`"
        ) from error


def _pull(client: docker.DockerClient, image: str, say: Say) -> None:
    repository, tag = parse_repository_tag(image)
    done: dict[str, tuple[int, int]] = {}
    told = time.monotonic()
    for line in client.api.pull(repository, tag or "latest", stream=True, decode=True):
        if "error" in line:
            raise DockerException(line["error"])
        detail = line.get("progressDetail") or {}
        if line.get("status") == "Downloading" and detail.get("total"):
            done[line["id"]] = (detail["current"], detail["total"])
        if done and time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            current, total = (sum(part) / 1e6 for part in zip(*done.values(), strict=True))
            say(f"pulling {image}: {current:.0f} of {total:.0f} MB")
    client.images.get(image)


def host_image(client: docker.DockerClient, system: System) -> str:
    """The name of an image of nothing but mount points, for containers that show this machine's system.

    It is made on the first use and stays. Raises CannotRunError.
    """
    archive = _skeleton(system)
    name = f"{_HOST_SYSTEM}:{hashlib.sha256(archive).hexdigest()[:16]}"
    try:
        client.images.get(name)
    except ImageNotFound:
        pass  # it is made now
    except (DockerException, requests.RequestException) as error:
        raise CannotRunError(f"Docker cannot look for the image {name}: {explain(error)}") from error
    else:
        return name
    repository, _, tag = name.partition(":")
    try:
        client.api.import_image_from_data(archive, repository=repository, tag=tag)
    except (DockerException, requests.RequestException) as error:
        raise CannotRunError(f"Docker cannot make the image {name}: {explain(error)}") from error
    return name


def _skeleton(system: System) -> bytes:
    """A tar archive of the root's folders and links; the same bytes each time."""
    out = io.BytesIO()
    folders = sorted({target.split("/")[1] for target in (bind.target for bind in system.binds)} | {"etc"})
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in folders:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        for path, target in sorted(system.links.items()):
            link = tarfile.TarInfo(path.lstrip("/"))
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
    return out.getvalue()


def remove_leftovers(client: docker.DockerClient) -> list[str]:
    """Removes the containers of runs whose process is gone; their names. Raises CannotRunError."""
    ours = {"label": [f"{MANAGED_BY_LABEL}={MANAGED_BY}", OWNER_LABEL]}
    removed = []
    try:
        for container in client.containers.list(all=True, filters=ours, ignore_removed=True):
            owner = Owner.parse(container.labels.get(OWNER_LABEL, ""))
            if owner is not None and owner.is_gone():
                remove_container(client, container.name)
                removed.append(container.name)
    except (DockerException, requests.RequestException) as error:
        raise CannotRunError(f"containers of an earlier run cannot be removed: {explain(error)}") from error
    return removed


def remove_container(client: docker.DockerClient, name: str) -> None:
    """Kills and removes a container with its volumes; that there is none is no error. Raises DockerException."""
    try:
        client.api.remove_container(name, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != requests.codes.conflict:  # somebody else is removing it at this moment
            raise


def explain(error: Exception) -> str:
    """What the daemon said, in one line."""
    text = error.explanation if isinstance(error, APIError) and error.explanation else str(error)
    return " ".join(str(text).split())[:500]
