"""The chart's README: its table of values is what the schema and the defaults say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = runpy.run_path(str(ROOT / "hack" / "chart_values.py"))


def test_a_value_is_written_with_its_default_and_its_meaning() -> None:
    schema = {
        "properties": {
            "gateway": {
                "description": "Carries data.",
                "properties": {
                    "replicas": {"description": "How many."},
                    "scratch": {"$ref": "#/definitions/size"},
                },
            }
        }
    }
    values = {"gateway": {"replicas": 1, "scratch": "8Gi"}}

    rows = list(SCRIPT["rows"](schema, values, {"size": {"description": "A size."}}))

    assert rows == [
        ("**gateway**", "", "Carries data."),
        ("`gateway.replicas`", "`1`", "How many."),
        ("`gateway.scratch`", '`"8Gi"`', "A size."),
    ]


def test_only_what_is_between_the_marks_is_written() -> None:
    text = f"before\n{SCRIPT['BEGIN']}\na stale row\n{SCRIPT['END']}\nafter\n"

    written = SCRIPT["readme"](text)

    assert written.startswith("before\n")
    assert written.endswith("\nafter\n")
    assert "a stale row" not in written
    assert "| `gateway.replicas` | `1` |" in written
    with pytest.raises(ValueError, match="needs the lines"):
        SCRIPT["readme"]("no marks")
