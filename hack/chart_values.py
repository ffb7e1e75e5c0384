"""Writes the table of values into the chart's README: `python hack/chart_values.py [--check]`.

What a value means is said once, in values.schema.json; what it is without being set, in values.yaml.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent.parent / "charts" / "axiom"
BEGIN = "<!-- values: written by `make generate` from values.schema.json and values.yaml -->"
END = "<!-- end of values -->"

Schema = dict[str, Any]


def rows(
    schema: Schema, values: Schema, definitions: Schema, path: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of each value, groups before their members."""
    for name, value in values.items():
        own = schema["properties"][name]
        found = definitions.get(own.get("$ref", "").rpartition("/")[2], {}) | own
        if "properties" in own and isinstance(value, dict):
            yield f"**{path}{name}**", "", found["description"]
            yield from rows(own, value, definitions, f"{path}{name}.")
        else:
            yield f"`{path}{name}`", f"`{json.dumps(value)}`", found.get("description", "")


def table() -> str:
    """The Markdown table."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    for name, default, meaning in rows(schema, values, schema["definitions"]):
        lines.append(f"| {name} | {default} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def readme(text: str) -> str:
    """The README with the table as it should be. Raises ValueError where the marks are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"charts/axiom/README.md needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Exit code 1 when --check finds the table out of date."""
    path = CHART / "README.md"
    present = path.read_text(encoding="utf-8")
    wanted = readme(present)
    if "--check" not in sys.argv[1:]:
        path.write_text(wanted, encoding="utf-8")
        return 0
    if present != wanted:
        sys.stderr.write("charts/axiom/README.md: the table of values is out of date: run `make generate`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
