"""The port through which a verification has things done outside. Implemented over the channel; nothing here knows how."""

from __future__ import annotations

from typing import Protocol

from axiom_sandbox.protocol.errands import Errand, Reply


class Messenger(Protocol):
    """Whoever goes where the clean room cannot."""

    async def send(self, errand: Errand) -> Reply:
        """Has it done; `NotDone` where nobody could. Never raises for what happens outside."""
        ...
