"""`python -m axiom.checking`: says whether the installation works. Settings: see `settings.CheckSettings`."""

from __future__ import annotations

import asyncio
import logging
import sys

from axiom.checking.findings import Finding, report
from axiom.checking.looking import look
from axiom.checking.settings import CheckSettings, read_settings
from axiom.cluster.api import Api
from axiom.cluster.errors import ApiError
from axiom.environment import SettingsError

log = logging.getLogger("axiom.checking")


def main() -> int:
    """Exit code 0 when all checks passed; 1 when one did not; 2 for settings that cannot be used."""
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        found = asyncio.run(_look(read_settings()))
    except SettingsError as error:
        log.error("%s", error)
        return 2
    except ApiError as error:
        log.error("%s", error)
        return 1
    sys.stdout.write(f"{report(found)}\n")
    return 0 if all(finding.passed for finding in found) else 1


async def _look(settings: CheckSettings) -> list[Finding]:
    async with Api("axiom-test") as api:
        return await look(settings, api)


if __name__ == "__main__":
    sys.exit(main())
