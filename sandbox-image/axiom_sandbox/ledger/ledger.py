"""The ledger of one sandbox while it is written: append, follow, cut, seal, and let go of what is stored elsewhere.

`append` returns when its events are durable. Appends that arrive while the disk is busy are gathered and
written together: one write and one fdatasync for each group. What an event means is of no concern here, nor is
who reads the segments; `checking` proves afterwards that nothing was touched.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from axiom_sandbox import durable
from axiom_sandbox.ledger import files
from axiom_sandbox.ledger.checking import Elsewhere
from axiom_sandbox.ledger.errors import (
    LedgerBusyError,
    LedgerClosedError,
    LedgerCorruptError,
    LedgerFailedError,
    MalformedRecordError,
    NoSuchSegmentError,
    SegmentKeptError,
    SegmentsLeftError,
)
from axiom_sandbox.ledger.records import ORIGIN, decode, encode
from axiom_sandbox.ledger.seals import Seals
from axiom_sandbox.protocol.channel import LedgerHead
from axiom_sandbox.protocol.events import Event, UnknownEvent
from axiom_sandbox.protocol.identity import Identity

SEGMENT_BYTES = 1024 * 1024
"""A segment is cut before it grows past this, unless a single record does."""
QUIET_SECONDS = 10.0
"""A segment is cut this long after the last event."""
OLDEST_SECONDS = 60.0
"""And at the latest this long after its first."""

_log = logging.getLogger(__name__)
T = TypeVar("T")
_UNWRITTEN = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """Where an event stands."""

    seq: int
    hash: str


@dataclass(slots=True)
class _Group:
    """Lines that become durable together."""

    done: asyncio.Future[None]
    """Resolved once the group is durable, or never will be."""
    lines: list[bytes] = field(default_factory=list)
    time: datetime = _UNWRITTEN
    """Of the last line."""
    first: int = 0
    last: Position = Position(0, ORIGIN)
    cut: bool = False
    """The segment ends after this group."""
    failed: bool = False


class Ledger:
    """An append-only, hash-chained, durable sequence of events in a folder. One event loop at a time.

    Every error of a write or an fsync is fatal: `LedgerFailedError` from that append and from all later calls
    that need the disk. A cancelled append may or may not be recorded.
    """

    def __init__(
        self,
        folder: Path,
        identity: Identity,
        clock: Callable[[], datetime],
        lock: int,
        seals: Seals,
        recovered: files.Recovered,
    ) -> None:
        self._folder, self._identity, self._clock, self._lock = folder, identity, clock, lock
        self._torn = recovered.torn
        self._extents = list(recovered.extents)
        """Of the segments that are here."""
        self._before = seals.elsewhere.segments
        """How many are not."""
        self._durable = Position(recovered.findings.records, recovered.findings.head)
        self._segments = self._begun
        self._seals = seals
        self._closing = seals.closed
        self._released = False
        self._failure: LedgerFailedError | None = None
        self._progress = asyncio.Event()
        # staged, not yet durable
        self._staged = self._durable
        self._planned = 0
        self._cuts = self._segments
        self._queue: deque[_Group] = deque()
        # the segment being written
        self._descriptor: int | None = None
        self._writing = False
        # work under way
        self._threads = _running_threads(2)
        self._committing: asyncio.Task[None] | None = None
        self._cutting: asyncio.Task[None] | None = None
        self._sealing = threading.Lock()
        self._due: asyncio.TimerHandle | None = None
        self._last_append = self._first_append = 0.0

    @classmethod
    def open(cls, folder: Path, identity: Identity, clock: Callable[[], datetime]) -> Ledger:
        """Begin a ledger, or go on with what lies in the folder.

        Whatever was still being written is cut into a segment of its own; the next event begins another.

        Raises:
            LedgerCorruptError: something acknowledged was changed or lost, or belongs to another sandbox.
            LedgerBusyError: somebody else has it open.
            LedgerFailedError: the disk refuses.
        """
        try:
            files.create_folder(folder)
            lock = _lock(folder)
            try:
                _check_owner(folder, identity)
                seals = Seals.load(folder)
                recovered = files.recover(folder, seals.elsewhere)
                return cls(folder, identity, clock, lock, seals, recovered)
            except BaseException:
                os.close(lock)
                raise
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be started
            raise LedgerFailedError(f"the ledger in {folder} cannot be opened: {error}") from error

    @property
    def head(self) -> LedgerHead:
        """How far the ledger is. `records` and `head` are what is durable, `segments` are cut for ever."""
        return LedgerHead(
            records=self._durable.seq,
            head=self._durable.hash if self._durable.seq else "",
            segments=self._segments,
            sealed=self.sealed,
            sealed_records=self._sealed_records(),
            left=self.elsewhere.segments,
            closed=self._seals.closed,
        )

    @property
    def sealed(self) -> int:
        """The highest n so that segments 1…n are marked as sealed."""
        return self._seals.unbroken

    @property
    def elsewhere(self) -> Elsewhere:
        """What is not here any more."""
        return self._seals.elsewhere

    @property
    def _begun(self) -> int:
        """The newest segment's number."""
        return self._before + len(self._extents)

    def _sealed_records(self) -> int:
        """Up to the record before the first that is in no sealed segment."""
        return self._last_of(self.sealed)

    def _last_of(self, number: int) -> int:
        """The last record of a segment that is cut."""
        following = number - self._before
        return self._extents[following].first - 1 if following < len(self._extents) else self._durable.seq

    @property
    def torn_bytes(self) -> int:
        """Bytes of an unacknowledged tail that were cut off when the ledger was opened."""
        return self._torn

    async def changed(self, known: LedgerHead) -> LedgerHead:
        """The head as soon as it differs from `known`; `mark_sealed` alone wakes nobody.

        Raises:
            LedgerFailedError: it will not change any more.
            LedgerClosedError: nor will one that is closed.
        """
        while (now := self.head) == known:
            self._raise_if_failed()
            if self._released:
                raise LedgerClosedError("the ledger is closed")
            await self._progress.wait()
        return now

    async def append(self, *events: Event) -> Position:
        """Record events, one after the other and with one time; returns the last one's position once durable.

        Raises:
            LedgerFailedError: they are not durable, and nothing later will be.
            LedgerClosedError: too late.
            ValueError: an event holds what JSON cannot say; none of the events is recorded.
        """
        self._raise_if_failed()
        if self._closing:
            raise LedgerClosedError("the ledger is closed")
        if not events:
            return self._durable
        group = self._stage(events)
        position = self._staged
        await self._committed(group)
        return position

    async def lines(self, from_seq: int = 1) -> AsyncIterator[bytes]:
        """Durable lines with their line feeds from `from_seq` on, then those that follow as they come.

        Ends when the ledger is closed or released. Holds at most one segment in memory, however slow its reader is.

        Raises:
            SegmentsLeftError: what is to come next is not here any more.
            LedgerFailedError: after the last durable line of a ledger that failed.
        """
        seq, number, offset, at = max(from_seq, 1), 0, 0, 1
        while True:
            if seq > self._durable.seq:
                self._raise_if_failed()
                if self._seals.closed or self._released:
                    return
                await self._progress.wait()
                continue
            self._raise_if_left(seq)
            index = bisect_right(self._extents, seq, key=lambda extent: extent.first) - 1
            extent = self._extents[index]
            if (held := self._before + index + 1) != number:
                number, offset, at = held, 0, extent.first
            end = extent.size
            try:
                content = await asyncio.to_thread(files.read_segment, self._folder, number, offset, end)
            except FileNotFoundError:
                self._raise_if_left(seq)
                raise
            offset = end
            for line in files.split(content):
                if at >= seq:
                    seq = at + 1
                    yield line
                at += 1

    async def cut(self, reason: str) -> None:
        """End the segment being written; returns when it lies there compressed. Nothing to cut is no error."""
        self._raise_if_failed()
        _log.debug("cutting after record %d: %s", self._staged.seq, reason)
        self._request_cut()
        wanted = self._cuts
        while self._segments < wanted:
            self._raise_if_failed()
            await self._progress.wait()

    def segment(self, number: int) -> Path:
        """Where cut segment `number` lies (zstd, one frame).

        Raises:
            NoSuchSegmentError: there is none of this number yet.
        """
        if not 1 <= number <= self._segments:
            raise NoSuchSegmentError(f"segment {number} is not among the {self._segments} that are cut")
        if number <= (elsewhere := self.elsewhere).segments:
            raise SegmentsLeftError(elsewhere.records)
        return files.cut_path(self._folder, number)

    def mark_sealed(self, number: int) -> None:
        """Remember, durably, that segment `number` is in object storage. Any order; again is harmless.

        Blocks for an fsync; may be called from any thread.

        Raises:
            NoSuchSegmentError: it has not been cut.
            LedgerFailedError: the disk refuses. The records are not concerned.
        """
        if 1 <= number <= self.elsewhere.segments:
            return
        self.segment(number)
        self._store_seals(lambda seals: replace(seals, sealed=seals.sealed | {number}))

    def older_than(self, moment: datetime) -> int:
        """The highest n so that each of the segments 1…n is marked as sealed, and ended before `moment`, or has left."""
        number, sealed = self._before, self.sealed
        while number < sealed and self._extents[number - self._before].ended < moment:
            number += 1
        return number

    async def prove_stored(self, first: int, digests: Sequence[str]) -> Elsewhere:
        """Whether what object storage gave back of the segments from `first` on is what lies here; what `let_go` needs.

        Args:
            first: the oldest segment that is here.
            digests: SHA-256 in hexadecimal digits of what was read back, one for each segment.

        Raises:
            SegmentKeptError: it is not, or not proven. Also where one of them is not marked as sealed.
        """
        last = first + len(digests) - 1
        if first != self._before + 1 or not first <= last <= self.sealed:
            raise SegmentKeptError(
                f"segments {first} to {last} are not let go of: {self._before} have left, {self.sealed} are sealed"
            )
        records = self._last_of(last)
        try:
            return await asyncio.to_thread(self._prove, first, digests, records)
        except OSError as error:
            raise SegmentKeptError(f"segments {first} to {last} cannot be read here: {error}") from error

    def _prove(self, first: int, digests: Sequence[str], records: int) -> Elsewhere:
        content = b""
        for number, stored in enumerate(digests, first):
            content = files.cut_path(self._folder, number).read_bytes()
            if (here := hashlib.sha256(content).hexdigest()) != stored:
                raise SegmentKeptError(
                    f"segment {number} stays: it has the digest {here} here, and {stored[:64]} in object storage"
                )
        last = decode(files.split(files.decompress(content))[-1])
        if last.seq != records:
            raise SegmentKeptError(f"segment {number} stays: it ends with record {last.seq}, not {records}")
        return Elsewhere(number, records, last.hash)

    async def let_go(self, proven: Elsewhere) -> None:
        """Remove segments that `prove_stored` found in object storage. One at a time.

        That they are elsewhere is noted durably before the first is touched: the next `open` removes what was not.

        Raises:
            LedgerClosedError: too late.
            LedgerFailedError: the disk refuses to note it; everything stays. The records are not concerned.
        """
        if self._released:
            raise LedgerClosedError("the ledger is closed")
        going = range(self._before + 1, proven.segments + 1)
        await asyncio.to_thread(self._store_seals, lambda seals: seals.without(proven))
        del self._extents[: proven.segments - self._before]
        self._before = proven.segments
        try:
            await asyncio.to_thread(files.remove_segments, self._folder, going)
        except OSError as error:
            _log.warning("segments that have left could not be removed yet: %s", error)

    async def close(self) -> None:
        """Make everything durable, cut the last segment, and let nothing follow. Again is harmless.

        Raises:
            LedgerFailedError: it could not be completed; files and threads are released all the same.
        """
        self._closing = True
        try:
            if not self._seals.closed and not self._released:
                await self.cut("closed")
                await self._in_thread(self._store_seals, lambda seals: replace(seals, closed=True))
        finally:
            await self.release()

    async def release(self) -> None:
        """Let go of files and threads without closing, so that another `open` can go on. Again is harmless.

        What was appended before becomes durable or has failed; readers end.
        """
        self._closing = True
        under_way = [task for task in (self._committing, self._cutting) if task]
        await asyncio.gather(*under_way, return_exceptions=True)
        if self._released:
            return
        self._released = True
        if self._due:
            self._due.cancel()
        self._threads.shutdown(wait=False)
        self._close_raw()
        os.close(self._lock)
        self._wake()

    # staging: what happens at once, in the order of the calls

    def _stage(self, events: tuple[Event, ...]) -> _Group:
        now = asyncio.get_running_loop().time()
        time, position, lines = self._clock(), self._staged, list[tuple[bytes, Position]]()
        for event in events:
            name, payload = _name_and_payload(event)
            line, hashed = encode(
                seq=position.seq + 1,
                time=time,
                identity=self._identity,
                event=name,
                payload=payload,
                prev=position.hash,
            )
            position = Position(position.seq + 1, hashed)
            lines.append((line, position))
        for line, position in lines:
            group = self._add(line, position, now)
            group.time = time
        self._last_append = now
        self._arm_timer()
        return group

    def _add(self, line: bytes, position: Position, now: float) -> _Group:
        size = len(line) + 1
        if self._planned and self._planned + size > SEGMENT_BYTES:
            self._request_cut()
        if not self._planned:
            self._first_append = now
        group = self._gathering()
        group.lines.append(line)
        group.first = group.first or position.seq
        group.last = self._staged = position
        self._planned += size
        return group

    def _gathering(self) -> _Group:
        """The group that is open for more. Where it follows a cut, it is a new one."""
        if not self._queue or self._queue[-1].cut:
            self._queue.append(_Group(asyncio.get_running_loop().create_future()))
            if not self._committing or self._committing.done():
                self._committing = asyncio.create_task(self._commit_all())
        return self._queue[-1]

    def _request_cut(self) -> None:
        if self._planned:
            self._gathering().cut = True
            self._planned = 0
            self._cuts += 1

    def _arm_timer(self) -> None:
        if self._due is None:
            due = min(self._last_append + QUIET_SECONDS, self._first_append + OLDEST_SECONDS)
            self._due = asyncio.get_running_loop().call_at(due, self._cut_if_due, due)

    def _cut_if_due(self, due: float) -> None:
        self._due = None
        if self._failure or not self._planned:
            return
        if due >= min(self._last_append + QUIET_SECONDS, self._first_append + OLDEST_SECONDS):
            self._request_cut()
        else:
            self._arm_timer()

    # committing and cutting: one group, one segment after the other, in threads

    async def _commit_all(self) -> None:
        while self._queue:
            group = self._queue.popleft()
            begins = bool(group.lines) and not self._writing
            if begins:
                self._extents.append(files.Extent(first=group.first, size=0, ended=group.time))
                self._writing = True
            extent = self._extents[-1]
            try:
                extent.size += await self._in_thread(self._write, group, self._begun if begins else 0)
            except BaseException as error:
                self._fail(error, group)
                if isinstance(error, OSError):
                    return
                raise
            self._note_durable(group)

    def _write(self, group: _Group, begun: int) -> int:
        """Write a group in a thread, to a new segment where `begun` is its number; returns its size in bytes."""
        data = b"\n".join((*group.lines, b""))
        if begun:
            self._descriptor = files.create_raw(self._folder, begun)
        assert self._descriptor is not None
        if data:
            durable.write_durably(self._descriptor, data)
        if group.cut:
            self._close_raw()
        return len(data)

    def _note_durable(self, group: _Group) -> None:
        if group.lines:
            self._durable, self._extents[-1].ended = group.last, group.time
        if group.cut:
            self._writing = False
            if not self._cutting or self._cutting.done():
                self._cutting = asyncio.create_task(self._compress_all())
        group.done.set_result(None)
        self._wake()

    async def _compress_all(self) -> None:
        while self._segments < self._begun - self._writing:
            try:
                await self._in_thread(files.compress_raw, self._folder, self._segments + 1)
            except BaseException as error:
                self._fail(error)
                if isinstance(error, OSError):
                    return
                raise
            self._segments += 1
            self._wake()

    def _store_seals(self, change: Callable[[Seals], Seals]) -> None:
        with self._sealing:
            seals = change(self._seals)
            try:
                seals.store(self._folder)
            except OSError as error:
                raise LedgerFailedError(f"the seals in {self._folder} cannot be written: {error}") from error
            self._seals = seals

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def _committed(self, group: _Group) -> None:
        await asyncio.shield(group.done)
        if group.failed:
            self._raise_if_failed()

    # ends

    def _wake(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    def _fail(self, error: BaseException, *groups: _Group) -> None:
        if not self._failure:
            self._failure = LedgerFailedError(f"the ledger in {self._folder} could not be written: {error!r}")
            self._failure.__cause__ = error
            _log.critical("%s; records up to %d are durable", self._failure, self._durable.seq)
        for group in (*groups, *self._queue):
            group.failed = True
            group.done.set_result(None)
        self._queue.clear()
        self._wake()

    def _raise_if_left(self, seq: int) -> None:
        if seq <= (elsewhere := self.elsewhere).records:
            raise SegmentsLeftError(elsewhere.records)

    def _raise_if_failed(self) -> None:
        if self._failure:
            raise LedgerFailedError(str(self._failure)) from self._failure.__cause__

    def _close_raw(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _running_threads(count: int) -> ThreadPoolExecutor:
    """A pool whose threads all run already: later, an agent may have used up what the pod may start."""
    pool = ThreadPoolExecutor(max_workers=count, thread_name_prefix="ledger")
    together = threading.Barrier(count)
    try:
        for begun in [pool.submit(together.wait) for _ in range(count)]:
            begun.result()
    except RuntimeError:
        together.abort()
        raise
    return pool


def _name_and_payload(event: Event) -> tuple[str, dict[str, Any]]:
    if isinstance(event, UnknownEvent):
        return event.name, event.payload
    return event.event, event.model_dump(mode="json", by_alias=True)


def _lock(folder: Path) -> int:
    """Hold the folder for as long as the descriptor is open, however the process ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise LedgerBusyError(f"the ledger in {folder} is open elsewhere") from error
    return descriptor


def _check_owner(folder: Path, identity: Identity) -> None:
    first = next(files.stored_lines(folder), b"")
    try:
        owner = decode(first).agent_id
    except MalformedRecordError:
        return  # empty, torn, or damaged: recovery says which
    if owner != identity.agent_id:
        raise LedgerCorruptError(f"the ledger in {folder} belongs to {owner}, not to {identity.agent_id}")
