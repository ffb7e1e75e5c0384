"""Room for what is on its way: large things wait for each other, small ones for nobody, and one always fits."""

from __future__ import annotations

import asyncio

from axiom.gateway.room import Room


async def entered(room: Room, size: int) -> bool:
    waiting = asyncio.ensure_future(room.enter(size))
    await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    return done


async def test_what_does_not_fit_waits_until_something_left() -> None:
    room = Room(most=100, small=10)
    await room.enter(60)
    assert not await entered(room, 60)
    waiting = asyncio.ensure_future(room.enter(60))
    await asyncio.sleep(0)
    room.leave(60)
    async with asyncio.timeout(60):
        await waiting


async def test_small_things_never_wait() -> None:
    room = Room(most=100, small=10)
    await room.enter(100)
    assert await entered(room, 10)


async def test_one_thing_always_fits() -> None:
    room = Room(most=100, small=10)
    await room.enter(1000)
    assert not await entered(room, 11)
    room.leave(1000)
    assert await entered(room, 1000)
