"""What Prometheus sees of the gateway. Of several gateways each carries for every sandbox: compare them, do not add them up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from axiom.monitoring.clients import ApiCalls, Watches, watch_certificates
from axiom.monitoring.instruments import Instruments, Label, Process, closed
from axiom_sandbox.protocol.channel import SandboxState

_STORAGE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_OPERATIONS = ("put", "get", "fetch", "stat", "list")
_RESULTS = ("Ok", "Missing", "Conflict", "Corrupt", "Unavailable", "Unsuitable")
_USUAL_ERRORS = ("ChannelError", "UnavailableError", "ConflictError", "RefusedError", "OSError")
_PAGES = ("events", "diff", "recording", "screenshot", "interventions")


@dataclass
class _Carried:
    """What is known of a sandbox's ledger."""

    state: SandboxState
    waits_since: float | None
    """Since when a segment is cut and none was sealed."""


class Metrics:
    """The gateway's metrics, in a registry of their own."""

    def __init__(self, channel_tls: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`channel_tls`: the folder of the channel's certificates; None where there are none to watch."""
        self._instruments = instruments = Instruments(Process.GATEWAY)
        self.registry, self.definitions = instruments.registry, instruments.definitions
        self._clock = clock
        self._carried: dict[str, _Carried] = {}
        self.api, self.watches = ApiCalls(instruments), Watches(instruments)
        watch_certificates(instruments, channel_tls)
        self.sandboxes = instruments.gauge("axiom_gateway_sandboxes", "Sandboxes that are being carried for.")
        self.streams = instruments.gauge("axiom_gateway_streams", "Event streams that are open.")
        self._make_ledgers(instruments)
        self._make_storage(instruments)
        self.errors = instruments.counter(
            "axiom_gateway_errors",
            "Times that carrying was interrupted, by the kind of error.",
            Label("kind", bounded_by="the kinds of errors in the code"),
        )
        for kind in _USUAL_ERRORS:
            self.errors.labels(kind)
        self.requests = instruments.counter(
            "axiom_gateway_requests",
            "What people asked for, by how it was answered; a stream counts when it ends.",
            Label("page", bounded_by="the gateway's routes"),
            closed("code", ("2xx", "3xx", "4xx", "5xx")),
        )
        for page in _PAGES:
            self.requests.labels(page, "2xx")

    def _make_ledgers(self, instruments: Instruments) -> None:
        self.sealed = instruments.counter(
            "axiom_gateway_objects_sealed",
            "Objects put into storage and confirmed to their sandbox.",
            closed("kind", ("segment", "blob")),
        )
        instruments.computed(
            "axiom_gateway_unsealed_records",
            "Records that are durable in a sandbox and not in storage, as the sandboxes last told, at most 30 s ago.",
            samples=lambda: [((), sum(_unsealed(item.state) for item in self._carried.values()))],
        )
        instruments.computed(
            "axiom_gateway_unsealed_segments",
            "Segments that are cut and not in storage; it should be near 0.",
            samples=lambda: [
                (
                    (),
                    sum(
                        item.state.ledger.segments - item.state.ledger.sealed
                        for item in self._carried.values()
                    ),
                )
            ],
        )
        instruments.computed(
            "axiom_gateway_ledger_lag_seconds",
            "The longest that a sandbox has had segments waiting without one more being sealed.",
            samples=self._lag,
        )
        self._lost_ledgers = instruments.counter(
            "axiom_gateway_ledgers_lost",
            "Sandboxes that were gone before all of their evidence was sealed: this gateway ended their ledgers with a gap.",
        )
        self._lost_records = instruments.counter(
            "axiom_gateway_records_lost",
            "Records that such sandboxes had durable and not sealed, where this gateway had heard of them.",
        )

    def _make_storage(self, instruments: Instruments) -> None:
        self._operations = instruments.counter(
            "axiom_storage_operations",
            "Operations of object storage, by what came of them after all tries; put and Conflict: other content lies there.",
            closed("operation", _OPERATIONS),
            closed("result", _RESULTS),
        )
        self._storage_seconds = instruments.histogram(
            "axiom_storage_operation_seconds",
            "How long they took, with further tries.",
            closed("operation", _OPERATIONS),
            buckets=_STORAGE_SECONDS,
        )
        self._storage_bytes = instruments.counter(
            "axiom_storage_bytes",
            "Bytes of objects that were put or read.",
            closed("direction", ("up", "down")),
        )

    def note_sealed(self, kind: str) -> None:
        """One object more."""
        self.sealed.labels(kind).inc()

    def note_storage(self, operation: str, error: Exception | None, seconds: float) -> None:
        """One operation ended."""
        result = type(error).__name__.removesuffix("Error") if error else "Ok"
        self._operations.labels(operation, result).inc()
        self._storage_seconds.labels(operation).observe(seconds)

    def note_bytes(self, direction: str, number: int) -> None:
        """So many bytes went `up` into storage or came `down`."""
        self._storage_bytes.labels(direction).inc(number)

    def note_state(self, pod: str, state: SandboxState) -> None:
        """What the trusted side in the pod of this UID says."""
        known, waits = self._carried.get(pod), state.ledger.segments > state.ledger.sealed
        stands_still = known is not None and known.state.ledger.sealed == state.ledger.sealed
        since = known.waits_since if known is not None and stands_still else None
        self._carried[pod] = _Carried(
            state, (since if since is not None else self._clock()) if waits else None
        )

    def note_gone(self, pod: str) -> None:
        """Nothing more is carried for this pod: everything is sealed, or it is gone."""
        self._carried.pop(pod, None)

    def note_lost(self, state: SandboxState | None) -> None:
        """A ledger was ended for a sandbox that is gone; `state` is the last that it told, None where it never did."""
        self._lost_ledgers.inc()
        if state is not None:
            self._lost_records.inc(_unsealed(state))

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return self._instruments.render()

    def _lag(self) -> Iterable[tuple[Sequence[str], float]]:
        since = [item.waits_since for item in self._carried.values() if item.waits_since is not None]
        return [((), self._clock() - min(since) if since else 0)]


def _unsealed(state: SandboxState) -> int:
    return max(state.ledger.records - state.ledger.sealed_records, 0)
