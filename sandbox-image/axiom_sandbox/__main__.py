"""`axiom-sandbox run`: the trusted side of one sandbox. `stop` serves a pod's end, `browse` takes pictures of pages.

Each verb imports only what it needs: the start of a pod waits for it.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """The command line."""
    match sys.argv[1:]:
        case ["run"]:
            _run()
        case ["run", "--told", role]:
            _run(role)
        case ["stop"]:
            from axiom_sandbox.installing import CHANNEL_SOCKET
            from axiom_sandbox.stopping import stop

            sys.exit(None if stop(CHANNEL_SOCKET) else "the supervisor does not answer")
        case ["browse", *arguments]:
            from axiom_sandbox.pages.serving import main as browse

            browse(arguments)
        case _:
            sys.exit("usage: axiom-sandbox run | stop | browse")


def _run(role: str = "") -> None:
    """With a role, all that it needs is loaded before the settings are read from standard input."""
    # The first process of a container does not hear SIGTERM until it asks to.
    signal.signal(signal.SIGTERM, _leave)
    import asyncio
    import os

    from axiom_sandbox.installing import wait_until_installed
    from axiom_sandbox.protocol.identity import Role
    from axiom_sandbox.supervising.running import sandbox_class, supervise
    from axiom_sandbox.supervising.settings import SETTINGS_VARIABLE, SandboxSettings

    if role:
        sandbox_class(Role(role))
    told = _told() if role else os.environ[SETTINGS_VARIABLE]
    settings = SandboxSettings.model_validate_json(told)
    make = sandbox_class(settings.identity.role)
    if settings.tls:
        wait_until_installed(settings.tls.client_ca)
    asyncio.run(supervise(make, settings))


def _told() -> str:
    """One line: the settings, and where what goes wrong is to be written. Nobody tells: it is not needed."""
    import json
    import os

    if not (line := sys.stdin.readline()):
        sys.exit(0)
    settings, log = json.loads(line)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    return str(settings)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
