"""The browser's side: takes one picture after the other for who is at its socket, and leaves nothing between two.

`axiom-sandbox browse` listens at a Unix socket, in a container that the untrusted side shares no volume with: there is no port to
reach. `axiom-sandbox browse --once` takes one picture for the socket at its standard input, in a room made for it; then it ends.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from axiom_sandbox.pages.chromium import find_chromium, take
from axiom_sandbox.pages.devtools import BrowserError
from axiom_sandbox.pages.wire import Taken
from axiom_sandbox.protocol.pages import BROWSER_SOCKET, Shot, Shown
from axiom_sandbox.terminal.drawing_wire import read_message

_ASKING_SECONDS = 10.0
_ANSWERING_SECONDS = 30.0


def main(arguments: list[str]) -> None:
    """The command line; ends with the process."""
    if arguments == ["--once"]:
        with socket.socket(fileno=os.dup(0)) as peer:
            serve(peer)
        return
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    listen(Path(BROWSER_SOCKET))


def listen(path: Path, goes_on: Callable[[], bool] = lambda: True) -> None:
    """Serves whoever connects, one after the other."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o666)  # the supervisor is another user; nobody else mounts this volume
        listener.listen(4)
        while goes_on():
            peer, _ = listener.accept()
            with peer:
                serve(peer)
            _leave_nothing()


def serve(peer: socket.socket) -> None:
    """One picture, as far as the peer wants it."""
    peer.settimeout(_ASKING_SECONDS)
    with suppress(OSError, ValidationError):
        with peer.makefile("rb") as stream:
            body = read_message(stream)
        if body is None:
            return
        taken = _taken(Shot.model_validate_json(body), peer)
        peer.settimeout(_ANSWERING_SECONDS)
        peer.sendall(taken.to_bytes())


def _taken(shot: Shot, peer: socket.socket) -> Taken:
    try:
        program = find_chromium()
        if not shot.tunnel:
            return take(shot, program, Path(tempfile.gettempdir()))
        with socket.create_server(("127.0.0.1", 0), backlog=64) as door:
            socket.send_fds(peer, [b"\0"], [door.fileno()])
            port = door.getsockname()[1]
            return take(shot, program, Path(tempfile.gettempdir()), f"socks5://127.0.0.1:{port}")
    except BrowserError as error:
        return Taken(Shown(error=str(error)))


def _leave_nothing() -> None:
    """What a page started must not see the next one. In a container this process is the first, and all others are the page's."""
    if os.getpid() != 1:
        return
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with suppress(ChildProcessError):
        while os.waitpid(-1, 0):
            pass


if __name__ == "__main__":
    main(sys.argv[1:])
