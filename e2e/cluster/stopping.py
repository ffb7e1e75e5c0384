"""Removing a cluster without a trace, and telling what trace is left."""

import ctypes
import os
import shutil
from pathlib import Path

from e2e.cluster.cgroups import leftover_cgroups, members, remove_cgroups
from e2e.cluster.errors import ClusterError
from e2e.cluster.kernel import restore_settings
from e2e.cluster.layout import RUN_ROOT, STATE_ROOT, Cluster
from e2e.cluster.locks import locked
from e2e.cluster.network import leftover_networks, remove_network
from e2e.cluster.processes import started, stop_all

# Here the kubelet links the logs of containers, and no setting says otherwise.
_CONTAINER_LOGS = Path("/var/log/containers")
_MNT_DETACH = 2


def down(cluster: Cluster) -> None:
    """Remove the cluster; does nothing when there is none."""
    with locked(RUN_ROOT / f"{cluster.name}.lock", "another up or down", limit_seconds=600):
        if leftovers(cluster):
            remove(cluster)
            print(f"cluster {cluster.name} is removed")
        else:
            print(f"cluster {cluster.name} is not there")


def remove(cluster: Cluster) -> None:
    """Remove what there is of the cluster, whole or not.

    Raises:
        ClusterError: something could not be removed.
    """
    stop_all(cluster)
    _unmount(cluster)
    remove_network(cluster)
    remove_cgroups(cluster)
    restore_settings(cluster)
    for link in _log_links(cluster):
        link.unlink()
    for folder in (cluster.run, cluster.state):
        if folder.exists():
            shutil.rmtree(folder)
    if left := leftovers(cluster):
        raise ClusterError(f"cluster {cluster.name} is not wholly removed: {'; '.join(left)}")


def leftovers(cluster: Cluster) -> list[str]:
    """Everything on this machine that belongs to the cluster, in words."""
    return [
        *(f"process {one.pid} ({one.name})" for one in started(cluster) if one.is_running()),
        *(f"process {pid}" for pid in sorted(members(cluster))),
        *(f"mount {path}" for path in _mounts(cluster)),
        *leftover_networks(cluster),
        *(f"cgroup {path}" for path in leftover_cgroups(cluster)),
        *(f"link {path}" for path in _log_links(cluster)),
        *(f"folder {path}" for path in (cluster.state, cluster.run) if path.exists()),
    ]


def _mounts(cluster: Cluster) -> list[Path]:
    """What is mounted below the cluster's folders, the innermost first."""
    targets = [
        Path(line.split()[4].encode().decode("unicode_escape"))
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    own = (STATE_ROOT / cluster.name, RUN_ROOT / cluster.name)
    return [target for target in reversed(targets) if any(root in target.parents for root in own)]


def _unmount(cluster: Cluster) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for target in _mounts(cluster):
        # Detached: the kernel may still be letting go of a process that was just killed.
        if libc.umount2(os.fsencode(target), _MNT_DETACH) != 0:
            raise ClusterError(f"unmount {target}: {os.strerror(ctypes.get_errno())}")


def _log_links(cluster: Cluster) -> list[Path]:
    if not _CONTAINER_LOGS.is_dir():
        return []
    return [
        link
        for link in _CONTAINER_LOGS.iterdir()
        if link.is_symlink() and cluster.state in Path(os.readlink(link)).parents
    ]
