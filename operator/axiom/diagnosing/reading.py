"""Reads what a diagnosis needs. What the caller may not read is noted, and the rest still looked at."""

from __future__ import annotations

from axiom.cluster.api import Api
from axiom.cluster.errors import NotFoundError, RefusedError, UnavailableError
from axiom.cluster.resources import (
    AGENT_CLASSES,
    AGENT_TASKS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    PODS,
    Object,
    Resource,
    uid_of,
)
from axiom.diagnosing.installation import INSTALLATION_SELECTOR, Installation
from axiom.manifests.naming import TASK_UID_LABEL


async def read_installation(api: Api) -> Installation:
    """Raises nothing: what cannot be read is part of the answer."""
    refused: dict[str, str] = {}

    async def every(resource: Resource, selector: str = "") -> list[Object]:
        try:
            return await api.list(resource, selector)
        except RefusedError as error:
            refused[resource.plural] = str(error)
            return []

    try:
        classes = await every(AGENT_CLASSES)
        return Installation(
            workloads=await every(DEPLOYMENTS, INSTALLATION_SELECTOR),
            pods=await every(PODS, INSTALLATION_SELECTOR),
            leases=await every(LEASES, INSTALLATION_SELECTOR),
            classes=classes,
            refused=refused,
        )
    except NotFoundError:
        return Installation(is_served=False)
    except UnavailableError as error:
        return Installation(unreachable=str(error))


async def read_task(api: Api, namespace: str, name: str) -> tuple[Object, list[Object], list[Object]]:
    """The AgentTask, its pods, and the Events of its namespace as far as they may be read. Raises ApiError."""
    task = await api.get(AGENT_TASKS, namespace, name)
    pods = await _if_allowed(api, PODS, f"{TASK_UID_LABEL}={uid_of(task)}", namespace)
    return task, pods, await _if_allowed(api, EVENTS, "", namespace)


async def _if_allowed(api: Api, resource: Resource, selector: str, namespace: str) -> list[Object]:
    try:
        return await api.list(resource, selector, namespace)
    except RefusedError:
        return []
