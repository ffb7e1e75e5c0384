"""docs/reference/metrics.md: every metric of every process, from the registries themselves."""

from __future__ import annotations

from axiom.egress.metrics import Metrics as EgressMetrics
from axiom.gateway.metrics import Metrics as GatewayMetrics
from axiom.monitoring.instruments import Definition, Kind, Label, Process
from axiom.reconciling.metrics import Metrics as OperatorMetrics

_INTRODUCTION = """\
<!-- Generated from the metrics of operator, gateway and egress proxy by `make generate`; change them there. -->
# Metrics

What the three programs of the control plane show under `/metrics`; [monitoring](../monitoring.md) says how to have it
scraped, and what dashboards and alerts there are. Sandboxes show no metrics: what is known of them, the operator tells.

- No label names a task, a namespace or anything else that an agent or the author of a task chooses.
- `None` as a label's value means that there is nothing to name: no verdict, no claim, no such class.
- A metric whose labels all have listed values is there from the start, with 0.
- A histogram `x` is the series `x_bucket`, `x_sum` and `x_count`; the upper bounds of its buckets are given.
- Counters begin again at 0 when their process does: ask for `rate` and `increase`, not for the value.
- Each process has Prometheus' own [`process_*` metrics][process], too: memory, CPU, open files, start.

[process]: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
"""

_TITLES = {
    Process.OPERATOR: (
        "Operator",
        "Port 9090. The one that holds the Lease counts; another waits and shows zeros.",
    ),
    Process.GATEWAY: ("Gateway", "Port 9091. Each replica carries for every sandbox, so compare replicas."),
    Process.EGRESS: (
        "Egress proxy",
        "Port 8789. A request is counted by the replica that served it: add them up.",
    ),
}


def definitions() -> tuple[Definition, ...]:
    """All metrics, by process."""
    return (
        *OperatorMetrics().definitions,
        *GatewayMetrics().definitions,
        *EgressMetrics().definitions,
    )


def catalogue() -> str:
    """The whole page."""
    found = definitions()
    sections = [_section(process, [item for item in found if item.process is process]) for process in Process]
    return "\n".join([_INTRODUCTION, *sections])


def _section(process: Process, found: list[Definition]) -> str:
    title, about = _TITLES[process]
    lines = [f"## {title}", "", about, ""]
    for item in sorted(found, key=lambda item: item.name):
        unit = f", {item.unit}" if item.unit else ""
        lines += [f"### {item.name}", "", f"{item.kind.value.capitalize()}{unit}. {item.meaning}", ""]
        lines += [f"- `{label.name}`: {_values(label)}" for label in item.labels]
        if item.kind is Kind.HISTOGRAM:
            lines.append(f"- buckets: {', '.join(f'{bound:g}' for bound in item.buckets)}")
        if lines[-1]:
            lines.append("")
    return "\n".join(lines)


def _values(label: Label) -> str:
    if not label.values:
        return f"bounded by {label.bounded_by}"
    return label.bounded_by or ", ".join(f"`{value}`" for value in label.values)
