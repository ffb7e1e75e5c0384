"""Removing a cluster without a trace, and telling what trace is left."""

import shutil

from e2e.cluster.cgroups import leftover_cgroups, members, remove_cgroups
from e2e.cluster.errors import ClusterError
from e2e.cluster.kernel import restore_settings
from e2e.cluster.layout import Cluster
from e2e.cluster.locks import locked
from e2e.cluster.mounts import leftover_mounts, remove_mounts
from e2e.cluster.network import leftover_networks, remove_network
from e2e.cluster.processes import started, stop_all


def down(cluster: Cluster) -> None:
    """Remove the cluster; does nothing when there is none."""
    with locked(cluster.lock, "another up or down", limit_seconds=600):
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
    remove_mounts(cluster)
    remove_network(cluster)
    remove_cgroups(cluster)
    restore_settings(cluster)
    for folder in (cluster.run, cluster.state):
        if folder.exists():
            shutil.rmtree(folder)
        if folder.parent.exists() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()
    if left := leftovers(cluster):
        raise ClusterError(f"cluster {cluster.name} is not wholly removed: {'; '.join(left)}")


def leftovers(cluster: Cluster) -> list[str]:
    """Everything on this machine that belongs to the cluster, in words."""
    return [
        *(f"process {one.pid} ({one.name})" for one in started(cluster) if one.is_running()),
        *(f"process {pid}" for pid in sorted(members(cluster))),
        *(f"mount {path}" for path in leftover_mounts(cluster)),
        *leftover_networks(cluster),
        *(f"cgroup {path}" for path in leftover_cgroups(cluster)),
        *(f"folder {path}" for path in (cluster.state, cluster.run) if path.exists()),
    ]
