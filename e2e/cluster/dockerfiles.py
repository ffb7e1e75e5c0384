"""An ordinary Dockerfile to an image in the cluster's containerd, with no registry between.

The Dockerfile's parents are `debian:trixie-slim` and `scratch`, or images that were built
here before.
"""

import os
import tempfile
from pathlib import Path

from e2e.cluster.base_images import DEBIAN, build_base_images, debian_archive
from e2e.cluster.binaries import binary
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import Cluster, cache, current
from e2e.cluster.locks import locked
from e2e.cluster.registries import build_mounts
from e2e.cluster.shell import run, stream


def build_image(
    name: str,
    dockerfile: Path,
    context: Path,
    *,
    cluster: Cluster | None = None,
    build_args: dict[str, str] | None = None,
) -> None:
    """Build `dockerfile` over `context` and import it in the running cluster as `name`.

    A pod uses it as `image: NAME` with `imagePullPolicy: Never` or `IfNotPresent`. A name with
    no registry host means docker.io, as everywhere; pods follow the same rule.

    Raises:
        ClusterError: the build or the import fails.
    """
    full_name = _with_registry(name)
    build_base_images()
    with tempfile.TemporaryDirectory(prefix="axiom-image-") as folder:
        with locked(cache() / "buildah.lock", "another image build", limit_seconds=1800):
            _provide_debian()
            mounts = build_mounts(Path(folder))
            stream(
                [
                    *_buildah(), "build", "--layers", "--pull-never", "--format=oci",
                    *(f"--volume={mount}" for mount in mounts),
                    *(f"--build-arg={key}={value}" for key, value in (build_args or {}).items()),
                    "--tag", full_name, "--file", dockerfile, context,
                ],
                env=_environment(),
                timeout_seconds=1800,
            )  # fmt: skip
            # The one kind of archive that is not compressed, which would take longer than the rest.
            archive = Path(folder) / "image.tar"
            run(
                [
                    *_buildah(),
                    "push",
                    full_name,
                    f"docker-archive:{archive}:{full_name}",
                ],
                env=_environment(),
                timeout_seconds=600,
            )
        load_image(archive, cluster=cluster)


def load_image(archive: Path, *, cluster: Cluster | None = None) -> None:
    """Import an OCI or `docker save` archive in the running cluster's containerd.

    Raises:
        ClusterError: the cluster is not up, or containerd refuses the archive.
    """
    target = cluster or current()
    if not target.containerd_socket.is_socket():
        raise ClusterError(f"cluster {target.name} is not up: no {target.containerd_socket}")
    run(
        [
            binary("ctr"), "--address", target.containerd_socket, "--namespace", "k8s.io",
            "images", "import", "--local", archive,
        ],
        timeout_seconds=300,
    )  # fmt: skip


def _with_registry(name: str) -> str:
    host, slash, _ = name.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        full_name = name
    elif slash:
        full_name = f"docker.io/{name}"
    else:
        full_name = f"docker.io/library/{name}"
    return full_name if ":" in full_name.rpartition("/")[2] else f"{full_name}:latest"


def _buildah() -> list[str]:
    storage = cache() / "buildah"
    return ["buildah", f"--root={storage}/storage", f"--runroot={storage}/run"]


def _environment() -> dict[str, str]:
    # A short name in a FROM line means docker.io, whatever the machine's own files say.
    registries = cache() / "buildah" / "registries.conf"
    registries.parent.mkdir(parents=True, exist_ok=True)
    registries.write_text('unqualified-search-registries = ["docker.io"]\n')
    return {
        "BUILDAH_ISOLATION": "chroot",
        "CONTAINERS_REGISTRIES_CONF": str(registries),
        "STORAGE_DRIVER": os.environ.get("STORAGE_DRIVER", "overlay"),
    }


def _provide_debian() -> None:
    marker = cache() / "buildah" / f"{debian_archive().stem}.imported"
    if marker.exists():
        return
    run(
        [*_buildah(), "pull", f"docker-archive:{debian_archive()}:{DEBIAN.name}"],
        env=_environment(),
        timeout_seconds=300,
    )
    marker.touch()
