"""Starting, finding and stopping the cluster's daemons.

A process is known by its id together with its start time, so that an id that the kernel
has given to somebody else meanwhile is never signalled.
"""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from e2e.cluster.cgroups import daemon_entries, members
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import REPOSITORY, Cluster
from e2e.cluster.mounts import inside_mounts
from e2e.cluster.network import inside_network
from e2e.cluster.waiting import wait_until

# A shell that joins the groups it is given and becomes the program: whatever the program starts
# is in them from its first instruction.
_INSIDE_CGROUP = ("sh", "-ec", 'for group in $0; do echo 0 > "$group"; done; exec "$@"')


@dataclass(frozen=True)
class Daemon:
    """One program that runs as long as the cluster does."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Process:
    """What is known about a daemon that was started."""

    name: str
    pid: int
    start_time: int
    log: Path

    def is_running(self) -> bool:
        return _start_time(self.pid) == self.start_time


def start(cluster: Cluster, daemon: Daemon) -> Process:
    """Start a daemon in the cluster's network and cgroup, its output in its log file."""
    log = cluster.logs / f"{daemon.name}.log"
    command = [
        *_INSIDE_CGROUP, " ".join(str(entry) for entry in daemon_entries(cluster)),
        "nsenter", inside_mounts(cluster), *inside_network(cluster)[1:], *daemon.argv,
    ]  # fmt: skip
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**_plain_environment(), **daemon.environment},
            start_new_session=True,
        )
    start_time = _start_time(child.pid)
    if start_time is None:
        raise ClusterError(f"{daemon.name} ended at once\n{tail(log)}")
    process = Process(daemon.name, child.pid, start_time, log)
    _pid_file(cluster, daemon.name).parent.mkdir(parents=True, exist_ok=True)
    _pid_file(cluster, daemon.name).write_text(
        json.dumps({"pid": process.pid, "start_time": process.start_time})
    )
    return process


def started(cluster: Cluster) -> list[Process]:
    """Every daemon that was started, running or not."""
    found = []
    for path in sorted((cluster.run / "pids").glob("*.json")):
        data = json.loads(path.read_text())
        log = cluster.logs / f"{path.stem}.log"
        found.append(Process(path.stem, data["pid"], data["start_time"], log))
    return found


def stop_all(cluster: Cluster) -> None:
    """Kill every process of the cluster, containers included.

    Nothing is asked to end in good order: all of their state is deleted next.

    Raises:
        ClusterError: a process survives SIGKILL for more than 20 seconds.
    """
    for process in started(cluster):
        if process.is_running():
            os.kill(process.pid, signal.SIGKILL)

    def killed() -> str | None:
        alive = {pid for pid in members(cluster) if _start_time(pid) is not None}
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return f"processes {sorted(alive)} still run" if alive else None

    wait_until("the cluster's processes to end", killed, limit_seconds=20)


def stop(process: Process) -> None:
    """Kill one daemon, as when it crashes.

    Raises:
        ClusterError: it survives SIGKILL for more than 20 seconds.
    """
    if process.is_running():
        os.kill(process.pid, signal.SIGKILL)
    wait_until(
        f"{process.name} to end",
        lambda: f"process {process.pid} still runs" if process.is_running() else None,
        limit_seconds=20,
    )


def tail(log: Path, lines: int = 25) -> str:
    """The end of a log, with its name, for an error message."""
    if not log.exists():
        return f"(no {log})"
    last = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"--- {log}", *last])


def _pid_file(cluster: Cluster, name: str) -> Path:
    return cluster.run / "pids" / f"{name}.json"


def _start_time(pid: int) -> int | None:
    """In clock ticks since boot; None when there is no such process, or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command in parentheses may itself contain spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _plain_environment() -> dict[str, str]:
    """Daemons must not pick up the caller's proxies, kubeconfig or language.

    Nor its folder, which nsenter leaves for the root: ours in Python are found by PYTHONPATH.
    """
    path = os.environ.get("PATH", "")
    return {
        "PATH": f"{path}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(REPOSITORY),
    }
