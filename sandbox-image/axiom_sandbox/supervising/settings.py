"""What a sandbox's trusted side is told at its start: who it is, and where everything lies."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from axiom_sandbox.protocol.identity import Identity
from axiom_sandbox.protocol.jobs import Job
from axiom_sandbox.protocol.launching import Expectation, Network
from axiom_sandbox.protocol.model import Message

SETTINGS_VARIABLE = "AXIOM_SANDBOX"
"""Environment variable that holds `SandboxSettings` as JSON."""


class Inside(Message):
    """The sandbox as the untrusted side sees it."""

    workspace: str = "/workspace"
    home: str = "/home/agent"
    write_paths: tuple[str, ...] = ("/workspace", "/home/agent", "/tmp", "/dev")  # noqa: S108 - the sandbox's own /tmp
    launcher_socket: str = "/axiom/run/launcher.sock"
    proxy_url: str = ""
    """Base address of the egress proxy; empty where there is none."""
    proxy_ports: tuple[int, ...] = ()
    denied_ports: tuple[int, ...] = ()
    """Ports of the trusted side that share the network namespace."""
    network: Network = Network.LOOPBACK
    python: str = "/usr/bin/python3"
    """Interpreter in the clean room's untrusted container."""
    tools: str = "/axiom/tools"
    """Read-only folder of our own runner scripts."""
    own_user: bool = True
    """Whether nobody else's processes count as the untrusted user's: else RLIMIT_NPROC would count them, too."""
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_paths(of_workspace: Collection[str] | None) -> tuple[str, ...]:
    """Where an agent may write, if of the workspace only these paths are given to it; None is all of it."""
    inside = Inside()
    if of_workspace is None:
        return inside.write_paths
    others = tuple(path for path in inside.write_paths if path != inside.workspace)
    return (*(f"{inside.workspace}/{path}" for path in of_workspace), *others)


class Tls(Message):
    """Mutual TLS of the channel."""

    certificate: Path
    key: Path
    client_ca: Path
    """Certificates of the control plane's authority (PEM)."""


class BrowserSettings(Message):
    """Where pages are photographed; neither socket nor command: nowhere."""

    socket: Path | None = None
    """Of a browser that shares the untrusted side's loopback."""
    command: tuple[str, ...] = ()
    """Starts one that has a network of its own, for one picture."""
    missing: str = "this sandbox has no browser"
    """Why there is none, and the cure."""


class SandboxSettings(Message):
    """Everything the trusted side needs before its first command."""

    identity: Identity
    state: Path
    """Folder that the trusted side alone sees: ledger, recording, captures."""
    workspace: Path
    """The workspace, as the trusted side sees it."""
    home: Path
    """The agent's home, as the trusted side sees it."""
    tmp: Path | None = None
    """The untrusted side's /tmp, as the trusted side sees it."""
    launcher_socket: Path
    channel_socket: Path
    """Unix socket of the channel, for local runs and for the pod's own hooks."""
    listen_host: str = ""
    """Address for the channel over TCP; empty: none."""
    listen_port: int = 8443
    tls: Tls | None = None
    inside: Inside = Inside()
    expect: Expectation = Expectation()
    browser: BrowserSettings = BrowserSettings()
    workspace_bytes: int | None = None
    """Agents: most bytes that the workspace's files may have at the start, so that room is left to work; None: any."""
    checkpoint: str = ""
    """Agents: digest of the checkpoint to begin from; empty: from the base."""
    job: Job | None = None
    """What a one-shot pod is made for."""
    probe_again_seconds: tuple[float, float] = (30.0, 180.0)
    """Agents: while a pod waits between two rounds, it is probed again after a time between these."""
    launcher_timeout: float = 60.0
    """Seconds to wait for a launcher that was lost."""
    start_timeout: float = 60.0
    """Seconds to wait for the launcher at the start. In a pod its image is pulled meanwhile."""
    saving_grace: float = 15.0
    """Seconds that a checkpoint may take after SIGTERM; 0: none is taken then."""
    hot_window_seconds: float | None = None
    """Agents: how long a segment of the ledger stays once object storage has it; None: for as long as the sandbox does."""
    sealing_grace: float = 20.0
    """Seconds that are left to the gateway, after SIGTERM, to copy what is not sealed yet."""
