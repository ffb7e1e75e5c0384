"""What a pod asks for, and what it may use."""

from __future__ import annotations

from axiom.api.agentclass import Ceilings
from axiom.api.agenttask import Resources
from axiom.manifests.resources import (
    HELPER_MEMORY,
    allowance,
    teller_resources,
    trusted_resources,
    untrusted_resources,
)
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.quantities import parse_quantity

ALLOWED = allowance(Resources(cpu="1", memory="1Gi", storage="1Gi"), Ceilings())


def requested(role: Role, resource: str) -> int:
    parts = (untrusted_resources(ALLOWED, role), trusted_resources(ALLOWED, role), teller_resources(role))
    return sum(int(parse_quantity(part["requests"][resource])) for part in parts)


def test_an_agents_pod_sets_aside_the_memory_and_disk_of_its_helper() -> None:
    for role in (Role.VERIFIER, Role.FETCHER):
        assert requested(role, "memory") == requested(role, "ephemeral-storage") == 0
    assert requested(Role.AGENT, "memory") >= ALLOWED.memory + 2 * HELPER_MEMORY - 64 * 2**20


def test_no_container_asks_for_more_than_it_may_use() -> None:
    for role in Role:
        for part in (
            untrusted_resources(ALLOWED, role),
            trusted_resources(ALLOWED, role),
            teller_resources(role),
        ):
            for resource, asked in part["requests"].items():
                assert parse_quantity(asked) <= parse_quantity(part["limits"][resource]), (role, resource)
