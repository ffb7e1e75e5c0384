"""What Prometheus sees of the gateway."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """The gateway's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sandboxes = Gauge(
            "axiom_gateway_sandboxes", "Sandboxes that are being carried for.", registry=self.registry
        )
        self.sealed = Counter(
            "axiom_gateway_sealed", "Objects put into storage, by kind.", ("kind",), registry=self.registry
        )
        self.errors = Counter(
            "axiom_gateway_errors",
            "Times that carrying was interrupted, by the kind of error.",
            ("kind",),
            registry=self.registry,
        )
        self.streams = Gauge("axiom_gateway_streams", "Event streams that are open.", registry=self.registry)

    def note_sealed(self, kind: str) -> None:
        """One object more."""
        self.sealed.labels(kind).inc()

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
