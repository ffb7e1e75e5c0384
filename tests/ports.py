"""Ports of this machine for servers that have to be told theirs."""

from __future__ import annotations

import errno
import secrets
import socket

_LOWEST, _NUMBER = 20_000, 10_000
"""Below them are well-known ones, above them those of NodePorts and of the kernel's choice."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now, outside of those that the kernel gives to connections and to whoever asks for any:
    so nobody gets it before it is used, or while who uses it is started again."""
    while True:
        port = _LOWEST + secrets.randbelow(_NUMBER)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            return port
