"""Dashboards ask only for what there is, say what they show, and have no two panels in one place."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.monitoring.promql import mistakes, plain, unparsable

from axiom.monitoring.catalogue import definitions
from axiom.monitoring.dashboards import dashboards, panels
from axiom.monitoring.instruments import Kind
from axiom.monitoring.panels import Colour, Dashboard, Look, Panel, to_json

# https://github.com/grafana/grafana: packages/grafana-data/src/valueFormats/categories.ts
UNITS = {"short", "percent", "percentunit", "s", "bytes", "Bps", "ops", "reqps", "currencyUSD"}

each_board = pytest.mark.parametrize("name", dashboards())
each_panel = pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel.title)


def loaded(name: str) -> dict[str, Any]:
    found = json.loads(to_json(dashboards()[name]))
    assert isinstance(found, dict)
    return found


@each_panel
def test_a_panel_says_what_it_shows(panel: Panel) -> None:
    assert panel.title[0].isupper()
    assert len(panel.description.split()) >= 3
    assert panel.description.endswith(".")
    assert panel.unit in UNITS
    assert panel.queries
    assert 1 <= panel.width <= 24
    assert panel.look is not Look.LINES or all(query.legend for query in panel.queries)
    assert [value for value, _ in panel.thresholds] == sorted(value for value, _ in panel.thresholds)
    for (_, one), (_, other) in pairwise(((0.0, panel.base), *panel.thresholds)):
        assert one is not other
    assert all(isinstance(colour, Colour) for _, colour in panel.thresholds)


@each_panel
def test_a_panel_asks_for_what_there_is(panel: Panel) -> None:
    assert [text for query in panel.queries for text in mistakes(query.expression)] == []


def test_the_check_of_queries_finds_mistakes() -> None:
    found = [
        *mistakes("axiom_task"),
        *mistakes('axiom_tasks{state="Runing"}'),
        *mistakes('axiom_tasks{role="agent"}'),
        *mistakes("sum by (reason) (axiom_tasks)"),
    ]
    assert found == [
        "there is no metric axiom_task",
        "axiom_tasks: state is never 'Runing'",
        "axiom_tasks has no label role",
        "nothing here has a label reason",
    ]


def test_every_query_parses(promtool: str, tmp_path: Path) -> None:
    queries = [plain(query.expression) for panel in panels() for query in panel.queries]
    assert unparsable(promtool, tmp_path, queries) == ""
    assert "parse error" in unparsable(promtool, tmp_path, ["sum by (state axiom_tasks"])


@each_panel
def test_counters_are_asked_for_their_growth_and_histograms_by_their_buckets(panel: Panel) -> None:
    """A counter's value means nothing: it begins again with its process."""
    ends = {"_total", "_bucket", "_sum", "_count"}
    for query in panel.queries:
        for item in definitions():
            names = [item.name] if item.kind is Kind.COUNTER else [f"{item.name}{end}" for end in ends]
            for name in names if item.kind is not Kind.GAUGE else ():
                for place in range(len(query.expression)):
                    if query.expression.startswith(name, place) and query.expression[place - 1] != "_":
                        assert query.expression[:place].endswith(
                            ("rate(", "rate (", "increase(", "increase (")
                        ), name


@each_board
def test_no_two_panels_lie_on_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in loaded(name)["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


@each_board
def test_a_line_of_panels_is_filled(name: str) -> None:
    widths: dict[int, int] = {}
    for panel in loaded(name)["panels"]:
        widths[panel["gridPos"]["y"]] = widths.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
    assert set(widths.values()) == {24}


@each_board
def test_a_dashboard_has_what_grafana_needs(name: str) -> None:
    board = loaded(name)
    identifiers = [panel["id"] for panel in board["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    assert board["uid"].startswith("axiom-")
    assert len(board["uid"]) <= 40
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert "datasource" in variables
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        uses_class = any("$class" in target["expr"] for target in panel["targets"])
        assert not uses_class or "class" in variables


def test_dashboards_have_names_of_their_own() -> None:
    boards: list[Dashboard] = list(dashboards().values())
    assert len({board.uid for board in boards}) == len({board.title for board in boards}) == len(boards)
    for board in boards:
        titles = [panel.title for panel in board.panels]
        assert len(set(titles)) == len(titles), board.title


NOT_SHOWN = {"axiom_watch_resyncs_total", "axiom_storage_bytes_total", "axiom_gateway_records_lost_total"}
"""Metrics for a closer look, which no panel needs."""


def test_every_metric_is_shown_somewhere() -> None:
    queries = " ".join(query.expression for panel in panels() for query in panel.queries)
    missing = {item.name for item in definitions() if item.name not in queries}
    assert missing == NOT_SHOWN
