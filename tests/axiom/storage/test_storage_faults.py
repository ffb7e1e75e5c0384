"""Exactly one object for each key, whatever happens to the requests on their way: a real S3 server behind an unreliable path.

The short form takes some combinations, with a fixed seed; the long form (`make faults`) all sequences of up to three
faults, and a thousand pairs of writers.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
from tests.fakes.unreliable_path import UnreliablePath, Weather, unreliable_paths
from tests.faults.parts import IS_LONG, chance_of, share, share_of

from axiom.storage.s3 import S3Settings, S3Store
from axiom.storage.store import ConflictError, PutResult

SEED = int(os.environ.get("AXIOM_FAULTS_SEED", "20261126"))
AT_ONCE = 8
LARGE = 30
Sequence = tuple[Weather, ...]


def sequences(most: int, seed: str) -> list[Sequence]:
    """All of up to three faults, or some of them."""
    found = [
        one for length in (1, 2, 3) for one in product(Weather, repeat=length) if one[-1] is not Weather.FAIR
    ]
    return share(found) if IS_LONG else random.Random(f"{SEED}{seed}").sample(found, most)


def pairs() -> Iterator[tuple[Sequence, Sequence, bool]]:
    """What two writers meet, and whether they disagree."""
    chance = chance_of("pairs")
    for number in range(share_of(1000) if IS_LONG else 12):
        one, other = (tuple(chance.choices(list(Weather), k=chance.randrange(4))) for _ in range(2))
        yield one, other, number % 3 == 0


async def connected(settings: S3Settings, path: UnreliablePath) -> S3Store:
    return await S3Store.connect(
        replace(
            settings, endpoint=path.endpoint, attempts=30, patience=120, longest_wait=0.02, read_seconds=1
        )
    )


async def each(works: list[asyncio.Future[None]]) -> None:
    for done in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(done, BaseException):
            raise done


async def test_a_writer_creates_exactly_one_object(s3_settings: S3Settings) -> None:
    room = asyncio.Semaphore(AT_ONCE)
    async with unreliable_paths(s3_settings.endpoint, 1) as ([path], created):
        store = await connected(s3_settings, path)

        async def put(number: int, weathers: Sequence) -> None:
            key, content = f"one/{number}", b"evidence %d" % number
            async with room:
                path.write_down(f"/{s3_settings.bucket}/{key}", weathers)
                result = await store.put(key, content)
                assert result in PutResult, weathers
                path.write_down(f"/{s3_settings.bucket}/{key}", weathers)
                assert await store.put(key, content) is PutResult.ALREADY_THERE, weathers
                path.write_down(f"/{s3_settings.bucket}/{key}", ())

        tried = sequences(24, "one")
        await each([asyncio.ensure_future(put(*one)) for one in enumerate(tried)])
        await path.settle()
        await check(
            store, s3_settings, "one/", {f"one/{n}": b"evidence %d" % n for n in range(len(tried))}, created
        )
        assert path.met.total() - path.met[Weather.FAIR] >= len(tried)
        store.close()


async def test_of_two_writers_one_creates_and_the_other_finds_it_or_is_refused(
    s3_settings: S3Settings,
) -> None:
    room = asyncio.Semaphore(AT_ONCE)
    async with unreliable_paths(s3_settings.endpoint, 2) as (paths, created):
        stores = [await connected(s3_settings, path) for path in paths]
        stored: dict[str, bytes] = {}

        async def put(number: int, weathers: tuple[Sequence, Sequence], disagree: bool) -> None:
            key, content = f"two/{number}", b"evidence"
            offers = [content, b"other" if disagree else content]
            async with room:
                for path, met in zip(paths, weathers, strict=True):
                    path.write_down(f"/{s3_settings.bucket}/{key}", met)
                results = await asyncio.gather(
                    *(store.put(key, offer) for store, offer in zip(stores, offers, strict=True)),
                    return_exceptions=True,
                )
                for path in paths:
                    path.write_down(f"/{s3_settings.bucket}/{key}", ())
            won = [index for index, result in enumerate(results) if isinstance(result, PutResult)]
            assert len(won) == (1 if disagree else 2), (weathers, results)
            assert all(isinstance(result, PutResult | ConflictError) for result in results), (
                weathers,
                results,
            )
            stored[key] = offers[won[0]]

        await each(
            [
                asyncio.ensure_future(put(n, (one, other), differ))
                for n, (one, other, differ) in enumerate(pairs())
            ]
        )
        for path in paths:
            await path.settle()
        await check(stores[0], s3_settings, "two/", stored, created)
        for store in stores:
            store.close()


@pytest.mark.skipif(not IS_LONG, reason="of the long form")
async def test_a_large_object_is_created_once(s3_settings: S3Settings) -> None:
    large = bytes(range(256)) * (6 * 2**12)
    chance = chance_of("large")
    async with unreliable_paths(s3_settings.endpoint, 1) as ([path], created):
        store = await connected(s3_settings, path)
        for number in range(share_of(LARGE)):
            weathers = tuple(chance.choices(list(Weather), k=chance.randrange(1, 5)))
            path.write_down(f"/{s3_settings.bucket}/large/{number}", weathers)
            assert await store.put(f"large/{number}", large) in PutResult, weathers
            path.write_down(f"/{s3_settings.bucket}/large/{number}", ())
        await path.settle()
        await check(store, s3_settings, "large/", {f"large/{n}": large for n in range(LARGE)}, created)
        store.close()


async def check(
    store: S3Store, settings: S3Settings, prefix: str, wanted: dict[str, bytes], created: Counter[str]
) -> None:
    """The server holds these objects and no others, and created each of them once."""
    found = {key: hashlib.sha256(await store.get(key)).digest() async for key in store.list(prefix)}
    assert found == {key: hashlib.sha256(content).digest() for key, content in wanted.items()}
    twice = {key: created[f"/{settings.bucket}/{key}"] for key in wanted}
    assert set(twice.values()) == {1}, {key: count for key, count in twice.items() if count != 1}
