"""Grafana dashboards as small descriptions, and the JSON that Grafana loads (schema 39: Grafana 10.4 and newer)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Json = dict[str, Any]

_SCHEMA_VERSION = 39
_COLUMNS = 24
_TAG = "axiom"
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Look(StrEnum):
    """How a panel shows its numbers; the value is Grafana's name of the panel's type."""

    STAT = "stat"
    """One number, or one for each series: what is now, or over the whole of the chosen time."""
    LINES = "timeseries"
    """Over time."""
    BARS = "bargauge"
    """One bar for each series, over the whole of the chosen time."""


class Colour(StrEnum):
    """Of numbers from a threshold on."""

    PLAIN = "text"
    GOOD = "green"
    WARNING = "orange"
    BAD = "red"


@dataclass(frozen=True)
class Query:
    """PromQL, and how each series of the answer is called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel."""

    title: str
    description: str
    unit: str
    """Grafana's name of the unit: `s`, `bytes`, `short`, `percentunit`, …"""
    queries: tuple[Query, ...]
    look: Look = Look.LINES
    width: int = 8
    """Of 24 columns."""
    height: int = 8
    thresholds: tuple[tuple[float, Colour], ...] = ()
    """From which number on it has another colour than at first."""
    base: Colour = Colour.PLAIN
    """The colour below all thresholds."""
    stacked: bool = False


@dataclass(frozen=True)
class Row:
    """Panels under one heading, from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard."""

    name: str
    label: str
    query: str
    """Grafana's `label_values(…)`."""
    several: bool = False
    """Several values, or all of them, may be chosen."""


@dataclass(frozen=True)
class Dashboard:
    """One dashboard."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in order."""
        return tuple(panel for row in self.rows for panel in row.panels)


def stat(
    title: str,
    description: str,
    unit: str,
    expression: str,
    *thresholds: tuple[float, Colour],
    legend: str = "",
    base: Colour = Colour.PLAIN,
    width: int = 4,
) -> Panel:
    """One number."""
    return Panel(
        title, description, unit, (Query(expression, legend),), Look.STAT, width, 4, thresholds, base
    )


def lines(
    title: str, description: str, unit: str, *queries: Query, width: int = 8, stacked: bool = False
) -> Panel:
    """Over time."""
    return Panel(title, description, unit, queries, width=width, stacked=stacked)


def bars(title: str, description: str, unit: str, expression: str, legend: str, width: int = 8) -> Panel:
    """Compared with each other."""
    return Panel(title, description, unit, (Query(expression, legend),), Look.BARS, width)


def to_json(dashboard: Dashboard) -> str:
    """What Grafana loads."""
    return json.dumps(_dashboard(dashboard), indent=1) + "\n"


def _dashboard(dashboard: Dashboard) -> Json:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [_TAG],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "links": [
            {
                "type": "dashboards",
                "title": "Axiom",
                "tags": [_TAG],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "annotations": {"list": []},
        "templating": {"list": [_datasource_variable(), *map(_variable, dashboard.variables)]},
        "panels": list(_placed(dashboard.rows)),
    }


def _datasource_variable() -> Json:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
    }


def _variable(variable: Variable) -> Json:
    everything = {"includeAll": True, "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}}
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.label,
        "datasource": _DATASOURCE,
        "query": {"query": variable.query, "refId": variable.name},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": variable.several,
        **(everything if variable.several else {"includeAll": False}),
    }


def _placed(rows: tuple[Row, ...]) -> Iterator[Json]:
    """Rows below each other; their panels from left to right, in as many lines as they need."""
    numbers, top = iter(range(1, 1000)), 0
    for row in rows:
        yield {
            "type": "row",
            "id": next(numbers),
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            position = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": next(numbers), "gridPos": position, **_panel(panel)}
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(panel: Panel) -> Json:
    return {
        "type": panel.look.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "targets": [
            _target(chr(ord("A") + place), query, panel.look) for place, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _OPTIONS[panel.look],
    }


def _target(name: str, query: Query, look: Look) -> Json:
    over_time = look is Look.LINES
    return {
        "refId": name,
        "datasource": _DATASOURCE,
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "range": over_time,
        "instant": not over_time,
        "editorMode": "code",
    }


def _field(panel: Panel) -> Json:
    steps: list[Json] = [{"value": None, "color": panel.base.value}]
    steps += [{"value": value, "color": colour.value} for value, colour in panel.thresholds]
    field: Json = {
        "unit": panel.unit,
        "min": 0,
        "color": {"mode": "palette-classic" if panel.look is Look.LINES else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.unit == "percentunit":
        field["max"] = 1
    if panel.look is Look.LINES:
        field["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }
    return field


_REDUCED = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: dict[Look, Json] = {
    Look.STAT: {"reduceOptions": _REDUCED, "colorMode": "value", "graphMode": "none", "textMode": "auto"},
    Look.LINES: {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    Look.BARS: {"reduceOptions": _REDUCED, "orientation": "horizontal", "displayMode": "basic"},
}
