"""Observe → plan → apply: one worker for each task that something happens to, and never two for one task.

A worker is woken by whatever its task shows, and by the planner's own `Wait`. A pass that fails is repeated after a growing
pause with jitter, however often the worker is woken meanwhile; a person reads of it in an Event.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from axiom.api.agentclass import AgentClass
from axiom.api.agenttask import AgentTask
from axiom.api.conditions import ConditionType
from axiom.api.loading import RefusedError as UnreadableTaskError
from axiom.channel import ChannelError
from axiom.cluster.errors import ApiError, ConflictError, NotFoundError
from axiom.cluster.resources import Object, name_of, namespace_of, uid_of
from axiom.cluster.watching import Cache
from axiom.manifests.naming import CHECKPOINT_ANNOTATION
from axiom.planning.actions import Action, CreateSandbox, DeleteSandbox, DeleteTask, Send, Wait, WriteStatus
from axiom.planning.observed import Observed, Presence, SandboxView
from axiom.planning.planner import plan
from axiom.planning.statuses import is_true
from axiom.planning.steps import RETRY_SECONDS
from axiom.reconciling.applying import Applier, Subject
from axiom.reconciling.collecting import Collector, Moment, moment_of_rest
from axiom.reconciling.following import Sandboxes
from axiom.reconciling.lease import LeaseLostError
from axiom.reconciling.metrics import Metrics
from axiom.reconciling.narrating import Narrator, News, news_of
from axiom.reconciling.reading import read_class, read_profiles, read_task, read_together, read_twin
from axiom.reconciling.vendors import Vendors
from axiom.reconciling.views import is_outdated

log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 30.0
_UNOBSERVED_SECONDS = 5.0
_COUNT_SECONDS = 15.0
"""How long a round that ended waits for a process of the egress proxy that does not tell what was used; it refuses what is
too much in any case."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
_TELL_AFTER = 3
"""Failed passes in a row before a person is told."""


@dataclass
class _Worker:
    """What runs for one task."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    creation_refused: str = ""
    refused_at: float = 0.0
    refused_class: AgentClass | None = None
    """With which class: another one may be allowed what this one was not."""
    rest: Moment | None = None
    """Of the agent: the last one that usage was asked for at."""
    rests_since: float = 0.0
    """By the monotonic clock."""
    is_counted: bool = True
    """Everybody told what was used until then."""
    waits_since: float | None = None
    """By the monotonic clock: since when it is to begin a pass, and too many others are at work."""


class Reconciler:
    """All workers."""

    def __init__(
        self,
        tasks: Cache,
        classes: Cache,
        profiles: Cache,
        sandboxes: Sandboxes,
        applier: Applier,
        narrator: Narrator,
        metrics: Metrics,
        collector: Collector,
        vendors: Vendors,
        concurrency: int,
        now: Callable[[], datetime],
    ) -> None:
        """`now` gives the time that deadlines are measured by: it must not jump."""
        self._tasks, self._classes, self._profiles = tasks, classes, profiles
        self._sandboxes = sandboxes
        self._applier, self._narrator, self._metrics = applier, narrator, metrics
        self._collector, self._vendors = collector, vendors
        self._free, self._now = asyncio.Semaphore(concurrency), now
        self._workers: dict[str, _Worker] = {}
        self._is_open = False

    def open(self) -> None:
        """Begins to work: from now on everything that is known was observed by us, and we hold the Lease."""
        self._is_open = True
        for item in self._tasks:
            self.wake(uid_of(item))

    def wake(self, task_id: str) -> None:
        """Something of this task changed."""
        if not self._is_open or self._tasks.get(task_id) is None:
            return
        worker = self._workers.setdefault(task_id, _Worker())
        worker.woken.set()
        if worker.task is None or worker.task.done():
            worker.task = asyncio.create_task(self._work(task_id, worker), name=f"task {task_id}")

    def wake_followers(self, item: Object) -> None:
        """A task came to its end, has a checkpoint, or is gone: so may have what others wait for."""
        for other in self._tasks:
            workspace = (other.get("spec") or {}).get("workspace") or {}
            named = (workspace.get("task") or {}).get("name") or (workspace.get("checkpoint") or {}).get(
                "task"
            )
            if named == name_of(item) and namespace_of(other) == namespace_of(item):
                self.wake(uid_of(other))

    def wake_class(self, name: str) -> None:
        """An AgentClass changed: so may what can be done for its tasks."""
        for item in self._tasks:
            if item.get("spec", {}).get("agentClassName") == name:
                self.wake(uid_of(item))

    def wake_profile(self, profile: Object) -> None:
        """A VerificationProfile changed: so may what is added to tasks that wait for it. Of others nothing changes."""
        for item in self._tasks:
            named = (item.get("spec", {}).get("verification") or {}).get("profiles") or ()
            if name_of(profile) in named and namespace_of(profile) == namespace_of(item):
                self.wake(uid_of(item))

    def waiting(self) -> Iterator[float]:
        """For each task whose pass waits for others to end: since how many seconds."""
        now = time.monotonic()
        for worker in self._workers.values():
            if worker.waits_since is not None and worker.task is not None and not worker.task.done():
                yield now - worker.waits_since

    def forget(self, task_id: str) -> None:
        """The task is gone. Its pods follow it: they are owned by it."""
        worker = self._workers.pop(task_id, None)
        if worker is not None and worker.task is not None and worker.task is not asyncio.current_task():
            worker.task.cancel()
        self._sandboxes.forget_task(task_id)
        self._metrics.forget(task_id)
        self._collector.forget(task_id)

    async def close(self) -> None:
        """Stops all workers, wherever they are: everything they do may be done again."""
        self._is_open = False
        running = [worker.task for worker in self._workers.values() if worker.task]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _work(self, task_id: str, worker: _Worker) -> None:
        failures = 0
        while self._is_open and self._tasks.get(task_id) is not None:
            worker.woken.clear()
            worker.waits_since = time.monotonic()
            try:
                async with self._free:
                    worker.waits_since = None
                    pause = await self._pass(task_id, worker)
                failures = 0
            except ConflictError:
                await self._observe_again(task_id)
                continue
            except LeaseLostError:
                return  # the process ends
            except (ApiError, ChannelError) as error:
                failures += 1
                await self._rest(task_id, failures, error)
                continue
            except Exception as error:
                failures += 1
                log.exception("task %s: a pass failed", task_id)
                await self._rest(task_id, failures, error)
                continue
            if pause is None and not worker.woken.is_set():
                return
            await _woken_within(worker.woken, pause)

    async def _rest(self, task_id: str, failures: int, error: Exception) -> None:
        self._metrics.errors.labels(type(error).__name__).inc()
        item = self._tasks.get(task_id)
        if item is not None and failures == _TELL_AFTER:
            message = f"work on the task fails and is tried again: {type(error).__name__}: {error}"
            self._narrator.tell(item, News("ReconcileFailed", message, warning=True))
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures)
        log.info("task %s: %s: %s", task_id, type(error).__name__, error)
        await asyncio.sleep(longest * random.uniform(0.5, 1))  # noqa: S311 - jitter

    async def _observe_again(self, task_id: str) -> None:
        """After a conflict: what the watch has not brought yet is read."""
        item = self._tasks.get(task_id)
        if item is None:
            return
        self._metrics.errors.labels("ConflictError").inc()
        try:
            await self._applier.refresh(item)
        except ApiError as error:
            await self._rest(task_id, 1, error)

    async def _pass(self, task_id: str, worker: _Worker) -> float | None:
        """One pass; seconds until the next unless something happens before, None for: not without cause."""
        began = time.perf_counter()
        try:
            item = self._tasks.get(task_id)
            views = self._sandboxes.views(task_id)
            if item is None or item["metadata"].get("deletionTimestamp"):
                return None
            if views is None:
                return _UNOBSERVED_SECONDS
            return await self._act(item, views, worker)
        finally:
            self._metrics.reconcile_seconds.observe(time.perf_counter() - began)

    async def _act(self, item: Object, views: tuple[SandboxView, ...], worker: _Worker) -> float | None:
        now = self._now()
        try:
            subject, observed = self._observe(item, views, worker, now)
        except UnreadableTaskError as error:
            self._narrator.tell(item, News("Unreadable", str(error), warning=True))
            return None
        self._metrics.note_observed(observed)
        if observed.refusal and not observed.task.spec.agent_class_name and observed.task.status.attempt:
            self._narrator.tell(
                item, News(observed.refusal.reason.value, observed.refusal.message, warning=True)
            )
            return None
        observed = await self._with_usage(observed, worker)
        actions = plan(observed, now)
        for action in _batched(actions, observed):
            await self._apply(action, subject, observed, worker, now)
        return _pause(actions, bool(worker.creation_refused) and not observed.creation_refused)

    async def _with_usage(self, observed: Observed, worker: _Worker) -> Observed:
        """With what was used; asked for anew once the agent rests or has ended, as nothing is added before it goes on.

        Under a budget it is asked for until all processes of the proxy have answered, but no longer than _COUNT_SECONDS.
        """
        moment = moment_of_rest(observed)
        has_budget = observed.task.spec.limits.budget is not None
        if moment is not None and moment != worker.rest:
            worker.rests_since = time.monotonic()
            worker.is_counted = await self._collector.collect(anew=has_budget)
            worker.rest = moment
        elif moment is not None and not worker.is_counted and has_budget and self._is_awaited(worker):
            worker.is_counted = await self._collector.collect(anew=True)
        return replace(
            observed,
            usage=self._collector.usage_of(observed.task.uid),
            is_counted=worker.is_counted or not self._is_awaited(worker),
            vendor=self._vendors.down_for(observed),
        )

    @staticmethod
    def _is_awaited(worker: _Worker) -> bool:
        return time.monotonic() - worker.rests_since < _COUNT_SECONDS

    def _observe(
        self, item: Object, views: tuple[SandboxView, ...], worker: _Worker, now: datetime
    ) -> tuple[Subject, Observed]:
        task, refusal = read_task(item)
        name = task.spec.agent_class_name
        raw_class = next((found for found in self._classes if name_of(found) == name), None)
        agent_class, class_refusal = read_class(name, raw_class)
        # What was accepted stands in the status: later changes of a profile are nothing to it.
        profiles = () if task.status.attempt else task.spec.verification.profiles
        profile_criteria, profile_refusal = read_profiles(task, self._profiles) if profiles else ((), None)
        if now.timestamp() - worker.refused_at >= RETRY_SECONDS or agent_class != worker.refused_class:
            worker.creation_refused = ""
        observed = Observed(
            task=task,
            generation=int(item["metadata"].get("generation", 1)),
            agent_class=agent_class,
            refusal=refusal
            or class_refusal
            or profile_refusal
            or read_together(task, agent_class)
            or read_twin(task, self._tasks),
            profile_criteria=profile_criteria,
            creation_refused=worker.creation_refused,
            sandboxes=tuple(self._compared(view, task, agent_class) for view in views),
            source=self._source_of(task),
            checkpoint_request=str(
                (item["metadata"].get("annotations") or {}).get(CHECKPOINT_ANNOTATION) or ""
            ),
        )
        return Subject(item, task, agent_class), observed

    def _source_of(self, task: AgentTask) -> AgentTask | None:
        workspace = task.spec.workspace
        source = workspace.task.name if workspace.task else workspace.checkpoint and workspace.checkpoint.task
        named = source and next(
            (
                item
                for item in self._tasks
                if name_of(item) == source and namespace_of(item) == task.namespace
            ),
            None,
        )
        return read_task(named)[0] if named else None

    def _compared(self, view: SandboxView, task: AgentTask, agent_class: AgentClass | None) -> SandboxView:
        known = self._sandboxes.get(view.identity)
        if known is None or known.pod is None or agent_class is None:
            return view
        images = self._applier.images_of(view.identity.role, task, agent_class)
        return replace(view, outdated=is_outdated(known.pod, images))

    async def _apply(
        self,
        action: Action | _DeleteAll,
        subject: Subject,
        observed: Observed,
        worker: _Worker,
        now: datetime,
    ) -> None:
        match action:
            case WriteStatus():
                await self._write_status(subject, observed, action)
            case CreateSandbox():
                if refused := await self._applier.create(subject, action, now):
                    worker.creation_refused, worker.refused_at = refused, now.timestamp()
                    worker.refused_class = subject.agent_class
            case Send():
                await self._applier.send(subject, action, now)
            case DeleteSandbox(identity=identity):
                view = next((view for view in observed.sandboxes if view.identity == identity), None)
                await self._applier.delete(action, view)
            case _DeleteAll(sealed=sealed):
                await self._applier.delete_all(subject, sealed)
            case DeleteTask():
                await self._applier.delete_task(subject)
            case Wait():
                pass
            case _:
                assert_never(action)

    async def _write_status(self, subject: Subject, observed: Observed, action: WriteStatus) -> None:
        try:
            await self._applier.write_status(subject, action)
        except NotFoundError:
            self._tasks.drop(subject.task.uid)
            return
        log.info(
            "%s/%s: %s attempt %d round %d %s",
            subject.task.namespace, subject.task.name, action.status.state.value, action.status.attempt,
            action.status.round, action.status.verdict.value if action.status.verdict else "",
        )  # fmt: skip
        self._metrics.note_status(observed, action.status)
        for news in news_of(subject.task.status, action.status):
            self._narrator.tell(subject.raw, news)


@dataclass(frozen=True)
class _DeleteAll:
    """Several deletions of a completed task's pods, in one request."""

    sealed: bool


def _batched(actions: tuple[Action, ...], observed: Observed) -> Iterable[Action | _DeleteAll]:
    """Once a task is complete, all its pods go with one request instead of one each."""
    deletions = [action for action in actions if isinstance(action, DeleteSandbox)]
    if len(deletions) < 2 or not is_true(observed.task.status, ConditionType.COMPLETE):
        return actions
    there = [view for view in observed.sandboxes if view.presence is not Presence.GONE]
    others = [action for action in actions if not isinstance(action, DeleteSandbox)]
    return [_DeleteAll(all(view.sealed for view in there)), *others]


def _pause(actions: tuple[Action, ...], is_news: bool) -> float | None:
    """Seconds until the next pass. After a status write, or when the planner has something to hear: at once."""
    if is_news or any(isinstance(action, WriteStatus) for action in actions):
        return 0
    if not actions:
        return None
    return min([*(action.seconds for action in actions if isinstance(action, Wait)), _LOOK_AGAIN_SECONDS])


async def _woken_within(woken: asyncio.Event, seconds: float | None) -> None:
    # not wait_for, which in Python 3.11 may swallow a cancellation that comes with the event
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        pass  # it is time to look again
