"""The Debian packages that building and running the cluster needs."""

import shutil

from e2e.cluster.errors import ClusterError
from e2e.cluster.shell import run, stream

PACKAGES = (
    "buildah",
    "conntrack",
    "debian-archive-keyring",
    "debootstrap",
    "gcc",
    "iproute2",
    "libc6-dev",
    "libfaketime",
    "libseccomp-dev",
    "nftables",
    "openssl",
    "pkg-config",
    "util-linux",
)


def missing_packages() -> list[str]:
    """Which of `PACKAGES` the machine does not have."""
    if shutil.which("dpkg-query") is None:
        raise ClusterError("this is no Debian: the hermetic cluster is built from Debian packages")
    listed = run(["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Abbrev}\n"])
    installed = {
        name
        for name, _, status in (line.partition(" ") for line in listed.splitlines())
        if status.startswith("ii")
    }
    return [package for package in PACKAGES if package not in installed]


def install_packages() -> None:
    """Install what is missing; does nothing, not even an update, when nothing is."""
    missing = missing_packages()
    if not missing:
        return
    print(f"installing {' '.join(missing)}", flush=True)
    # A machine may be installing something else at this moment: wait for its lock.
    patient = ("-o", "DPkg::Lock::Timeout=600", "-qq")
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    stream(["apt-get", *patient, "update"], env=environment, timeout_seconds=900)
    stream(
        ["apt-get", *patient, "install", "--yes", "--no-install-recommends", *missing],
        env=environment,
        timeout_seconds=1800,
    )
