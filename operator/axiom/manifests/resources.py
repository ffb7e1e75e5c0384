"""What a pod's containers may use: a task's wishes, cut at its class's ceilings."""

from __future__ import annotations

from dataclasses import dataclass

from axiom.api.agentclass import Ceilings
from axiom.api.agenttask import Resources
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.quantities import parse_quantity

MEBIBYTE = 1024**2
GIBIBYTE = 1024**3
TMP_BYTES = 512 * MEBIBYTE
"""Most that the untrusted side's /tmp holds; it lies in memory, so it is full instead of overflowing."""
SUPERVISOR_MEMORY = 384 * MEBIBYTE
VERIFIER_CPU_MILLIS = 25
_TRUSTED_MEMORY, _TELLER_MEMORY = 96 * MEBIBYTE, 8 * MEBIBYTE
HELPER_MEMORY = 64 * MEBIBYTE + _TRUSTED_MEMORY + _TELLER_MEMORY
"""Memory of a verifier or fetcher. Its agent's pod sets it aside: there is room for the helper where the agent found room."""
BROWSER_MEMORY = 1024 * MEBIBYTE
"""Of one page, at most: a browser that needs more is started again."""
BROWSER_DISK = 256 * MEBIBYTE
"""Its profile, for as long as one picture takes."""
WORKSPACE_SHARE = 0.7
"""Of limits.resources.storage: what a workspace may have at the start. At 0.8 of it, the agent's work is ended."""
_LEDGER_BYTES = 4 * GIBIBYTE
"""Room for ledger and recording, besides captures."""


@dataclass(frozen=True)
class Allowance:
    """What the untrusted side may use."""

    cpu_millis: int
    memory: int
    """Bytes, /tmp included."""
    storage: int
    """Bytes that workspace and home may hold."""

    @property
    def tmp(self) -> int:
        """Bytes of /tmp."""
        return min(TMP_BYTES, self.memory // 2)

    @property
    def evidence(self) -> int:
        """Bytes that the trusted side's folder may hold: base, captures, ledger, recording."""
        return 2 * self.storage + _LEDGER_BYTES


def allowance(wished: Resources, ceilings: Ceilings) -> Allowance:
    """The smaller of the task's wish and the class's ceiling, for each resource."""

    def smaller(wish: str, ceiling: str, unit: int = 1) -> int:
        return max(1, int(min(parse_quantity(wish), parse_quantity(ceiling)) * unit))

    return Allowance(
        cpu_millis=smaller(wished.cpu, ceilings.cpu, 1000),
        memory=smaller(wished.memory, ceilings.memory),
        storage=smaller(wished.storage, ceilings.storage),
    )


def untrusted_resources(allowed: Allowance, role: Role) -> dict[str, dict[str, str]]:
    """An agent's memory is set aside whole, as running out of it would end the attempt; of the processor a quarter is.

    A verifier asks for no memory and disk: its agent, which waits for the verdict and keeps its own, has set them aside for
    both (see `trusted_resources`), or on a node full of agents no verifier would find room, nor any agent ever leave. Of the
    processor it asks for a little, as that is also its weight against the agents at work.
    """
    if role is Role.AGENT:
        cpu, memory, storage = max(allowed.cpu_millis // 4, 1), allowed.memory, allowed.storage // 2
    else:
        cpu, memory, storage = VERIFIER_CPU_MILLIS, 0, 0
    return {
        "requests": {"cpu": f"{cpu}m", "memory": str(memory), "ephemeral-storage": str(storage)},
        "limits": {
            "cpu": f"{allowed.cpu_millis}m",
            "memory": str(allowed.memory),
            "ephemeral-storage": str(allowed.storage + GIBIBYTE),
        },
    }


def trusted_resources(allowed: Allowance, role: Role) -> dict[str, dict[str, str]]:
    """The supervisor's share. It reads what the agent floods, so it has a processor's worth of time at most."""
    is_agents = role is Role.AGENT
    memory, storage = (_TRUSTED_MEMORY + HELPER_MEMORY, 128 * MEBIBYTE) if is_agents else (0, 0)
    return {
        "requests": {"cpu": "50m", "memory": str(memory), "ephemeral-storage": str(storage)},
        "limits": {
            "cpu": "1",
            "memory": str(SUPERVISOR_MEMORY),
            "ephemeral-storage": str(allowed.evidence),
        },
    }


def browser_resources(role: Role) -> dict[str, dict[str, str]]:
    """Of a container that rests but for a second a minute."""
    memory, storage = (128 * MEBIBYTE, 16 * MEBIBYTE) if role is Role.AGENT else (0, 0)
    return {
        "requests": {"cpu": "10m", "memory": str(memory), "ephemeral-storage": str(storage)},
        "limits": {
            "cpu": "1",
            "memory": str(BROWSER_MEMORY),
            "ephemeral-storage": str(BROWSER_DISK + 64 * MEBIBYTE),
        },
    }


def teller_resources(role: Role) -> dict[str, dict[str, str]]:
    """Of a container that lives for milliseconds, but counts for as long as its pod does."""
    memory, storage = (_TELLER_MEMORY, MEBIBYTE) if role is Role.AGENT else (0, 0)
    return {
        "requests": {"cpu": "1m", "memory": str(memory), "ephemeral-storage": str(storage)},
        "limits": {"cpu": "500m", "memory": str(64 * MEBIBYTE), "ephemeral-storage": str(16 * MEBIBYTE)},
    }
