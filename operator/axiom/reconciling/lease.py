"""One operator acts at a time: a Lease (coordination.k8s.io/v1), taken before anything is done, renewed while it is.

A Lease alone fences nothing (writes carry versions and UIDs for that); it keeps two operators from doing the same work, and
one that was paused for longer than the Lease lasts from writing what it had in mind before. Clocks of two machines are never compared: a holder counts as gone when its Lease did not change for its whole
duration by our own monotonic clock.

What the next operator has to know, and nothing else tells, lies beside it as annotations: it costs no write of its own.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from axiom.cluster.api import Api
from axiom.cluster.errors import AlreadyExistsError, ApiError, ConflictError, NotFoundError
from axiom.cluster.resources import LEASES, Object

log = logging.getLogger(__name__)


class LeaseLostError(Exception):
    """Somebody else may be acting now: the process must end at once."""


@dataclass(frozen=True)
class LeaseSettings:
    """Which Lease, and its times in seconds."""

    namespace: str
    name: str
    identity: str
    """Who we are: the same name again takes the Lease back at once (a container that was restarted in its pod)."""
    duration: float = 15.0
    """A holder that is silent for so long is gone."""
    renew_every: float = 3.0
    give_up_after: float = 10.0
    """Without a successful renewal for so long we end; less than `duration`."""


class Lease:
    """The Lease, held or not."""

    def __init__(
        self,
        api: Api,
        settings: LeaseSettings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api, self._settings, self._clock, self._sleep = api, settings, clock, sleep
        self._held: Object | None = None
        self._renewed = 0.0
        """When the last successful renewal began, by our clock."""
        self._seen = ""
        self._seen_at = 0.0
        self._notes: Callable[[], Mapping[str, str]] = dict

    @property
    def notes(self) -> dict[str, str]:
        """The annotations as they are: until `keep`, as the last holder left them."""
        return dict(self._held["metadata"].get("annotations") or {}) if self._held else {}

    async def acquire(self) -> None:
        """Returns once we hold it, however long that takes."""
        waiting = ""
        while not await self._try_to_take():
            if self._seen.partition(" ")[0] != waiting:
                waiting = self._seen.partition(" ")[0]
                log.info("waiting: the Lease %s is held by %s", self._settings.name, waiting)
            await self._sleep(self._settings.renew_every * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
        log.info("the Lease %s is ours (%s)", self._settings.name, self._settings.identity)

    async def keep(self, notes: Callable[[], Mapping[str, str]] = dict) -> None:
        """Renews for ever, and writes down these annotations with it. Raises LeaseLostError."""
        self._notes = notes
        while True:
            await self._sleep(self._settings.renew_every)
            began = self._clock()
            left = self._settings.give_up_after - (began - self._renewed)
            try:
                async with asyncio.timeout(max(left, 0)):
                    self._held = await self._write(self._held)
            except (ConflictError, NotFoundError) as error:
                self._held = await self._read_again(error)
            except (ApiError, TimeoutError) as error:
                log.warning("the Lease could not be renewed: %s", error)
            else:
                self._renewed = began
            self.check()

    def check(self) -> None:
        """Before anything is written: a process that was paused finds its Lease too old before it does harm.

        Raises LeaseLostError.
        """
        if self._held is None or self._clock() - self._renewed >= self._settings.give_up_after:
            raise LeaseLostError(f"the Lease could not be renewed for {self._settings.give_up_after:.0f} s")

    async def release(self) -> None:
        """Lets go, so that the next operator need not wait. Trouble is logged: the Lease runs out by itself."""
        if self._held is None:
            return
        spec = {**self._held["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        body = {**self._held, "metadata": self._with_notes(self._held["metadata"]), "spec": spec}
        try:
            await self._api.replace(LEASES, self._settings.namespace, self._settings.name, body)
        except ApiError as error:
            log.info("the Lease was not released: %s", error)
        self._held = None

    async def _read_again(self, cause: ApiError) -> Object:
        """After a conflict: a late write of our own predecessor of the same name is no loss. Raises LeaseLostError."""
        lost = LeaseLostError(f"somebody else changed the Lease: {cause}")
        try:
            lease = await self._api.get(LEASES, self._settings.namespace, self._settings.name)
        except ApiError as error:
            raise lost from error
        if lease.get("spec", {}).get("holderIdentity") != self._settings.identity:
            raise lost from cause
        return lease

    async def _try_to_take(self) -> bool:
        try:
            lease = await self._api.get(LEASES, self._settings.namespace, self._settings.name)
        except NotFoundError:
            return await self._take(None)
        except ApiError as error:
            log.warning("the Lease cannot be read: %s", error)
            return False
        return await self._take(lease) if self._is_free(lease) else False

    async def _take(self, lease: Object | None) -> bool:
        began = self._clock()
        try:
            self._held, self._renewed = await self._write(lease), began
        except (ConflictError, AlreadyExistsError):
            return False
        except ApiError as error:
            log.warning("the Lease cannot be taken: %s", error)
            return False
        return True

    def _is_free(self, lease: Object) -> bool:
        holder = lease.get("spec", {}).get("holderIdentity") or ""
        if holder in ("", self._settings.identity):
            return True
        seen = f"{holder} {lease['metadata'].get('resourceVersion')}"
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()
        duration = float(lease["spec"].get("leaseDurationSeconds") or self._settings.duration)
        return self._clock() - self._seen_at >= duration

    async def _write(self, lease: Object | None) -> Object:
        settings = self._settings
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec: dict[str, Any] = dict(lease.get("spec", {})) if lease else {}
        if spec.get("holderIdentity") != settings.identity:
            spec |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        spec |= {
            "holderIdentity": settings.identity,
            "renewTime": now,
            "leaseDurationSeconds": int(settings.duration),
        }
        if lease is None:
            body = {
                "apiVersion": LEASES.group_version,
                "kind": LEASES.kind,
                "metadata": {"name": settings.name, "namespace": settings.namespace},
                "spec": spec,
            }
            return await self._api.create(LEASES, settings.namespace, body)
        body = {**lease, "metadata": self._with_notes(lease["metadata"]), "spec": spec}
        return await self._api.replace(LEASES, settings.namespace, settings.name, body)

    def _with_notes(self, metadata: Object) -> Object:
        notes = self._notes()
        return (
            {**metadata, "annotations": {**(metadata.get("annotations") or {}), **notes}}
            if notes
            else metadata
        )
