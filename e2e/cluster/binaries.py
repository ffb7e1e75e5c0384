"""The programs of the cluster, compiled from the Go modules that build/ pins.

Each part is compiled once per content of its folder and kept in the cache, so a second
call only computes digests. Parts are compiled one after the other: each of them keeps
every core busy by itself.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import cache
from e2e.cluster.locks import locked
from e2e.cluster.shell import run, stream

SOURCES = Path(__file__).parent / "build"
KUBERNETES_VERSION = "1.36.3"
_CNI = "github.com/containernetworking/plugins/plugins"
_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_STAMP = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Part:
    """One Go module under build/ and the binaries that come out of it."""

    name: str
    binaries: Mapping[str, str]
    """File name → Go package."""
    links: tuple[str, ...] = ()
    """Further names for the first binary."""
    tags: str = ""
    cgo: bool = False
    stamps: Mapping[str, str] = field(default_factory=dict)
    """Go variables that the linker sets."""

    def digest(self) -> str:
        """What the compiled part depends on, as a short digest."""
        state = hashlib.sha256(repr(self).encode())
        for path in sorted((SOURCES / self.name).iterdir()):
            state.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
        return state.hexdigest()[:16]

    def folder(self) -> Path:
        return cache() / "bin" / f"{self.name}-{self.digest()}"


PARTS = (
    Part(
        "kubernetes",
        {"kubernetes": "."},
        links=(
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        ),
        stamps={
            f"{_STAMP}.gitVersion": f"v{KUBERNETES_VERSION}",
            f"{_STAMP}.gitMajor": KUBERNETES_VERSION.split(".")[0],
            f"{_STAMP}.gitMinor": KUBERNETES_VERSION.split(".")[1],
        },
    ),
    Part(
        "containerd",
        {name: f"{_CONTAINERD}/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
    ),
    Part("runc", {"runc": "github.com/opencontainers/runc"}, tags="seccomp", cgo=True),
    Part(
        "cni",
        {
            "host-local": f"{_CNI}/ipam/host-local",
            "loopback": f"{_CNI}/main/loopback",
            "ptp": f"{_CNI}/main/ptp",
        },
    ),
    Part("pause", {"pause": "."}),
    Part("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
    Part("coredns", {"coredns": "github.com/coredns/coredns"}),
    Part("versitygw", {"versitygw": "github.com/versity/versitygw/cmd/versitygw"}),
    Part("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}),
    Part("kubeconform", {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"}),
)

OPTIONAL_PARTS = (Part("kind", {"kind": "sigs.k8s.io/kind"}),)
"""Compiled when they are asked for."""


def binary(name: str) -> Path:
    """Where a compiled program is."""
    for part in (*PARTS, *OPTIONAL_PARTS):
        if name in part.binaries or name in part.links:
            return part.folder() / name
    raise ClusterError(f"no part of the cluster is named {name}")


def bin_dir() -> Path:
    """One folder with every program, for a PATH; made by `build_binaries`."""
    everything = hashlib.sha256("".join(part.digest() for part in PARTS).encode())
    return cache() / "bin" / f"all-{everything.hexdigest()[:16]}"


def build_binaries() -> None:
    """Compile every part that is not in the cache."""
    with locked(cache() / "build.lock", "another build to finish", limit_seconds=3600):
        for part in PARTS:
            if not part.folder().is_dir():
                _compile(part)
        _link_all()


def build_part(name: str) -> None:
    """Compile one optional part, unless it is in the cache."""
    [part] = [part for part in OPTIONAL_PARTS if part.name == name]
    with locked(cache() / "build.lock", "another build to finish", limit_seconds=3600):
        if not part.folder().is_dir():
            _compile(part)


def _compile(part: Part) -> None:
    _check_go()
    started = time.monotonic()
    print(f"compiling {part.name}", flush=True)
    unfinished = part.folder().with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    symbols = "".join(f" -X {variable}={value}" for variable, value in part.stamps.items())
    options = ["-trimpath", "-mod=readonly", "-buildvcs=false", "-ldflags", f"-s -w{symbols}"]
    if part.tags:
        options += ["-tags", part.tags]
    for name, package in part.binaries.items():
        # The machine stays usable for whoever writes code while this runs.
        stream(
            ["nice", "-n", "5", "go", "build", *options, "-o", unfinished / name, package],
            cwd=SOURCES / part.name,
            env={"CGO_ENABLED": "1" if part.cgo else "0", "GOWORK": "off"},
            timeout_seconds=3600,
        )
    for link in part.links:
        (unfinished / link).symlink_to(next(iter(part.binaries)))
    unfinished.rename(part.folder())
    print(f"compiled {part.name} in {time.monotonic() - started:.0f} s", flush=True)


def _check_go() -> None:
    if shutil.which("go") is None:
        raise ClusterError("no `go` on PATH: install Go 1.26 or newer (https://go.dev/dl/)")
    # GOTOOLCHAIN lets an older go fetch the newer one that go.mod asks for.
    version = run(["go", "env", "GOVERSION"], cwd=SOURCES / "kubernetes").strip()
    numbers = version.removeprefix("go").split(".")
    if [int(number) for number in numbers[:2] if number.isdigit()] < [1, 26]:
        raise ClusterError(f"Go 1.26 or newer is needed, PATH has {version}")


def _link_all() -> None:
    folder = bin_dir()
    if folder.is_dir():
        return
    unfinished = folder.with_suffix(f".{os.getpid()}")
    unfinished.mkdir(parents=True)
    for part in PARTS:
        for name in (*part.binaries, *part.links):
            (unfinished / name).symlink_to(part.folder() / name)
    unfinished.rename(folder)
