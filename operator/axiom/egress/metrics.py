"""What the egress proxy counts. No label holds anything that an agent chose."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from axiom.api.usage import MICROS
from axiom.egress.accounting import Charge
from axiom.egress.errors import Refusal
from axiom.egress.metering import Certainty
from axiom.egress.model_apis import Tokens
from axiom.monitoring.instruments import AGENT_CLASS, Instruments, Label, Process, closed
from axiom_sandbox.signals.injections import HIDDEN, RULES

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_ADMISSION_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_ROUTE = Label("route", bounded_by="the routes of the AgentClasses")


class Metrics:
    """One registry for each proxy, so that several live in one process."""

    def __init__(self) -> None:
        self._instruments = instruments = Instruments(Process.EGRESS)
        self.registry, self.definitions = instruments.registry, instruments.definitions
        self._is_ready: Callable[[], bool] = lambda: False
        self._requests = instruments.counter(
            "axiom_egress_requests",
            "Requests that reached a route, by the answer that the agent got.",
            AGENT_CLASS,
            _ROUTE,
            closed("status", ("1xx", "2xx", "3xx", "4xx", "5xx")),
        )
        self._denials = instruments.counter(
            "axiom_egress_denials",
            "Requests that the proxy refused, or answers that it had to break off.",
            closed("reason", Refusal),
        )
        self._bytes = instruments.counter(
            "axiom_egress_bytes",
            "Bytes of bodies: up is the agent's requests, down the vendor's answers.",
            AGENT_CLASS,
            _ROUTE,
            closed("direction", ("up", "down")),
        )
        self._seconds = instruments.histogram(
            "axiom_egress_request_duration_seconds",
            "From the request's first line to the answer's last byte.",
            AGENT_CLASS,
            _ROUTE,
            buckets=_SECONDS,
        )
        self.admission_seconds = instruments.histogram(
            "axiom_egress_admission_seconds",
            "What the proxy adds: from a request's first line until the vendor is asked.",
            buckets=_ADMISSION_SECONDS,
        )
        self.open_requests = instruments.gauge(
            "axiom_egress_open_requests", "Requests that are being served."
        )
        instruments.computed(
            "axiom_egress_ready",
            "1: the proxy knows the cluster and serves agents.",
            samples=lambda: [((), float(self._is_ready()))],
        )

        self._tokens = instruments.counter(
            "axiom_egress_tokens",
            "Tokens of models' answers.",
            AGENT_CLASS,
            Label("model", bounded_by="the prices of the AgentClasses: as a price names it, else `other`"),
            closed("kind", Tokens._fields),
        )
        self._cost = instruments.counter(
            "axiom_egress_cost_usd", "What models' answers cost, at the prices of their class.", AGENT_CLASS
        )
        self._readings = instruments.counter(
            "axiom_egress_usage_readings",
            "Models' answers, by how their usage is known: told by the vendor, estimated because they broke off,"
            " untold although they ended in order.",
            AGENT_CLASS,
            closed("certainty", (certainty.name.lower() for certainty in Certainty)),
        )

        self._signals = instruments.counter(
            "axiom_egress_signals",
            "Plain pages and answers of services that mean to talk a model into something, by the rule that found it.",
            AGENT_CLASS,
            closed("rule", (*(rule.id for rule in RULES), HIDDEN)),
        )

    def watch(self, is_ready: Callable[[], bool]) -> None:
        """From now on the metrics tell whether the proxy is ready."""
        self._is_ready = is_ready

    def count_request(
        self, agent_class: str, route: str, status: int, up: int, down: int, seconds: float
    ) -> None:
        """A request that reached a route; `status` as the agent saw it, bytes of both bodies."""
        self._requests.labels(agent_class, route, f"{status // 100}xx").inc()
        self._bytes.labels(agent_class, route, "up").inc(up)
        self._bytes.labels(agent_class, route, "down").inc(down)
        self._seconds.labels(agent_class, route).observe(seconds)

    def count_usage(self, agent_class: str, certainty: Certainty, charge: Charge) -> None:
        """An answer of a model that was put on an account."""
        self._readings.labels(agent_class, certainty.name.lower()).inc()
        for kind, number in charge.tokens._asdict().items():
            self._tokens.labels(agent_class, charge.model, kind).inc(number)
        self._cost.labels(agent_class).inc(charge.cost / MICROS)

    def count_signals(self, agent_class: str, rules: Iterable[str]) -> None:
        """What an answer was noticed for."""
        for rule in rules:
            self._signals.labels(agent_class, rule).inc()

    def count_denial(self, reason: str) -> None:
        """A request that the proxy answered itself."""
        self._denials.labels(reason).inc()

    def render(self) -> bytes:
        """Prometheus' text format."""
        return self._instruments.render()
