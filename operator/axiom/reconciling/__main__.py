"""`python -m axiom.reconciling`: the operator on a cluster. Settings: see `settings.OperatorSettings`."""

from __future__ import annotations

import asyncio
import logging
import sys

from axiom.cluster.errors import ApiError
from axiom.egress.errors import SettingsError as TokenKeysError
from axiom.environment import SettingsError
from axiom.reconciling.lease import LeaseLostError
from axiom.reconciling.serving import run
from axiom.reconciling.settings import read_settings

log = logging.getLogger("axiom.reconciling")


def main() -> int:
    """Runs until SIGTERM or SIGINT. Exit code 0; 1 when the Lease was lost; 2 for settings that cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        asyncio.run(run(read_settings()))
    except (SettingsError, TokenKeysError) as error:
        log.error("%s", error)
        return 2
    except (LeaseLostError, ApiError) as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
