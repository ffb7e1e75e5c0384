"""One operator at a time: the Lease, with a clock that the tests move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import kopf
import pytest
from tests.fakes.api_server import FakeApiServer, fake_api_server

from axiom.cluster.api import Api
from axiom.reconciling.lease import Lease, LeaseLostError, LeaseSettings


class Clock:
    """Seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.naps += 1
        await asyncio.sleep(0)


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as server:
        yield server


@pytest.fixture
async def api(server: FakeApiServer) -> AsyncIterator[Api]:
    async with Api("test", lambda: kopf.ConnectionInfo(server=server.url)) as api:
        yield api


def lease(api: Api, clock: Clock, identity: str = "me") -> Lease:
    return Lease(api, LeaseSettings("ns", "axiom-operator", identity), clock, clock.sleep)


def holder(server: FakeApiServer) -> str:
    found = server.get("leases", "ns", "axiom-operator")
    assert found is not None
    return str(found["spec"]["holderIdentity"])


async def test_a_lease_that_nobody_made_is_taken(server: FakeApiServer, api: Api) -> None:
    await lease(api, Clock()).acquire()
    assert holder(server) == "me"


async def test_a_holder_that_is_silent_for_the_leases_duration_is_replaced(
    server: FakeApiServer, api: Api
) -> None:
    await lease(api, Clock(), "other").acquire()
    clock = Clock()
    await lease(api, clock).acquire()
    assert holder(server) == "me"
    assert 15 <= clock.now < 22


async def test_a_holder_that_renews_is_waited_for(server: FakeApiServer, api: Api) -> None:
    await lease(api, Clock(), "other").acquire()
    clock = Clock()
    waiting = asyncio.create_task(lease(api, clock).acquire())
    for version in range(20):
        naps = clock.naps
        server.change("leases", "ns", "axiom-operator", mark=version)
        while clock.naps < naps + 2:
            await asyncio.sleep(0)
    assert clock.now > 60
    assert not waiting.done()
    waiting.cancel()


async def test_the_same_operator_takes_its_lease_back_at_once(server: FakeApiServer, api: Api) -> None:
    await lease(api, Clock()).acquire()
    clock = Clock()
    await lease(api, clock).acquire()
    assert clock.now == 0


async def test_a_released_lease_is_free_at_once(server: FakeApiServer, api: Api) -> None:
    first = lease(api, Clock(), "other")
    await first.acquire()
    await first.release()
    await first.release()
    clock = Clock()
    await lease(api, clock).acquire()
    assert (holder(server), clock.now) == ("me", 0)


async def test_a_lease_that_somebody_else_changed_is_lost(server: FakeApiServer, api: Api) -> None:
    mine = lease(api, Clock())
    await mine.acquire()
    server.change("leases", "ns", "axiom-operator", spec={"holderIdentity": "other"})
    with pytest.raises(LeaseLostError, match="somebody else"):
        await mine.keep()


async def test_a_lease_that_cannot_be_renewed_is_given_up_in_time(server: FakeApiServer, api: Api) -> None:
    clock = Clock()
    mine = lease(api, clock)
    await mine.acquire()
    server.refuse("PUT", "/axiom-operator", 503, times=100)
    with pytest.raises(LeaseLostError, match="could not be renewed"):
        await mine.keep()
    assert clock.now < 15


async def test_of_two_who_take_at_the_same_moment_one_gets_it(server: FakeApiServer, api: Api) -> None:
    first, second = Clock(), Clock()
    both = [asyncio.create_task(lease(api, c, n).acquire()) for c, n in ((first, "a"), (second, "b"))]
    done, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    for task in waiting:
        task.cancel()


async def test_a_late_write_of_our_former_self_is_no_loss(server: FakeApiServer, api: Api) -> None:
    clock = Clock()
    mine = lease(api, clock)
    await mine.acquire()
    server.change("leases", "ns", "axiom-operator", mark="late")
    keeping = asyncio.create_task(mine.keep())
    while clock.naps < 4:
        await asyncio.sleep(0.005)
    assert not keeping.done()
    keeping.cancel()


async def test_a_process_that_was_paused_for_longer_than_its_lease_may_write_nothing(api: Api) -> None:
    clock = Clock()
    mine = lease(api, clock)
    with pytest.raises(LeaseLostError):
        mine.check()
    await mine.acquire()
    mine.check()
    clock.now += 10
    with pytest.raises(LeaseLostError, match="could not be renewed"):
        mine.check()


async def test_a_lease_counts_from_when_it_was_asked_for(api: Api) -> None:
    class SlowApi:
        """Answers after 9 s."""

        async def get(self, *arguments: object) -> object:
            return await api.get(*arguments)  # type: ignore[arg-type]

        async def create(self, *arguments: object) -> object:
            clock.now += 9
            return await api.create(*arguments)  # type: ignore[arg-type]

    clock = Clock()
    mine = lease(cast(Api, SlowApi()), clock)
    await mine.acquire()
    mine.check()
    clock.now += 1
    with pytest.raises(LeaseLostError):
        mine.check()


async def test_what_a_holder_notes_is_written_with_its_renewals_and_found_by_the_next(
    server: FakeApiServer, api: Api
) -> None:
    first, clock = {"axiom.dev/a": "1"}, Clock()
    mine = lease(api, clock)
    await mine.acquire()
    assert mine.notes == {}
    keeping = asyncio.create_task(mine.keep(lambda: first))
    while clock.naps < 3:
        await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.wait([keeping])
    first = {"axiom.dev/a": "2"}
    await mine.release()
    other = lease(api, Clock(), "other")
    await other.acquire()
    assert other.notes == {"axiom.dev/a": "2"}
