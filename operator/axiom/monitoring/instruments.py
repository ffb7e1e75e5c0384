"""Makes a process's metrics, and remembers what each of them is: the catalogue is generated from that.

Every label is declared with all its values, or with what bounds them. Tasks and namespaces are never labels: their number
is not bounded. Series whose labels are all closed exist from the start, at 0, so that a rate sees the first event, too.
"""

from __future__ import annotations

import itertools
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from axiom_sandbox import VERSION

_MOST_SERIES_AT_START = 100


class Process(StrEnum):
    """Whose metrics they are; the value of the label `component`."""

    OPERATOR = "operator"
    GATEWAY = "gateway"
    EGRESS = "egress"


class Kind(StrEnum):
    """Prometheus' types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Label:
    """A label, and what it can be."""

    name: str
    values: tuple[str, ...] = ()
    """All values; empty where the installation decides, as `bounded_by` says."""
    bounded_by: str = ""
    """What keeps the number of values small, where they are not listed, or where a list of them stands."""


def closed(name: str, values: Iterable[str], listed_in: str = "") -> Label:
    """A label with these values and no others; for many of them `listed_in` names (Markdown) where they are explained."""
    return Label(name, tuple(str(value) for value in values), listed_in)


AGENT_CLASS = Label("agent_class", bounded_by="the AgentClasses of the cluster")


@dataclass(frozen=True)
class Definition:
    """One metric."""

    process: Process
    name: str
    """As Prometheus shows it: counters with _total; histograms without _bucket, _sum, _count."""
    kind: Kind
    meaning: str
    labels: tuple[Label, ...]
    buckets: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """What its name says that it counts: a base unit, or things."""
        name = self.name.removesuffix("_total")
        for suffix, unit in _UNITS.items():
            if name.endswith(suffix):
                return unit
        return ""


_UNITS = {"_timestamp_seconds": "Unix time in s", "_seconds": "s", "_bytes": "bytes", "_usd": "US dollars"}

Samples = Callable[[], Iterable[tuple[Sequence[str], float]]]
"""Gives a gauge's values when somebody asks: the labels' values, and the number."""


class Instruments:
    """The metrics of one process, in a registry of their own: several live in one process of a test."""

    def __init__(self, process: Process) -> None:
        # a gauge of its own beside each series, which nobody here asks for
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.definitions: list[Definition] = []
        self._process = process
        ProcessCollector(registry=self.registry)
        info = self.gauge(
            "axiom_build_info",
            "1: this process answers, and what it is.",
            closed("component", [process]),
            Label("version", bounded_by="the releases that run"),
            Label("python", bounded_by="the releases that run"),
        )
        info.labels(process.value, VERSION, platform.python_version()).set(1)

    def counter(self, name: str, meaning: str, *labels: Label) -> Counter:
        """A counter; the name without _total."""
        self._define(f"{name}_total", Kind.COUNTER, meaning, labels)
        made = Counter(name, meaning, [label.name for label in labels], registry=self.registry)
        for values in _at_start(labels):
            made.labels(*values)
        return made

    def gauge(self, name: str, meaning: str, *labels: Label) -> Gauge:
        """A gauge that is set."""
        self._define(name, Kind.GAUGE, meaning, labels)
        made = Gauge(name, meaning, [label.name for label in labels], registry=self.registry)
        for values in _at_start(labels):
            made.labels(*values)
        return made

    def computed(self, name: str, meaning: str, *labels: Label, samples: Samples) -> None:
        """A gauge that is computed whenever somebody asks."""
        self._define(name, Kind.GAUGE, meaning, labels)
        self.registry.register(_Computed(name, meaning, [label.name for label in labels], samples))

    def histogram(self, name: str, meaning: str, *labels: Label, buckets: Sequence[float]) -> Histogram:
        """A histogram; the buckets' upper bounds, without infinity."""
        self._define(name, Kind.HISTOGRAM, meaning, labels, tuple(buckets))
        made = Histogram(
            name, meaning, [label.name for label in labels], buckets=tuple(buckets), registry=self.registry
        )
        for values in _at_start(labels):
            made.labels(*values)
        return made

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def _define(
        self,
        name: str,
        kind: Kind,
        meaning: str,
        labels: tuple[Label, ...],
        buckets: tuple[float, ...] = (),
    ) -> None:
        self.definitions.append(Definition(self._process, name, kind, meaning, labels, buckets))


class _Computed(Collector):
    def __init__(self, name: str, meaning: str, labels: list[str], samples: Samples) -> None:
        self._name, self._meaning, self._labels, self._samples = name, meaning, labels, samples

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [GaugeMetricFamily(self._name, self._meaning, labels=self._labels)]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._meaning, labels=self._labels)
        for values, number in self._samples():
            family.add_metric(list(values), number)
        yield family


def _at_start(labels: tuple[Label, ...]) -> list[tuple[str, ...]]:
    """Every combination of values, where all labels are closed and they are not too many."""
    if not labels or not all(label.values for label in labels):
        return []
    found = list(
        itertools.islice(itertools.product(*(label.values for label in labels)), _MOST_SERIES_AT_START + 1)
    )
    return found if len(found) <= _MOST_SERIES_AT_START else []
