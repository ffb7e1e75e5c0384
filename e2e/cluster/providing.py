"""Images for a cluster's nodes, whoever made the cluster."""

import os
import shutil
import tempfile
from pathlib import Path

from e2e.cluster import kind
from e2e.cluster.binaries import binary
from e2e.cluster.connection import Connection, Provider
from e2e.cluster.dockerfiles import build_image
from e2e.cluster.errors import ClusterError
from e2e.cluster.shell import run, stream

_PRELOADED = "preloaded"
_BASE = "AXIOM_DEBIAN"
"""Names the parent of images that are built with docker; best with its digest."""


def image_name(connection: Connection, name: str, tag: str) -> str:
    """The full name under which nodes find an image of ours. Raises ClusterError."""
    if connection.provider is Provider.CURRENT and (registry := _registry()):
        return f"{registry}/{name}:{tag}"
    return f"axiom.dev/{name}:{tag}"


def has_image(connection: Connection, image: str) -> bool:
    """Whether nodes have it, or need not be brought it. Raises ClusterError."""
    match connection.provider:
        case Provider.HERMETIC:
            return image in run([*ctr(connection), "images", "list", "--quiet"]).split()
        case Provider.KIND:
            return kind.has_image(connection.name, image)
        case Provider.CURRENT:
            return not _registry()


def provide_image(
    connection: Connection, image: str, dockerfile: Path, context: Path, parents: dict[str, str] | None = None
) -> None:
    """Builds it, and brings it to where nodes find it. `parents`: build arguments, images of ours. Raises ClusterError."""
    match connection.provider:
        case Provider.HERMETIC:
            build_image(image, dockerfile, context, build_args=parents)
        case Provider.KIND:
            _docker_build(image, dockerfile, context, parents)
            with tempfile.TemporaryDirectory(prefix="axiom-image-") as folder:
                archive = Path(folder) / "image.tar"
                run(["docker", "save", "--output", archive, image], timeout_seconds=600)
                kind.load_archive(connection.name, archive)
        case Provider.CURRENT:
            _docker_build(image, dockerfile, context, parents)
            stream(["docker", "push", image], timeout_seconds=1200)


def ctr(connection: Connection) -> list[str | Path]:
    """The beginning of a command for the hermetic cluster's containerd."""
    return [binary("ctr"), "--address", connection.containerd_socket, "--namespace", "k8s.io"]


def _registry() -> str:
    """Where images are pushed to; "" where nodes have them already. Raises ClusterError."""
    registry, images = os.environ.get("E2E_REGISTRY", ""), os.environ.get("E2E_IMAGES", "")
    if images not in ("", _PRELOADED):
        raise ClusterError(f"E2E_IMAGES is {images!r}; write {_PRELOADED}, or leave it out")
    if bool(registry) == bool(images):
        raise ClusterError(
            "E2E_CLUSTER=current needs to know where nodes get images from: E2E_REGISTRY=registry.example/team (they are "
            f"built and pushed there with docker), or E2E_IMAGES={_PRELOADED} (the nodes have them; "
            "`python -m e2e.support.preloading` says their names), and not both"
        )
    return registry.rstrip("/")


def _docker_build(image: str, dockerfile: Path, context: Path, parents: dict[str, str] | None = None) -> None:
    if shutil.which("docker") is None:
        raise ClusterError(f"{image} is built with docker, and there is no docker on PATH")
    given = {**({"DEBIAN": named} if (named := os.environ.get(_BASE)) else {}), **(parents or {})}
    arguments = [f"--build-arg={name}={value}" for name, value in given.items()]
    stream(
        ["docker", "build", *arguments, "--tag", image, "--file", dockerfile, context], timeout_seconds=1800
    )


def digests(connection: Connection) -> dict[str, str]:
    """By image: the digest by which nodes know it, of those that are there. Raises ClusterError."""
    match connection.provider:
        case Provider.HERMETIC:
            return digests_in_table(run([*ctr(connection), "images", "list"]))
        case Provider.KIND | Provider.CURRENT:
            form = '{{.Repository}}:{{.Tag}} - {{if eq .Digest "<none>"}}{{.ID}}{{else}}{{.Digest}}{{end}}'
            listed = run(["docker", "images", "--digests", "--no-trunc", "--format", form])
            return digests_in_table(listed)


def digests_in_table(table: str) -> dict[str, str]:
    """Of lines that hold a name, something else, and a digest. Pure."""
    fields = [line.split() for line in table.splitlines()]
    return {row[0]: row[2] for row in fields if len(row) > 2 and row[2].startswith("sha256:")}
