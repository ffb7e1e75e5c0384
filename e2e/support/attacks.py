"""What the attacking agent (e2e/agents/attacker) tried, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ESCAPES = (
    "service-account-token", "rbac-misuse", "route-localnet",
    "privileged", "runtime-socket", "host-path", "sys-admin", "sys-module", "dac-read-search",
    "CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881",
    "host-pid", "release-agent", "ebpf", "packet-socket", "dirty-cow", "dirty-pipe",
)  # fmt: skip
"""Those that can be tried from inside. `kubectl cp` is an attack on whoever uses it, and tried from outside."""
ON_THE_KERNEL = (
    "io-uring", "userfaultfd", "keyring", "perf", "fanotify", "child-traced", "clone3", "terminal-typed", "personality",
    "launcher-placed", "x32-call", "memory-executed", "setuid-program", "file-capability", "core-dump",
    "inherited-descriptors", "sysctl", "launcher-accounting",
)  # fmt: skip
ON_THE_TRUSTED_SIDE = (
    "launcher-memory", "launcher-memory-by-call", "launcher-environment", "launcher-descriptors", "launcher-traced",
    "launcher-stopped", "launcher-limits", "supervisor-seen", "supervisor-files", "supervisor-socket",
    "supervisor-socket-replaced", "supervisor-port", "supervisor-abstract-sockets",
)  # fmt: skip
WAYS = ("ipv4", "ipv6-mapped", "ipv6-nat64", "udp", "mptcp", "sctp", "fast-open")
"""How an address is tried to be reached."""


@dataclass(frozen=True)
class Attempt:
    """One attack."""

    name: str
    verdict: str
    """`refused`, `absent` (there is nothing to attack) or `succeeded`."""
    seen: str


def attempts(diff: str) -> dict[str, Attempt]:
    """From the patch of a workspace: the lines that the agent added to attacks.txt."""
    found = {}
    for line in diff.splitlines():
        name, _, rest = line.removeprefix("+").partition(" ")
        verdict, _, seen = rest.partition(" ")
        if line.startswith("+") and verdict in {"refused", "absent", "succeeded"}:
            found[name] = Attempt(name, verdict, seen)
    return found


def not_refused(found: dict[str, Attempt], names: Iterable[str]) -> dict[str, str]:
    """Attacks that came through, or that were not tried at all."""
    return {
        name: found[name].seen if name in found else "not tried"
        for name in names
        if name not in found or found[name].verdict == "succeeded"
    }
