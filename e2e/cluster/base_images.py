"""The images that a cluster starts with, made on this machine and kept in the cache.

Debian is installed by debootstrap from the mirror that the machine itself uses; `pause` and
`coredns` are single static programs of ours.
"""

import hashlib
import shutil
import tempfile
import time
from pathlib import Path

from e2e.cluster.archives import Image, write_archive, write_layer_of_one_file
from e2e.cluster.binaries import binary
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import cache
from e2e.cluster.locks import locked
from e2e.cluster.shell import run

DEBIAN = Image("docker.io/library/debian:trixie-slim", command=["bash"])
PAUSE = Image("axiom.dev/e2e/pause:1", entrypoint=["/pause"])
COREDNS = Image("axiom.dev/e2e/coredns:1", entrypoint=["/coredns"])

_SUITE = "trixie"
_INCLUDE = ("ca-certificates", "python3")
# What Debian's own slim variant leaves out; licences (copyright) stay.
_NOT_SLIM = (
    "usr/share/doc/*/changelog*",
    "usr/share/doc/*/NEWS*",
    "usr/share/doc/*/README*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*",
    "var/log/*.log",
)


def archives() -> list[Path]:
    """The archives of all base images, to import in a cluster."""
    return [debian_archive(), _archive_of_program(PAUSE), _archive_of_program(COREDNS)]


def debian_archive() -> Path:
    """Where the archive of `DEBIAN` is kept."""
    recipe = repr((DEBIAN, _SUITE, _INCLUDE, _NOT_SLIM))
    return cache() / "images" / f"debian-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.tar"


def build_base_images() -> None:
    """Make every archive that is not in the cache."""
    with locked(cache() / "build.lock", "another build to finish", limit_seconds=3600):
        (cache() / "images").mkdir(parents=True, exist_ok=True)
        if not debian_archive().exists():
            _build_debian()
        for image in (PAUSE, COREDNS):
            if not _archive_of_program(image).exists():
                with tempfile.TemporaryDirectory(dir=cache() / "images") as folder:
                    layer = Path(folder) / "layer.tar"
                    write_layer_of_one_file(_program(image), layer)
                    write_archive(image, layer, _archive_of_program(image))


def _program(image: Image) -> Path:
    return binary(image.entrypoint[0].removeprefix("/"))


def _archive_of_program(image: Image) -> Path:
    return cache() / "images" / f"{_program(image).parent.name}.tar"


def _build_debian() -> None:
    started = time.monotonic()
    print(f"installing Debian {_SUITE} for {DEBIAN.name}", flush=True)
    with tempfile.TemporaryDirectory(dir=cache() / "images") as folder:
        root, layer = Path(folder) / "root", Path(folder) / "layer.tar"
        run(
            [
                "nice", "-n", "5", "debootstrap", "--variant=minbase",
                f"--include={','.join(_INCLUDE)}", _SUITE, root, _mirror(),
            ],
            timeout_seconds=1800,
        )  # fmt: skip
        for pattern in _NOT_SLIM:
            for path in root.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        # debootstrap mounts nothing at the end, but its devices cannot be made in an unprivileged
        # container and every runtime brings its own.
        run(
            ["tar", "--create", "--file", layer, "--directory", root, "--numeric-owner",
             "--sort=name", "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "."],
            timeout_seconds=300,
        )  # fmt: skip
        write_archive(DEBIAN, layer, debian_archive())
    print(f"installed Debian in {time.monotonic() - started:.0f} s", flush=True)


def _mirror() -> str:
    """The Debian mirror that this machine's apt uses."""
    targets = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
         "Label: Debian"]
    ).split()  # fmt: skip
    if not targets:
        raise ClusterError("apt knows no Debian mirror: see `apt-get indextargets`")
    return targets[0]
