"""`python -m axiom.gateway`: the gateway on a cluster. Settings: see `settings.GatewaySettings`."""

from __future__ import annotations

import asyncio
import logging
import sys

from axiom.cluster.errors import ApiError
from axiom.environment import SettingsError
from axiom.gateway.running import run
from axiom.gateway.settings import read_settings
from axiom.storage.store import StorageError

log = logging.getLogger("axiom.gateway")


def main() -> int:
    """Runs until SIGTERM or SIGINT. Exit code 0; 1 when storage or the API server fail; 2 for unusable settings."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        asyncio.run(run(read_settings()))
    except SettingsError as error:
        log.error("%s", error)
        return 2
    except (StorageError, ApiError, OSError) as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
