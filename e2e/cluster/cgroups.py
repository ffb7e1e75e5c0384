"""One cgroup holds every process of a cluster: daemons, container shims and containers.

That is what makes `down` exact. Works with version 1, hybrid and version 2 mounts.
"""

import errno
import os
from pathlib import Path

from e2e.cluster.layout import Cluster
from e2e.cluster.waiting import wait_until


def create_cgroups(cluster: Cluster) -> None:
    """Make the cluster's cgroup in every hierarchy, with a child for its daemons."""
    for root in _hierarchies():
        folder = root / cluster.cgroup
        for group in (folder.parent, folder, folder / "daemons"):
            group.mkdir(exist_ok=True)
            # In version 1 a cpuset starts out empty, and an empty one takes no process.
            for setting in ("cpuset.cpus", "cpuset.mems"):
                own, inherited = group / setting, group.parent / setting
                if own.exists() and inherited.exists() and not own.read_text().strip():
                    own.write_text(inherited.read_text())


def daemon_entries(cluster: Cluster) -> list[Path]:
    """The files that a new daemon writes "0" to, so that it belongs to the cluster."""
    return [root / cluster.cgroup / "daemons" / "cgroup.procs" for root in _hierarchies()]


def members(cluster: Cluster) -> set[int]:
    """The process ids of everything that runs in the cluster."""
    found: set[int] = set()
    for folder in _folders(cluster):
        try:
            content = (folder / "cgroup.procs").read_text()
        except OSError as error:
            # A shim removes its container's group at the moment the container ends.
            if error.errno in (errno.ENOENT, errno.ENODEV):
                continue
            raise
        found.update(int(line) for line in content.split())
    return found


def remove_cgroups(cluster: Cluster) -> None:
    """Remove the cgroup in every hierarchy; all its processes must have been killed.

    Raises:
        ClusterError: the kernel keeps one busy for more than ten seconds.
    """

    def remove() -> str | None:
        for folder in sorted(_folders(cluster), key=lambda path: len(path.parts), reverse=True):
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                return f"{folder}: {error.strerror}"
        return None

    wait_until("empty cgroups", remove, limit_seconds=10)
    for root in _hierarchies():
        parent = (root / cluster.cgroup).parent
        if parent.is_dir() and not any(path.is_dir() for path in parent.iterdir()):
            parent.rmdir()


def leftover_cgroups(cluster: Cluster) -> list[Path]:
    return [root / cluster.cgroup for root in _hierarchies() if (root / cluster.cgroup).is_dir()]


def _folders(cluster: Cluster) -> list[Path]:
    # os.walk, unlike rglob, passes over a folder that vanishes meanwhile.
    return [Path(folder) for root in leftover_cgroups(cluster) for folder, _, _ in os.walk(root)]


def _hierarchies() -> list[Path]:
    roots: list[Path] = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        target, kind = Path(before.split()[4]), after.split()[0]
        if kind in ("cgroup", "cgroup2") and Path("/sys/fs/cgroup") in (target, *target.parents):
            roots.append(target)
    return roots
