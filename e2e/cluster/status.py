"""What of a cluster runs, and where its logs are."""

from e2e.cluster.layout import Cluster
from e2e.cluster.processes import started
from e2e.cluster.starting import is_up


def print_status(cluster: Cluster) -> bool:
    """Print one line a daemon; True when the cluster is usable."""
    processes = started(cluster)
    for process in processes:
        state = f"runs as {process.pid}" if process.is_running() else "ENDED"
        print(f"{process.name:24} {state:16} {process.log}")
    usable = bool(processes) and is_up(cluster)
    print(f"cluster {cluster.name} is {'up' if usable else 'not up'}")
    return usable
