"""What PromQL expressions ask for, held against the catalogue of metrics; whether they parse, Prometheus' own tool says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from axiom.monitoring.catalogue import definitions
from axiom.monitoring.instruments import Definition, Kind

_OF_SCRAPING = {"instance", "job", "le"}
_METRIC = re.compile(r"\b((?:axiom|process)_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_VARIABLES = {"$__rate_interval": "5m", "$__range": "1h"}


def plain(expression: str, agent_class: str = ".*") -> str:
    """With Grafana's variables filled in."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    return expression.replace("$class", agent_class)


def _series() -> dict[str, list[Definition]]:
    found: dict[str, list[Definition]] = {}
    for item in definitions():
        ends = ("_bucket", "_sum", "_count") if item.kind is Kind.HISTOGRAM else ("",)
        for end in ends:
            found.setdefault(item.name + end, []).append(item)
    return found


SERIES = _series()


def mistakes(expression: str) -> Iterator[str]:
    """Metrics that do not exist, labels that they do not have, values that those cannot be."""
    labels = set(_OF_SCRAPING)
    for name, selector in _METRIC.findall(expression):
        if name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
            continue
        if name not in SERIES:
            yield f"there is no metric {name}"
            continue
        own: dict[str, tuple[str, ...]] = {}
        for label in (label for item in SERIES[name] for label in item.labels):
            own[label.name] = own.get(label.name, ()) + label.values
        labels |= own.keys()
        for asked, operator, wanted in _MATCHER.findall(selector or ""):
            if asked not in own:
                yield f"{name} has no label {asked}"
            values = wanted.split("|") if "~" in operator else [wanted]
            for value in values:
                if own.get(asked) and value not in own[asked]:
                    yield f"{name}: {asked} is never {value!r}"
    for group in _GROUPING.findall(expression):
        for asked in filter(None, (part.strip() for part in group.split(","))):
            if asked not in labels:
                yield f"nothing here has a label {asked}"


def unparsable(promtool: str, folder: Path, expressions: Mapping[str, str] | Iterable[str]) -> str:
    """What Prometheus' parser says against expressions; "" where it has nothing to say."""
    named = expressions if isinstance(expressions, Mapping) else {text: text for text in expressions}
    rules = [{"record": f"x:{number}", "expr": text} for number, text in enumerate(named.values())]
    file = folder / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    command = [promtool, "check", "rules", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr
