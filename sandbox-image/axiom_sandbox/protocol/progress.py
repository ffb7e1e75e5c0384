"""How much of something large was done so far."""

from __future__ import annotations

from axiom_sandbox.protocol.model import Message


class Progress(Message):
    """A stage, and what went through it so far."""

    stage: str
    """What happens: `fetching`, `packing`, …"""
    bytes: int = 0
    files: int = 0

    @property
    def text(self) -> str:
        """`packing: 1,200 files, 34.5 MB so far`."""
        parts = [f"{self.files:,} files"] if self.files else []
        if self.bytes or not parts:
            parts.append(f"{self.bytes / 1e6:,.1f} MB")
        return f"{self.stage}: {', '.join(parts)} so far"
