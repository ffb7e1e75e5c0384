"""The hermetic cluster's audit log: what was asked of its API server, and by whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from e2e.cluster.connection import Connection
from e2e.support.kubernetes import Object


def audited(cluster: Connection) -> Iterator[Object]:
    """Every Event that is written down whole by now: the API server may be in the middle of the last line."""
    for line in Path(cluster.audit_log).read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
