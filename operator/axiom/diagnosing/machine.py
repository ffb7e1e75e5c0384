"""Whether this machine can run `axiom run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from axiom.backends.bubblewrap import find_bubblewrap
from axiom.backends.contract import CannotRunError
from axiom.backends.docker_daemon import connect
from axiom.backends.host import find_launcher
from axiom.diagnosing.findings import Fault, Finding, Level, good, note, problem

Attempt = Callable[[], str]
"""Says what was found, or raises CannotRunError with the cure."""


def _launcher() -> str:
    return str(find_launcher())


def _docker() -> str:
    client = connect()
    try:
        return f"Docker {client.version()['Version']}"
    finally:
        client.close()


BACKENDS: Mapping[str, Attempt] = {"bubblewrap": find_bubblewrap, "docker": _docker}
"""Each makes sandboxes by itself."""


def diagnose_machine(
    launcher: Attempt = _launcher, backends: Mapping[str, Attempt] = BACKENDS
) -> Iterator[Finding]:
    """Tries what a local run would try: it needs the launcher, and one of the backends."""
    yield _tried("launcher", launcher)
    tried = [_tried(name, attempt) for name, attempt in backends.items()]
    one_works = any(finding.level is Level.GOOD for finding in tried)
    for finding in tried:
        is_spare = one_works and finding.level is Level.PROBLEM
        yield note(finding.subject, f"not needed here: {finding.what}") if is_spare else finding


def _tried(subject: str, attempt: Attempt) -> Finding:
    try:
        return good(f"this machine: {subject}", attempt())
    except CannotRunError as error:
        return problem(f"this machine: {subject}", str(error), Fault.NO_SANDBOXES_HERE)
