"""`axiom-sandbox stop`, the hook of a pod's end: passes it on to the supervisor, which is the container's first process.

The supervisor then kills everything untrusted, closes the ledger, leaves the gateway time to seal it, and ends the
untrusted container; Kubernetes waits for that.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

_FIRST_PROCESS = 1
_PATIENCE_SECONDS = 20.0
_INTERVAL_SECONDS = 0.05


def stop(channel_socket: Path, end: Callable[[], None] | None = None) -> bool:
    """Ends the supervisor once it listens: before that, it would not hear. False if it does not within 20 s."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while not listens(channel_socket):
        if time.monotonic() > until:
            return False
        time.sleep(_INTERVAL_SECONDS)
    (end or _terminate)()
    return True


def listens(channel_socket: Path) -> bool:
    """Whether somebody answers at the socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(channel_socket))
        except OSError:
            return False
    return True


def _terminate() -> None:
    os.kill(_FIRST_PROCESS, signal.SIGTERM)
