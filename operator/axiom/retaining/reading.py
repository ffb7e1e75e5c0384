"""The policies of a cluster."""

from __future__ import annotations

from axiom.api.agentclass import EvidenceRetention
from axiom.api.loading import RefusedError, parse_class
from axiom.cluster.api import Api
from axiom.cluster.resources import AGENT_CLASSES


async def policies_of_cluster(api: Api) -> dict[str, EvidenceRetention]:
    """By the class's name; a class that is refused has none, and what it speaks of is kept. Raises ApiError."""
    policies = {}
    for item in await api.list(AGENT_CLASSES):
        try:
            found = parse_class(dict(item))
        except RefusedError:
            continue
        policies[found.name] = found.spec.retention
    return policies
