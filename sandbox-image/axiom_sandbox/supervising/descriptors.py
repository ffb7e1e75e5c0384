"""Reading and writing pipes and terminals whose other side may be slow, hostile or dead, without a thread that could hang."""

from __future__ import annotations

import asyncio
import os


async def write_all(fd: int, data: bytes) -> bool:
    """Writes everything, as fast as it is read. False if the other side closed first. The descriptor stays open."""
    os.set_blocking(fd, False)
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            await _writable(fd)
        except OSError:  # EPIPE, or EIO from a terminal that hung up
            return False
    return True


async def read_some(fd: int, most: int = 64 * 1024) -> bytes:
    """What is there as soon as something is; empty at the end. The descriptor stays open."""
    os.set_blocking(fd, False)
    while True:
        try:
            return os.read(fd, most)
        except BlockingIOError:
            await _readable(fd)
        except OSError:
            return b""


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
