"""The cluster's mount namespace: what kubelet and containerd mount is seen by nobody else.

Some paths are fixed in Kubernetes (/var/lib/kubelet/device-plugins, /var/log/containers) and in
the network plugins (/var/lib/cni). Inside the namespace they are folders of the cluster, so two
clusters do not meet there and the machine's own stay untouched. The namespace, and every mount
in it, ends with the cluster's last process.
"""

import ctypes
import os
from pathlib import Path

from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import Cluster
from e2e.cluster.shell import run

_OWN_FOLDERS = (Path("/var/lib/kubelet"), Path("/var/lib/cni"), Path("/var/log/containers"))
_MNT_DETACH = 2


def inside_mounts(cluster: Cluster) -> str:
    """The option of nsenter that enters the namespace."""
    return f"--mount={_pin(cluster)}"


def create_mounts(cluster: Cluster) -> None:
    """Make the namespace and pin it below `cluster.run`."""
    folder = _pin(cluster).parent
    folder.mkdir()
    # A mount namespace can be pinned only on a mount that is not shared.
    run(["mount", "--bind", folder, folder])
    run(["mount", "--make-private", folder])
    _pin(cluster).touch()
    lines = ["set -e", "mount --make-rshared /"]
    for target in _OWN_FOLDERS:
        source = cluster.state / "own" / target.name
        source.mkdir(parents=True)
        # A folder that has to be made is left behind empty: others may begin to use it.
        target.mkdir(parents=True, exist_ok=True)
        lines.append(f"mount --bind {source} {target}")
    run(
        ["unshare", f"--mount={_pin(cluster)}", "--propagation", "private",
         "sh", "-c", "\n".join(lines)]
    )  # fmt: skip


def remove_mounts(cluster: Cluster) -> None:
    """Let go of the namespace; its processes must have ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    for target in leftover_mounts(cluster):
        # Detached: the kernel may still be letting go of a process that was just killed.
        if libc.umount2(os.fsencode(target), _MNT_DETACH) != 0:
            raise ClusterError(f"unmount {target}: {os.strerror(ctypes.get_errno())}")


def leftover_mounts(cluster: Cluster) -> list[Path]:
    """What is mounted below the cluster's folders, the innermost first."""
    targets = [
        Path(line.split()[4].encode().decode("unicode_escape"))
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    own = (cluster.state, cluster.run)
    return [target for target in reversed(targets) if any(root in target.parents for root in own)]


def _pin(cluster: Cluster) -> Path:
    return cluster.run / "namespaces" / "mounts"
