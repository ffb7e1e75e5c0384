"""What is said between supervisor and launcher: docs/design/launcher-protocol.md as types."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from axiom_sandbox.protocol.model import Message

PROTOCOL = 1
MAX_PACKET_BYTES = 160 * 1024


class Network(StrEnum):
    """What a started process may do with TCP. UDP and raw sockets are never allowed."""

    NONE = "None"
    """No AF_INET socket at all."""
    STRICT = "Strict"
    """Connect to the proxy's port alone."""
    LOOPBACK = "Loopback"
    """Also connect and bind to ports from 1024 on, but for the supervisor's."""


class Layer(StrEnum):
    """The layers of isolation, as the probe's assertions name them."""

    LAUNCHER = "launcher"
    CONTAINER = "container"
    USER_NAMESPACE = "user_namespace"
    READ_ONLY_ROOT = "read_only_root"
    NETWORK = "network"
    PID_NAMESPACE = "pid_namespace"
    NO_CAPABILITIES = "no_capabilities"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"

    @property
    def shown(self) -> str:
        """As status and classes write it."""
        return {"pid_namespace": "PIDNamespace"}.get(
            self.value, "".join(part.capitalize() for part in self.value.split("_"))
        )


class ProcessLimits(Message):
    """rlimits. 0 leaves one as it is."""

    file_size: int
    processes: int
    open_files: int


class Lockdown(Message):
    """The rules that a process is started under."""

    network: Network
    proxy_ports: tuple[int, ...] = ()
    denied_ports: tuple[int, ...] = ()
    write_paths: tuple[str, ...]
    limits: ProcessLimits


class Tty(Message):
    """Size of a new terminal."""

    cols: int
    rows: int


class Channel(Message):
    """A pipe between the process and the trusted side."""

    name: str
    direction: Literal["in", "out"] = "out"


Stream = Literal["tty", "pipe", "null"]


class Start(Message):
    """Start one process."""

    type: Literal["start"] = "start"
    name: str
    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    tty: Tty | None = None
    stdin: Stream = "null"
    stdout: Stream = "null"
    stderr: Stream = "null"
    channels: tuple[Channel, ...] = ()
    lockdown: Lockdown


class Exit(Message):
    """How a process ended."""

    code: int | None = None
    signal: int | None = None
    user_ms: int = 0
    system_ms: int = 0
    max_rss_kib: int = 0


class Process(Message):
    """A process that the launcher knows."""

    name: str
    pid: int
    fds: tuple[str, ...] = ()
    exit: Exit | None = None


class ProcessInfo(Message):
    """One untrusted process, at one moment."""

    pid: int
    ppid: int
    state: str
    command: str
    rss_kib: int = 0
    cpu_ms: int = 0


class Processes(Message):
    """The untrusted processes: at most 200 of them, and how many there are."""

    processes: tuple[ProcessInfo, ...]
    count: int
    threads: int


class Assertion(Message):
    """One thing that the probe tried."""

    name: str
    layer: str
    ok: bool
    detail: str = ""


class Expectation(Message):
    """The layers that a backend promises."""

    user_namespace: bool = True
    read_only_root: bool = True
    network: Network = Network.LOOPBACK
    pid_namespace: bool = True
    no_capabilities: bool = True
    landlock: bool = True
    seccomp: bool = True
    may_miss: tuple[Layer, ...] = ()
    """Layers that are tried, and may be missing."""
    proxy_ports: tuple[int, ...] = ()
    denied_ports: tuple[int, ...] = ()
    """As in the agent's lockdown: the ruleset that its start needs is then made already."""
    socket: str = ""
    """The supervisor's socket, as the untrusted side sees it: a second connection must be refused."""
