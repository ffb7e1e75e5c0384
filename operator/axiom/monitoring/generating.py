"""Writes what is derived from the metrics: `python -m axiom.monitoring.generating [--check]`.

docs/reference/metrics.md and the dashboards in charts/axiom/dashboards/. With --check nothing is written; the exit code is 1
when a committed file differs from what would be.
"""

from __future__ import annotations

import sys

from axiom.api.generating import main
from axiom.monitoring.catalogue import catalogue
from axiom.monitoring.dashboards import dashboards
from axiom.monitoring.panels import to_json


def generated_files() -> dict[str, str]:
    """Path from the repository's root → content."""
    boards = {f"charts/axiom/dashboards/{name}": to_json(board) for name, board in dashboards().items()}
    return {"docs/reference/metrics.md": catalogue(), **boards}


if __name__ == "__main__":
    sys.exit(main(files=generated_files()))
