"""Carries for every sandbox pod of the cluster until everything of it is in object storage.

Pods are found by their label, so nobody has to call the gateway for it to begin. What it holds in memory is only what a
pod or object storage can tell again, so it may be restarted at any moment. A pod that ended with its ledger open is lost:
then the ledger is ended here, with a record of what is missing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from zstandard import ZstdError

from axiom.api.agenttask import AgentTask
from axiom.api.conditions import ConditionType
from axiom.api.loading import RefusedError, parse_task
from axiom.channel import Channel, ChannelError
from axiom.cluster.api import Api
from axiom.cluster.channels import Connect
from axiom.cluster.errors import ApiError
from axiom.cluster.resources import AGENT_TASKS, PODS, Object, name_of, namespace_of, uid_of
from axiom.cluster.watching import Cache
from axiom.evidence.outcomes import encode_outcome
from axiom.gateway.carrying import Carrier, Messenger, all_sealed
from axiom.gateway.closing import close_ledger
from axiom.gateway.metrics import Metrics
from axiom.gateway.room import Room
from axiom.gateway.supplying import PodSupply
from axiom.manifests.losses import loss_of
from axiom.manifests.naming import ALL_PODS_SELECTOR, NotASandboxPodError, identity_of
from axiom.manifests.pods import certificate_of
from axiom.planning.observed import identity_in
from axiom.planning.statuses import is_true
from axiom.storage.keys import outcome_key
from axiom.storage.store import ConflictError, ObjectStore, StorageError
from axiom_sandbox.ledger.errors import LedgerError
from axiom_sandbox.protocol.channel import SandboxState
from axiom_sandbox.protocol.identity import Identity, Role

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_CLOSING_AT_ONCE = 8


class Gateway:
    """One carrier for each pod whose trusted side can be reached."""

    def __init__(
        self,
        api: Api,
        store: ObjectStore,
        connect: Connect,
        scratch: Path,
        metrics: Metrics,
        messenger: Callable[[Identity, str], Messenger] | None = None,
    ) -> None:
        """`scratch` is a folder for what is on its way; it is emptied. `messenger` makes who does the errands of a verifier,
        by its identity and its task's AgentClass."""
        self._messenger = messenger
        self._api, self._store, self._connect = api, store, connect
        self._scratch, self._metrics = scratch, metrics
        self.pods = Cache(PODS, ALL_PODS_SELECTOR, changed=self._pod_changed)
        self.tasks = Cache(AGENT_TASKS, changed=self._task_changed)
        self._carrying: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[str, SandboxState] = {}
        """By the pod's UID, the last that its trusted side said."""
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._keeping: dict[str, asyncio.Task[None]] = {}
        """By the task's UID: outcomes that are being stored, or were; by UID and time: decisions of people."""
        self._closing_room = asyncio.Semaphore(_CLOSING_AT_ONCE)
        self._news = asyncio.Event()
        self._room = Room()
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)

    async def close(self) -> None:
        """Stops carrying, wherever it is."""
        running = [*self._carrying.values(), *self._closing.values(), *self._keeping.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def news(self, seconds: float) -> None:
        """Returns when a pod or a task changed, at the latest after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass  # the caller looks again

    def task(self, namespace: str, name: str) -> AgentTask | None:
        """The task of this name, if there is one."""
        for item in self.tasks:
            if namespace_of(item) == namespace and name_of(item) == name:
                return _parsed(item)
        return None

    def channel_of(self, identity: Identity) -> Channel | None:
        """A channel to this sandbox, if it has a pod that may answer."""
        pod = self._reachable_pod(identity)
        return None if pod is None else self._connect(pod)

    def may_answer(self, identity: Identity) -> bool:
        """Whether this sandbox has a pod that a channel can be made to."""
        return self._reachable_pod(identity) is not None

    def _reachable_pod(self, identity: Identity) -> Object | None:
        return next((pod for pod in self.pods if _is_reachable(pod) and _identity(pod) == identity), None)

    def close_lost(self) -> None:
        """Ends the ledgers of sandboxes whose pods went while no gateway looked. Call it once the caches are filled."""
        there = {_identity(pod) for pod in self.pods}
        for item in self.tasks:
            task = _parsed(item)
            if task is None or (
                is_true(task.status, ConditionType.COMPLETE) and not task.status.lost_attempts
            ):
                continue
            for identity in _sandboxes_of(task):
                if identity not in there:
                    self._close_ledger(identity.agent_id, identity, None, "its pod was gone already")

    def _task_changed(self, item: Object, is_there: bool) -> None:
        uid = uid_of(item)
        if not is_there:
            for key in [one for one in self._keeping if one.partition(" ")[0] == uid]:
                if self._keeping[key].done():
                    del self._keeping[key]
        elif uid not in self._keeping and _is_complete(item) and (task := _parsed(item)):
            self._keep(uid, "outcome", task, self._put_outcome)
        self._keep_decision(item, is_there)
        self._tell()

    def _keep_decision(self, item: Object, is_there: bool) -> None:
        review = decided_at_last(item) if not is_there else (item.get("status") or {}).get("review")
        if not review:
            return
        key = f"{uid_of(item)} {review['time']}"
        decided = {**item, "status": {**item["status"], "review": review}}
        if key not in self._keeping and (task := _parsed(decided)):
            for other in [one for one in self._keeping if one.startswith(f"{task.uid} ")]:
                if self._keeping[other].done():
                    del self._keeping[other]
            self._keep(key, "decision", task, self._put_decision)

    def _keep(
        self, key: str, what: str, task: AgentTask, put: Callable[[AgentTask], Awaitable[None]]
    ) -> None:
        keeping = self._until_kept(what, task, put)
        self._keeping[key] = asyncio.create_task(keeping, name=f"{what} {task.uid}")

    async def _until_kept(
        self, what: str, task: AgentTask, put: Callable[[AgentTask], Awaitable[None]]
    ) -> None:
        """Until it is stored, also when the task is deleted meanwhile. Of two gateways, one is first."""
        failures = 0
        while True:
            try:
                return await put(task)
            except StorageError as error:
                failures += 1
                self._metrics.errors.labels(type(error).__name__).inc()
                log.log(
                    logging.INFO if failures < 5 else logging.WARNING,
                    "the %s of %s (try %d): %s", what, task.uid, failures, error,
                )  # fmt: skip
            await asyncio.sleep(_pause(failures))

    async def _put_outcome(self, task: AgentTask) -> None:
        try:
            await self._store.put(outcome_key(task.namespace, task.uid), encode_outcome(task))
        except ConflictError:
            pass  # written when the task was complete; what may be changed in it since does not count

    async def _put_decision(self, task: AgentTask) -> None:
        # Only here: decisions are rare, and what cases are made with is a good part of a gateway's memory.
        from axiom.benching.keeping import keep_decision

        cases = await keep_decision(self._store, task)
        log.info("a person decided on %s; %d cases for judges are kept of it", task.uid, cases)

    def _pod_changed(self, pod: Object, is_there: bool) -> None:
        uid, identity = uid_of(pod), _identity(pod)
        if not is_there or _has_ended(pod):
            if running := self._carrying.pop(uid, None):
                running.cancel()
            if identity and uid not in self._closing and (uid in self._seen or certificate_of(pod)):
                loss = loss_of(pod)
                why = loss.message if loss else "its pod was deleted"
                self._close_ledger(uid, identity, self._seen.get(uid), why)
        elif identity and uid not in self._carrying and _is_reachable(pod):
            task = asyncio.create_task(self._carry(pod, identity), name=f"carry {identity.agent_id}")
            self._carrying[uid] = task
            self._metrics.sandboxes.inc()
            task.add_done_callback(lambda _: self._metrics.sandboxes.dec())
        if not is_there:
            self._seen.pop(uid, None)
        self._tell()

    def _close_ledger(self, key: str, identity: Identity, seen: SandboxState | None, why: str) -> None:
        if seen is None or not all_sealed(seen):
            ending = self._end_ledger(identity, seen, why)
            closing = self._closing[key] = asyncio.create_task(ending, name=f"close {identity.agent_id}")
            closing.add_done_callback(lambda _: self._closing.pop(key, None))

    async def _end_ledger(self, identity: Identity, seen: SandboxState | None, why: str) -> None:
        """Until it is ended, or the gateway stops: then the next one finds it open."""
        failures = 0
        while True:
            try:
                async with self._closing_room:
                    if await close_ledger(self._store, identity, seen, why, datetime.now(UTC)):
                        self._metrics.note_lost(seen)
                        log.warning("%s: its evidence is not whole: %s", identity.agent_id, why)
                return
            except (LedgerError, ZstdError) as error:
                log.error("%s: what is stored of its ledger cannot be read: %s", identity.agent_id, error)
                return
            except StorageError as error:
                failures += 1
                self._note(identity, error, failures)
            await asyncio.sleep(_pause(failures))

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _carry(self, pod: Object, identity: Identity) -> None:
        """Until everything is sealed, or the pod is gone (then this is cancelled)."""
        scratch = self._scratch / uid_of(pod)
        scratch.mkdir()
        failures = 0
        try:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    await self._carry_once(pod, identity, scratch)
                    return
                except (ChannelError, StorageError, ApiError, OSError) as error:
                    lasted = asyncio.get_running_loop().time() - began
                    failures = 1 if lasted > _LONGEST_PAUSE else failures + 1
                    self._note(identity, error, failures)
                await asyncio.sleep(_pause(failures))
        finally:
            self._metrics.note_gone(uid_of(pod))
            shutil.rmtree(scratch, ignore_errors=True)

    async def _carry_once(self, pod: Object, identity: Identity, scratch: Path) -> None:
        supply = PodSupply(
            pod,
            identity,
            self._api,
            self._store,
            scratch,
            task=lambda: self._task_of(identity),
            supplier=lambda role: self.channel_of(
                identity.model_copy(update={"role": role, "round": 0, "trial": 0})
            ),
            room=self._room,
        )
        async with self._connect(pod) as channel:
            carrier = Carrier(
                channel,
                self._store,
                supply,
                scratch,
                self._metrics.note_sealed,
                self._room,
                self._messenger_for(identity),
            )
            await carrier.carry(lambda state: self._note_state(pod, state))

    def _messenger_for(self, identity: Identity) -> Messenger | None:
        task = self._task_of(identity) if identity.role is Role.VERIFIER else None
        if task is None or self._messenger is None:
            return None
        return self._messenger(identity, task.spec.agent_class_name)

    def _note_state(self, pod: Object, state: SandboxState) -> None:
        self._seen[uid_of(pod)] = state
        self._metrics.note_state(uid_of(pod), state)

    def _task_of(self, identity: Identity) -> AgentTask | None:
        item = self.tasks.get(identity.task_id)
        return _parsed(item) if item is not None else None

    def _note(self, identity: Identity, error: Exception, failures: int) -> None:
        self._metrics.errors.labels(type(error).__name__).inc()
        level = logging.INFO if failures < 5 else logging.WARNING
        log.log(level, "%s (try %d): %s", identity.agent_id, failures, error)


def _is_complete(item: Object) -> bool:
    conditions = (item.get("status") or {}).get("conditions") or []
    return any(
        one.get("type") == ConditionType.COMPLETE and one.get("status") == "True" for one in conditions
    )


def _parsed(item: Object) -> AgentTask | None:
    try:
        return parse_task(dict(item))
    except RefusedError:
        return None  # the operator says why


def _identity(pod: Object) -> Identity | None:
    try:
        return identity_of(pod)
    except NotASandboxPodError:
        return None


def _sandboxes_of(task: AgentTask) -> Iterator[Identity]:
    """Agents and verifiers that the status tells of."""
    for attempt in range(1, task.status.attempt + 1):
        yield identity_in(task, Role.AGENT, attempt)
    for record in task.status.rounds:
        for trial in range(1, record.trials + 1):
            yield identity_in(task, Role.VERIFIER, record.attempt, record.number, trial)


def decided_at_last(item: Object) -> Object | None:
    """What a person decided on a complete task that was deleted before the operator had seen it; None: nothing. Pure.

    Its time is that of the last change of the task, as the API server noted it: the same for whoever sees it go.
    """
    given, known = (item.get("spec") or {}).get("review"), (item.get("status") or {}).get("review")
    if not given or not _is_complete(item) or (known and all(known.get(key) == given[key] for key in given)):
        return None
    changes = item["metadata"].get("managedFields") or ()
    times = [one["time"] for one in changes if one.get("time") and not one.get("subresource")]
    return {**given, "time": max(times)} if times else None


def _has_ended(pod: Object) -> bool:
    """The kubelet says so once no container of it runs any more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _is_reachable(pod: Object) -> bool:
    """Its trusted side serves, also while the pod is being deleted."""
    status = pod.get("status", {})
    return bool(certificate_of(pod) and status.get("podIP") and not _has_ended(pod))


def _pause(failures: int) -> float:
    longest: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures)
    return longest * random.uniform(0.5, 1)  # noqa: S311 - jitter
