"""Which versions of each agent its driver was tested with. Pure.

Another version is driven all the same, as well as it goes: what it says that is not known is kept whole. That it was not
tested stands beside its version in the ledger (`session`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from axiom_sandbox.protocol.agents import DriverName

_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class VersionRange:
    """A range of versions, both ends included."""

    oldest: str
    newest: str


TESTED: dict[DriverName, VersionRange] = {
    DriverName.CLAUDE: VersionRange("2.1.300", "2.1.329"),
    DriverName.CODEX: VersionRange("0.160.0", "0.169.0"),
    DriverName.GEMINI: VersionRange("0.57.0", "0.61.0"),
    DriverName.OPEN_CODE: VersionRange("1.18.33", "1.18.33"),
}
"""By driver. Captures of both ends are in tests/captures."""


def warning(name: DriverName, version: str) -> str:
    """What a person should know of this version; empty: nothing."""
    tested = TESTED.get(name)
    if tested is None or _number(tested.oldest) <= _number(version) <= _number(tested.newest):
        return ""
    if not version:
        return f"this {name} does not say which version it is"
    span = tested.oldest if tested.oldest == tested.newest else f"{tested.oldest} to {tested.newest}"
    return f"{name} {version} was not tested; the driver was tested with {span}"


def _number(version: str) -> tuple[int, ...]:
    """The version without what stands behind a hyphen."""
    return tuple(int(part) for part in _NUMBERS.findall(version.partition("-")[0])[:4])
