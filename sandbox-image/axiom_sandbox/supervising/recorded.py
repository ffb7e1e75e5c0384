"""What an agent's sandbox recorded, from its first record on, also where that has left for object storage: then it is brought back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from axiom_sandbox.ledger.checking import Elsewhere
from axiom_sandbox.ledger.errors import LedgerCorruptError
from axiom_sandbox.ledger.returned import LARGEST_SEGMENT, Returned
from axiom_sandbox.supervising.recalling import Account
from axiom_sandbox.supervising.sandbox import RefusedError, Sandbox


class Recorded:
    """Of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.account = Account(sandbox.ledger)
        """What the agent did; complete up to what has left."""
        self._returned: Returned | None = None
        """Takes back what has left the ledger, while that is awaited."""
        self._brought: list[bytes] = []
        """Lines of segments that came back, and were not read yet."""

    @property
    def is_minded(self) -> bool:
        """What the agent did is known of all that has left."""
        return self.account.records >= self._sandbox.ledger.elsewhere.records

    async def lines(self) -> AsyncIterator[bytes]:
        """Every line that is durable now, from the first on. Raises SandboxFailedError at the deadline."""
        ledger = self._sandbox.ledger
        last, elsewhere = ledger.head.records, ledger.elsewhere
        if elsewhere.segments:
            async for line in self._brought_back(elsewhere):
                self.account.take(line)
                yield line
        if (at := elsewhere.records) < last:
            async for line in ledger.lines(at + 1):
                yield line
                at += 1
                if at >= last:
                    break

    async def _brought_back(self, elsewhere: Elsewhere) -> AsyncIterator[bytes]:
        returned = self._returned = Returned(elsewhere)
        board = self._sandbox.board
        board.update(awaits_segment=1)
        try:
            while self._brought or returned.wanted <= elsewhere.segments:
                await self._sandbox.wait_until(
                    lambda: bool(self._brought),
                    f"segment {returned.wanted} of the ledger was awaited, which is in object storage alone",
                )
                lines, self._brought = self._brought, []
                for line in lines:
                    yield line
        finally:
            self._returned = None
            board.update(awaits_segment=0)

    async def receive(self, number: int, chunks: AsyncIterator[bytes]) -> None:
        """Takes back the segment that is awaited. Several gateways may bring it at once. Raises RefusedError."""
        packed = bytearray()
        async for chunk in chunks:
            packed += chunk
            if len(packed) > LARGEST_SEGMENT:
                raise RefusedError(f"segment {number} is larger than any segment is")
        returned = self._returned
        if returned is None or number != returned.wanted:
            raise RefusedError(f"segment {number} is not awaited")
        try:
            self._brought += returned.take(bytes(packed))
        except LedgerCorruptError as error:
            raise RefusedError(str(error)) from error
        self._sandbox.board.show(awaits_segment=returned.wanted)
        self._sandbox.arrived.set()
