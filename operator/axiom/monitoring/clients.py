"""What operator and gateway measure alike: calls to the API server, watches, and the certificates that they use."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography import x509

from axiom.cluster.resources import AGENT_CLASSES, AGENT_TASKS, PODS, VERIFICATION_PROFILES
from axiom.monitoring.instruments import Instruments, closed

log = logging.getLogger(__name__)

_API_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_VERBS = ("get", "list", "create", "update", "patch", "delete", "deletecollection")
_OUTCOMES = ("Ok", "NotFound", "Conflict", "AlreadyExists", "Refused", "Unavailable")
_CERTIFICATES = {"channel": "tls.crt", "channel-authority": "ca.crt"}


class ApiCalls:
    """Calls of `cluster.api.Api`."""

    def __init__(self, instruments: Instruments) -> None:
        self._requests = instruments.counter(
            "axiom_api_requests",
            "Calls to the API server by what came of them; watches are not among them.",
            closed("verb", _VERBS),
            closed("outcome", _OUTCOMES),
        )
        self._seconds = instruments.histogram(
            "axiom_api_request_seconds",
            "From a call to the API server to its answer.",
            closed("verb", _VERBS),
            buckets=_API_SECONDS,
        )

    def note(self, verb: str, error: Exception | None, seconds: float) -> None:
        """One call was answered, or not."""
        outcome = type(error).__name__.removesuffix("Error") if error else "Ok"
        self._requests.labels(verb, outcome).inc()
        self._seconds.labels(verb).observe(seconds)


class Watches:
    """What the watches bring to `cluster.watching.Watcher`."""

    def __init__(self, instruments: Instruments) -> None:
        resources = closed(
            "resource", (kind.plural for kind in (AGENT_TASKS, AGENT_CLASSES, VERIFICATION_PROFILES, PODS))
        )
        self._events = instruments.counter(
            "axiom_watch_events", "Changes that a watch brought, and objects of its lists.", resources
        )
        self._lists = instruments.counter(
            "axiom_watch_restarts",
            "Times that a watch began anew with a list that had objects in it: once at the start, later after trouble.",
            resources,
        )
        self._resyncs = instruments.counter(
            "axiom_watch_resyncs",
            "Comparisons of everything that is cached with the API server.",
            closed("outcome", ("Ok", "Failed")),
        )
        self._missed = instruments.counter(
            "axiom_watch_missed",
            "Objects that such a comparison brought and no watch had; few are changes on their way, many a watch that stalls.",
            resources,
        )
        self._listing: set[str] = set()

    def note_event(self, resource: str, *, is_listed: bool) -> None:
        """A watch brought an object; `is_listed`: as part of the list that it begins with."""
        self._events.labels(resource).inc()
        if is_listed and resource not in self._listing:
            self._lists.labels(resource).inc()
            self._listing.add(resource)
        elif not is_listed:
            self._listing.discard(resource)

    def note_resync(self, *, is_done: bool) -> None:
        """A comparison ended."""
        self._resyncs.labels("Ok" if is_done else "Failed").inc()

    def note_missed(self, resource: str, number: int) -> None:
        """A comparison brought so many objects."""
        self._missed.labels(resource).inc(number)


def watch_certificates(instruments: Instruments, folder: Path | None) -> None:
    """Measures when the channel's certificates in this folder run out; read anew each time, as they are replaced there."""

    def samples() -> Iterable[tuple[Sequence[str], float]]:
        for name, file in _CERTIFICATES.items():
            if folder is not None and (expiry := _expiry(folder / file)) is not None:
                yield (name,), expiry

    instruments.computed(
        "axiom_certificate_expiry_timestamp_seconds",
        "When a certificate runs out with which sandboxes know the control plane.",
        closed("certificate", _CERTIFICATES),
        samples=samples,
    )


def _expiry(file: Path) -> float | None:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError) as error:
        log.warning("when %s runs out cannot be told: %s", file, error)
        return None
