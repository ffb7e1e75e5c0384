"""The kernel settings that a kubelet changes for the whole machine, put back by `down`."""

import json
from pathlib import Path

from e2e.cluster.layout import Cluster

_SETTINGS = tuple(
    Path("/proc/sys") / name
    for name in (
        "kernel/keys/root_maxbytes",
        "kernel/keys/root_maxkeys",
        "kernel/panic",
        "kernel/panic_on_oops",
        "vm/overcommit_memory",
        "vm/panic_on_oom",
    )
)


def remember_settings(cluster: Cluster) -> None:
    """Note the values before the kubelet starts."""
    values = {str(path): path.read_text() for path in _SETTINGS if path.exists()}
    _memory(cluster).write_text(json.dumps(values))


def restore_settings(cluster: Cluster) -> None:
    """Put the values back; a setting that already has its value is not written."""
    if not _memory(cluster).exists():
        return
    for path, value in json.loads(_memory(cluster).read_text()).items():
        if Path(path).read_text() != value:
            Path(path).write_text(value)


def _memory(cluster: Cluster) -> Path:
    return cluster.state / "kernel-settings.json"
