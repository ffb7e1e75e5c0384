"""`python -m axiom.retaining`: one run of the collector on a cluster, as the chart's CronJob starts it.

Settings: those of object storage (AXIOM_S3_…, as the gateway's), AXIOM_GC_SAFE_AGE (24h), AXIOM_GC_DRY_RUN (false).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime

from axiom.cluster.api import Api
from axiom.cluster.errors import ApiError, LoginError
from axiom.environment import SettingsError
from axiom.gateway.settings import open_bucket
from axiom.retaining.collecting import Collector
from axiom.retaining.reading import policies_of_cluster
from axiom.storage.store import StorageError
from axiom_sandbox.protocol.quantities import parse_duration

log = logging.getLogger("axiom.retaining")


async def _run() -> None:
    age = parse_duration(os.environ.get("AXIOM_GC_SAFE_AGE") or "24h")
    dry = os.environ.get("AXIOM_GC_DRY_RUN", "").lower() == "true"
    store = open_bucket(os.environ)
    async with Api("axiom-gc") as api:
        policies = await policies_of_cluster(api)
    done = await Collector(store, policies, lambda: datetime.now(UTC), safe_age=age, dry=dry).run()
    log.info("%s", json.dumps({"dryRun": dry, **asdict(done)}))


def main() -> int:
    """Exit code 0 done, 1 not."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_run())
    except (SettingsError, StorageError, ApiError, LoginError, ValueError) as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
