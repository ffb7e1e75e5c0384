"""Writes what is derived from the metrics: `python -m axiom.monitoring.generating [--check]`.

docs/reference/metrics.md and the dashboards in charts/axiom/dashboards/. With --check nothing is written; the exit code is 1
when a committed file differs from what would be.
"""

from __future__ import annotations

import sys

from axiom.api.generating import main
from axiom.monitoring.catalogue import catalogue


def generated_files() -> dict[str, str]:
    """Path from the repository's root → content."""
    return {"docs/reference/metrics.md": catalogue()}


if __name__ == "__main__":
    sys.exit(main(files=generated_files()))
