"""The catalogue of metrics is whole, its names are Prometheus' own way, and its labels are bounded."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from axiom.api.generating import main
from axiom.egress.metrics import Metrics as EgressMetrics
from axiom.gateway.metrics import Metrics as GatewayMetrics
from axiom.monitoring.catalogue import definitions
from axiom.monitoring.generating import generated_files
from axiom.monitoring.instruments import Definition, Instruments, Kind, Process, closed
from axiom.reconciling.metrics import Metrics as OperatorMetrics

ROOT = Path(__file__).parents[3]
BOUNDED_BY_THE_INSTALLATION = {"agent_class", "vendor", "route", "model", "version", "python"}
BOUNDED_BY_THE_CODE = {"kind", "verb", "resource", "page"}

each = pytest.mark.parametrize("metric", definitions(), ids=lambda metric: f"{metric.process}-{metric.name}")


def test_committed_files_are_current() -> None:
    assert main(["--check", "--root", str(ROOT)], generated_files()) == 0


@each
def test_it_says_what_it_is(metric: Definition) -> None:
    assert metric.meaning.endswith(".")
    assert re.fullmatch(r"axiom_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    for unit in ("_milliseconds", "_ms", "_kb", "_mb", "_minutes", "_usd_cents"):
        assert unit not in metric.name, "base units only"


@each
def test_no_label_can_hold_what_the_author_of_a_task_or_an_agent_chooses(metric: Definition) -> None:
    for label in metric.labels:
        assert label.values or label.bounded_by, f"{label.name}: what bounds it?"
        if not label.values:
            assert label.name in BOUNDED_BY_THE_INSTALLATION | BOUNDED_BY_THE_CODE, label.name
        assert len(set(label.values)) == len(label.values) <= 80
        assert label.name not in (
            "task",
            "namespace",
            "pod",
            "uid",
            "attempt",
            "round",
            "host",
            "path",
            "url",
        )


@each
def test_series_of_one_metric_stay_few(metric: Definition) -> None:
    """For one class and one route: some classes, and it is still a small metric."""
    possible = 1
    for label in metric.labels:
        possible *= len(label.values) or 1
    if metric.kind is Kind.HISTOGRAM:
        assert possible * (len(metric.buckets) + 3) <= 150
        assert list(metric.buckets) == sorted(metric.buckets)


def test_promtool_finds_nothing_to_complain_about(promtool: str) -> None:
    for metrics in (OperatorMetrics(), GatewayMetrics(), EgressMetrics()):
        command = [promtool, "check", "metrics"]
        ended = subprocess.run(command, input=metrics.render(), capture_output=True, timeout=60, check=False)
        assert (ended.returncode, ended.stdout + ended.stderr) == (0, b"")


def test_what_can_be_counted_is_there_from_the_start() -> None:
    shown = EgressMetrics().render().decode()
    assert 'axiom_egress_denials_total{reason="axiom_wrong_address"} 0.0' in shown
    assert "_created" not in shown


def test_a_label_with_open_values_has_no_series_yet() -> None:
    instruments = Instruments(Process.OPERATOR)
    instruments.counter("axiom_x", "X.", closed("one", ("a", "b")), closed("two", map(str, range(200))))
    assert "axiom_x_total{" not in instruments.render().decode()


def test_the_catalogue_names_every_metric_that_is_shown() -> None:
    known = {item.name for item in definitions()}
    for metrics in (OperatorMetrics(), GatewayMetrics(), EgressMetrics()):
        for family in metrics.registry.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            assert name in known or name.startswith("process_"), name
