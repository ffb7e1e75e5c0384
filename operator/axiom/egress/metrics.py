"""What the egress proxy counts. No label holds anything that an agent chose."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """One registry for each proxy, so that several live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "axiom_egress_requests",
            "Requests that reached a route.",
            ["route", "status"],
            registry=self.registry,
        )
        self._denials = Counter(
            "axiom_egress_denials", "Requests that the proxy refused.", ["reason"], registry=self.registry
        )
        self._bytes = Counter(
            "axiom_egress_bytes", "Bytes of bodies.", ["route", "direction"], registry=self.registry
        )
        self._seconds = Histogram(
            "axiom_egress_request_duration_seconds",
            "From the request's first line to the answer's last byte.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.open_requests = Gauge(
            "axiom_egress_open_requests", "Requests that are being served.", registry=self.registry
        )

    def count_request(self, route: str, status: int, up: int, down: int, seconds: float) -> None:
        """A request that reached a route; `status` as the agent saw it, bytes of both bodies."""
        self._requests.labels(route, f"{status // 100}xx").inc()
        self._bytes.labels(route, "up").inc(up)
        self._bytes.labels(route, "down").inc(down)
        self._seconds.labels(route).observe(seconds)

    def count_denial(self, reason: str) -> None:
        """A request that the proxy answered itself."""
        self._denials.labels(reason).inc()

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
