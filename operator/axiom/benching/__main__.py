"""`python -m axiom.benching`: measures the judges of a cluster's AgentClasses, as the chart's CronJob does.

Settings: those of object storage (AXIOM_S3_…, as the gateway's), AXIOM_EGRESS (host:port of the egress proxy),
AXIOM_TOKEN_KEYS (a file), AXIOM_JUDGE_BENCH_MAX_LOSS (5): percentage points of accuracy whose loss is a failure,
AXIOM_JUDGE_BENCH_NAMESPACES (none): those whose people's decisions are further cases, separated by blanks, and
AXIOM_JUDGE_BENCH_MOST_KEPT (100): of such cases so many at most, the newest.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from axiom.api.agentclass import AgentClass
from axiom.api.loading import RefusedError, parse_class
from axiom.benching.cases import shipped_cases
from axiom.benching.keeping import cases_for, newest_cases
from axiom.benching.running import Measured, measure
from axiom.cluster.api import Api
from axiom.cluster.errors import ApiError, LoginError
from axiom.cluster.resources import AGENT_CLASSES
from axiom.egress.errors import SettingsError as KeysError
from axiom.egress.settings import read_token_keys
from axiom.egress.tokens import Purpose, errand_grant, mint
from axiom.environment import SettingsError, needed
from axiom.errands.envoy import Envoy, PageCache, Way
from axiom.gateway.settings import open_bucket
from axiom.storage.store import StorageError
from axiom_sandbox.protocol.errands import Seat
from axiom_sandbox.protocol.identity import Identity, Role

log = logging.getLogger("axiom.benching")


def seats_of(classes: list[AgentClass]) -> dict[tuple[str, str], tuple[str, Seat]]:
    """Each model once: vendor and model → the class through which it is asked, and its seat. Pure."""
    found: dict[tuple[str, str], tuple[str, Seat]] = {}
    for one in sorted(classes, key=lambda item: item.name):
        for judge in one.spec.judges:
            found.setdefault((judge.vendor.value, judge.model), (one.name, judge.seat))
    return found


async def _run() -> list[Measured]:
    way = Way(f"http://{needed(os.environ, 'AXIOM_EGRESS', 'the egress proxy, such as axiom-egress:8788')}")
    key = read_token_keys(Path(needed(os.environ, "AXIOM_TOKEN_KEYS", "the file with the keys of tokens")))[0]
    store = open_bucket(os.environ)
    namespaces = os.environ.get("AXIOM_JUDGE_BENCH_NAMESPACES", "").split()
    most = int(os.environ.get("AXIOM_JUDGE_BENCH_MOST_KEPT") or 100)
    cases = [*shipped_cases(), *await newest_cases(store, namespaces, most, log.warning)]
    async with Api("axiom-judge-bench") as api:
        classes = await _classes(api)
    owner = Identity(
        namespace="axiom", task="judge-bench", task_id=str(uuid.uuid4()), attempt=1, role=Role.VERIFIER
    )
    done = []
    for name, seat in seats_of(classes).values():

        def token(purpose: Purpose, name: str = name) -> str:
            return mint(key, errand_grant(owner, name, purpose, time.time()))

        measured = await measure(
            seat, cases_for(seat, cases), Envoy(way, token, PageCache()), store, datetime.now(UTC)
        )
        log.info("%s", json.dumps(measured.as_json()))
        done.append(measured)
    return done


async def _classes(api: Api) -> list[AgentClass]:
    found = []
    for item in await api.list(AGENT_CLASSES):
        try:
            found.append(parse_class(dict(item)))
        except RefusedError as error:
            log.warning("an AgentClass is left out: %s", error)
    return found


def main() -> int:
    """Exit code 0: measured; 1: a judge lost more accuracy than it may; 2: not measured."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        most = float(os.environ.get("AXIOM_JUDGE_BENCH_MAX_LOSS") or 5) / 100
        done = asyncio.run(_run())
    except (SettingsError, KeysError, StorageError, ApiError, LoginError, ValueError) as error:
        log.error("%s", error)
        return 2
    lost = [one.seat.model for one in done if one.drift and one.drift.lost > most]
    if lost:
        log.error("these judges lost more accuracy than they may: %s", ", ".join(lost))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
