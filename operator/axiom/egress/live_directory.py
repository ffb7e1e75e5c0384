"""A Directory that follows a cluster: it is told of AgentClasses, Secrets and pods, and answers from memory.

Who tells it is `watching`'s affair. An attempt runs as long as its agent's pod: present, in the namespace that the
token names, not terminating, not finished, and at the address that the request comes from.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from pydantic import TypeAdapter, ValidationError

from axiom.api.agentclass import Credential, Destination, Judge, McpServer, Price, SecretKey
from axiom.egress.destinations import narrowed
from axiom.egress.directory import ArmedRoute, Standing, usable_key
from axiom.egress.pricing import Tariff, tariffs_of
from axiom.egress.tokens import Grant, Purpose, errand_of

log = logging.getLogger(__name__)

ROLE_LABEL, TASK_LABEL, ATTEMPT_LABEL = "axiom.dev/role", "axiom.dev/task-uid", "axiom.dev/attempt"
DESTINATIONS_ANNOTATION = "axiom.dev/destinations"
AGENT_PODS = f"{ROLE_LABEL}=agent,{TASK_LABEL},{ATTEMPT_LABEL}"
"""Label selector of the pods that tokens belong to."""

Object = Mapping[str, Any]
"""A Kubernetes object as JSON."""

_CREDENTIALS = TypeAdapter(list[Credential])
_JUDGES: TypeAdapter[list[Judge]] = TypeAdapter(list[Judge])
_MCP_SERVERS = TypeAdapter(list[McpServer])
_PRICES = TypeAdapter(list[Price])
_DESTINATIONS = TypeAdapter(list[Destination])


class AttemptKey(NamedTuple):
    """What a pod's labels and a grant have in common."""

    namespace: str
    task_id: str
    attempt: str


class AgentPod(NamedTuple):
    """What of a pod decides about its token."""

    key: AttemptKey
    is_over: bool
    addresses: frozenset[str]
    hosts: tuple[str, ...] | None
    """Which of its class's destinations the task wants; None: all."""

    @classmethod
    def parse(cls, pod: Object) -> Self:
        """From the pod's JSON."""
        metadata, status = pod["metadata"], pod.get("status", {})
        labels, wanted = (
            metadata.get("labels", {}),
            (metadata.get("annotations") or {}).get(DESTINATIONS_ANNOTATION),
        )
        addresses = {status.get("podIP"), *(item.get("ip") for item in status.get("podIPs") or ())}
        return cls(
            AttemptKey(metadata["namespace"], labels.get(TASK_LABEL, ""), labels.get(ATTEMPT_LABEL, "")),
            bool(metadata.get("deletionTimestamp")) or status.get("phase") in {"Succeeded", "Failed"},
            frozenset(address for address in addresses if address),
            None if wanted is None else tuple(host for host in wanted.split(",") if host),
        )


class LiveDirectory:
    """Implements Directory. All methods belong to one event loop."""

    def __init__(self, grace_seconds: float = 2) -> None:
        """`grace_seconds`: how long a request waits for news of a pod that was not seen yet."""
        self._grace = grace_seconds
        self._pods: dict[str, AgentPod] = {}
        self._by_attempt: dict[AttemptKey, set[str]] = {}
        self._classes: dict[str, list[Credential]] = {}
        self._judges: dict[str, list[Credential]] = {}
        self._tariffs: dict[str, Sequence[Tariff]] = {}
        self._destinations: dict[str, list[Destination]] = {}
        self._secrets: dict[str, Mapping[str, str]] = {}
        self._heard: set[str] = set()
        self._news = asyncio.Event()
        self.classes_changed = asyncio.Event()
        """Set when other Secrets may be needed; whoever reads them clears it."""

    @property
    def is_ready(self) -> bool:
        """Whether pods, classes and Secrets were each heard of once."""
        return self._heard >= {"pods", "classes", "secrets"}

    def routes(self, agent_class: str) -> Sequence[ArmedRoute]:
        """Routes that the AgentClass opens, with the keys as they were last read."""
        name, purpose = errand_of(agent_class)
        if purpose is not None:
            judges = self._judges.get(name, ()) if purpose is Purpose.JUDGES else ()
            return [ArmedRoute(item.route, self._key(item.secret_ref)) for item in judges]
        credentials = self._classes.get(agent_class, ())
        return [ArmedRoute(item.route, self._key(item.secret_ref)) for item in credentials]

    def destinations(self, grant: Grant) -> Sequence[Destination]:
        """Hosts beyond the routes: what the class opens, as far as each pod of the attempt wants it."""
        name, purpose = errand_of(grant.agent_class)
        opened = self._destinations.get(name, []) if purpose is not Purpose.JUDGES else []
        for uid in self._by_attempt.get(_key_of(grant), ()):
            opened = narrowed(opened, self._pods[uid].hosts)
        return opened

    def tariffs(self, agent_class: str) -> Sequence[Tariff]:
        """Prices of the AgentClass."""
        return self._tariffs.get(agent_class, ())

    async def standing(self, grant: Grant, peer: str | None) -> Standing:
        """Whether the grant's attempt runs at `peer`; waits a moment for a pod that is only about to be seen.

        An errand's token is the control plane's: it is short-lived, and good from nowhere that an agent is.
        """
        if errand_of(grant.agent_class)[1] is not None:
            there = any(peer in pod.addresses for pod in self._pods.values())
            return Standing.ELSEWHERE if there else Standing.ACTIVE
        try:
            async with asyncio.timeout(self._grace):
                while (standing := self._look(grant, peer)) is None:
                    await self._news.wait()
        except TimeoutError:
            return Standing.ENDED
        return standing

    def wanted_secrets(self) -> frozenset[str]:
        """Names of the Secrets that credentials of all classes lie in."""
        return frozenset(
            item.secret_ref.name
            for held in (self._classes, self._judges)
            for credentials in held.values()
            for item in credentials
        )

    def replace_pods(self, pods: Iterable[Object]) -> None:
        """All agents' pods there are."""
        self._pods.clear()
        self._by_attempt.clear()
        for pod in pods:
            self._put_pod(pod)
        self._tell("pods")

    def apply_pod(self, change: str, pod: Object) -> None:
        """One pod was ADDED, MODIFIED or DELETED."""
        self._forget_pod(pod["metadata"]["uid"])
        if change != "DELETED":
            self._put_pod(pod)
        self._tell("pods")

    def replace_classes(self, classes: Iterable[Object]) -> None:
        """All AgentClasses there are."""
        self._classes, self._judges, self._tariffs, self._destinations = {}, {}, {}, {}
        for item in classes:
            self._put_class(item)
        self._tell_classes()

    def apply_class(self, change: str, item: Object) -> None:
        """One AgentClass was ADDED, MODIFIED or DELETED."""
        self._classes.pop(item["metadata"]["name"], None)
        self._judges.pop(item["metadata"]["name"], None)
        self._tariffs.pop(item["metadata"]["name"], None)
        self._destinations.pop(item["metadata"]["name"], None)
        if change != "DELETED":
            self._put_class(item)
        self._tell_classes()

    def replace_secrets(self, secrets: Mapping[str, Mapping[str, str]]) -> None:
        """Content of the wanted Secrets, by name and key; those that do not exist are left out."""
        self._secrets = dict(secrets)
        self._tell("secrets")

    def _look(self, grant: Grant, peer: str | None) -> Standing | None:
        """None while it is too early to tell."""
        pods = [self._pods[uid] for uid in self._by_attempt.get(_key_of(grant), ())]
        running = [pod for pod in pods if not pod.is_over]
        if not running:
            return Standing.ENDED if pods else None
        if any(peer in pod.addresses for pod in running):
            return Standing.ACTIVE
        return Standing.ELSEWHERE if all(pod.addresses for pod in running) else None

    def _put_pod(self, pod: Object) -> None:
        uid, parsed = pod["metadata"]["uid"], AgentPod.parse(pod)
        self._pods[uid] = parsed
        self._by_attempt.setdefault(parsed.key, set()).add(uid)

    def _forget_pod(self, uid: str) -> None:
        old = self._pods.pop(uid, None)
        if old is None:
            return
        self._by_attempt[old.key].discard(uid)
        if not self._by_attempt[old.key]:
            del self._by_attempt[old.key]

    def _put_class(self, item: Object) -> None:
        name, spec = item["metadata"]["name"], item.get("spec", {})
        try:
            self._classes[name] = _CREDENTIALS.validate_python(spec.get("credentials", []))
        except ValidationError as error:
            log.warning(
                "AgentClass %s opens no routes until its credentials are mended: %s", name, _faults(error)
            )
        try:
            servers = _MCP_SERVERS.validate_python(spec.get("mcpServers", []))
            self._classes[name] = [*self._classes.get(name, []), *(server.credential for server in servers)]
        except ValidationError as error:
            log.warning("AgentClass %s has no MCP servers until they are mended: %s", name, _faults(error))
        try:
            judges = _JUDGES.validate_python(spec.get("judges", []))
            self._judges[name] = [judge.credential for judge in judges]
        except ValidationError as error:
            log.warning("AgentClass %s has no judges until they are mended: %s", name, _faults(error))
        try:
            self._tariffs[name] = tariffs_of(_PRICES.validate_python(spec.get("prices", [])))
        except ValidationError as error:
            log.warning("AgentClass %s has no prices until they are mended: %s", name, _faults(error))

        try:
            opened = (spec.get("egress") or {}).get("destinations", [])
            self._destinations[name] = _DESTINATIONS.validate_python(opened)
        except ValidationError as error:
            log.warning("AgentClass %s opens no destinations until they are mended: %s", name, _faults(error))

    def _key(self, reference: SecretKey) -> str | None:
        return usable_key(self._secrets.get(reference.name, {}).get(reference.key))

    def _tell_classes(self) -> None:
        self.classes_changed.set()
        self._tell("classes")

    def _tell(self, what: str) -> None:
        self._heard.add(what)
        # whoever waits holds the old event
        self._news.set()
        self._news = asyncio.Event()


def _key_of(grant: Grant) -> AttemptKey:
    return AttemptKey(grant.namespace, grant.task_id, str(grant.attempt))


def _faults(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
