"""Tells the ledger of each file of the workspace that is added, changed or deleted, while the agent works.

The kernel says where something happened (`inotify`), and a look there says what (`looking`); now and then, and whenever everything is
frozen, all of the workspace is looked at, for what the kernel did not tell. What comes quickly is told together, and whoever
changes files without end is told of ever more coarsely: what could not be listed is counted in a `gap`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from axiom_sandbox.ledger.errors import LedgerClosedError, LedgerFailedError
from axiom_sandbox.protocol.events import FILES, FileChange, FilesChanged, Gap
from axiom_sandbox.supervising.inotify import Inotify
from axiom_sandbox.supervising.looking import Looker, Seen

_SETTLE_SECONDS = 0.25
_LONGEST_PAUSE = 10.0
_SHARE = 4
"""Times as long as a look took, nobody looks."""
_EVERYWHERE_SECONDS = 60.0
_WITHOUT_NEWS_SECONDS = 2.0
"""Between two looks at everything where the kernel tells nothing."""
_RECORD_BYTES = 64 * 1024
_MOST_HELD = 100_000
"""Names of files that came, until the next look."""
_GAP_SECONDS = 10.0


class Allowance:
    """How many changes may still be listed: many at once, few without end."""

    def __init__(
        self, most: float = 20_000, per_second: float = 20, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._per_second, self._clock = most, per_second, clock
        self._left, self._at = most, clock()

    def take(self, wanted: int) -> int:
        """So many of those that are wanted."""
        now = self._clock()
        self._left = min(self._left + (now - self._at) * self._per_second, self._most)
        self._at = now
        taken = min(wanted, int(self._left))
        self._left -= taken
        return taken


class FileWatch:
    """Of one workspace, from `begin` to `close`."""

    def __init__(
        self, root: Path, record: Callable[..., Awaitable[int]], allowance: Allowance | None = None
    ) -> None:
        self._record, self._allowance = record, allowance or Allowance()
        try:
            self._inotify: Inotify | None = Inotify()
        except OSError:
            self._inotify = None  # then everything is looked at, and more often
        self._looker = Looker(root, self._inotify)
        self._dirty, self._came = set[str](), set[tuple[str, bytes]]()
        self._is_lost = False
        self._news = asyncio.Event()
        self._looking = asyncio.Lock()
        self._unlisted, self._unseen, self._told_unseen = 0, 0, 0
        self._told_at = 0.0
        self._watching: asyncio.Task[None] | None = None
        self._catching = set[asyncio.Task[None]]()

    async def begin(self) -> None:
        """Takes what is there as given, and tells from now on."""
        self._unseen = await asyncio.to_thread(self._looker.begin)
        if self._inotify:
            asyncio.get_running_loop().add_reader(self._inotify.descriptor, self._hear)
        self._watching = asyncio.create_task(self._watch())

    async def settle(self) -> None:
        """Looks at everything, and tells all that is not told yet. For when everything is frozen."""
        if self._inotify:
            self._hear()
        await self._look(everywhere=True)
        await self._tell_gap()

    async def catch_up(self, seconds: float) -> None:
        """Tells what has happened until now, before something else is told; what takes longer is told later."""
        catching = asyncio.ensure_future(self._catch_up())
        self._catching.add(catching)
        catching.add_done_callback(self._caught)
        await asyncio.wait({catching}, timeout=seconds)

    async def _catch_up(self) -> None:
        if self._inotify:
            self._hear()
        if self._dirty or self._is_lost or not self._inotify:
            await self._look(everywhere=self._is_lost or not self._inotify)
        async with self._looking:
            pass  # who else looks has told
        if self._unlisted:
            await self._tell_gap()

    def _caught(self, catching: asyncio.Task[None]) -> None:
        self._catching.discard(catching)
        error = None if catching.cancelled() else catching.exception()
        if error and not isinstance(error, (LedgerFailedError, LedgerClosedError)):
            raise error

    async def close(self) -> None:
        """Tells nothing any more. Again is harmless."""
        doing = [*self._catching, *([self._watching] if self._watching else [])]
        for one in doing:
            one.cancel()
        await asyncio.gather(*doing, return_exceptions=True)
        if self._inotify:
            asyncio.get_running_loop().remove_reader(self._inotify.descriptor)
            self._inotify.close()
            self._inotify = None

    def _hear(self) -> None:
        assert self._inotify is not None
        for news in self._inotify.read():
            if news.is_lost:
                self._is_lost = True
            elif (directory := self._looker.path_of(news.watch)) is not None:
                self._dirty.add(directory)
                if news.is_new and len(self._came) < _MOST_HELD:
                    self._came.add((directory, news.name))
            self._news.set()

    async def _watch(self) -> None:
        """Until it is cancelled, or the ledger takes nothing any more."""
        loop, everywhere_at = asyncio.get_running_loop(), 0.0
        every = _EVERYWHERE_SECONDS if self._inotify else _WITHOUT_NEWS_SECONDS
        everywhere_at = loop.time() + every
        try:
            while True:
                await _within(max(everywhere_at - loop.time(), 0), self._news)
                await asyncio.sleep(_SETTLE_SECONDS)
                self._news.clear()
                began = loop.time()
                everywhere = self._is_lost or began >= everywhere_at
                await self._look(everywhere=everywhere)
                took = loop.time() - began
                if everywhere:
                    everywhere_at = loop.time() + max(every, _SHARE * 5 * took)
                if began - self._told_at > _GAP_SECONDS:
                    await self._tell_gap()
                await asyncio.sleep(min(_SHARE * took, _LONGEST_PAUSE))
        except (LedgerFailedError, LedgerClosedError):
            return  # whoever else records says so

    async def _look(self, *, everywhere: bool) -> None:
        async with self._looking:
            dirty, came, was_lost = self._dirty, self._came, self._is_lost
            self._dirty, self._came, self._is_lost = set(), set(), False
            before = {one for one in came if self._knows(one)}
            if everywhere:
                seen = await asyncio.to_thread(self._looker.look_everywhere)
                self._unseen = seen.unseen
            else:
                seen = await asyncio.to_thread(self._looker.look, dirty)
            passing = sum(not self._knows(one) for one in came - before)
            if was_lost:
                self._unlisted += 1
            await self._tell(seen, passing)

    def _knows(self, one: tuple[str, bytes]) -> bool:
        directory, name = one
        return self._looker.knows(directory, name.decode("utf-8", "surrogateescape"))

    async def _tell(self, seen: Seen, passing: int) -> None:
        listed = seen.changes[: self._allowance.take(len(seen.changes))]
        self._unlisted += len(seen.changes) - len(listed)
        for batch in _batches(listed):
            await self._record(FilesChanged(changes=batch))
        if passing:
            await self._record(FilesChanged(passing=passing))

    async def _tell_gap(self) -> None:
        """What was not listed since the last one, and what lies beyond the limits, if that became more."""
        beyond = max(self._unseen - self._told_unseen, 0)
        if not self._unlisted and not beyond:
            return
        reasons = []
        if self._unlisted:
            reasons.append(f"{self._unlisted} changes came faster than they are listed or told by the kernel")
        if beyond:
            reasons.append(
                f"{beyond} entries lie beyond the limits of files and of depth, or are closed to us"
            )
        count = self._unlisted + beyond
        self._unlisted, self._told_unseen = 0, max(self._unseen, self._told_unseen)
        self._told_at = asyncio.get_running_loop().time()
        reason = f"{'; '.join(reasons)}; the round's capture shows what came of them"
        await self._record(Gap(what=FILES, start=0, end=count, size=count, reason=reason))


def _batches(changes: Iterable[FileChange]) -> Iterator[tuple[FileChange, ...]]:
    """As many as fit into a record of a moderate size."""
    batch, size = list[FileChange](), 0
    for change in changes:
        batch.append(change)
        size += len(change.path) + len(change.target) + 150
        if size > _RECORD_BYTES:
            yield tuple(batch)
            batch, size = [], 0
    if batch:
        yield tuple(batch)


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass  # it is time to look at everything
