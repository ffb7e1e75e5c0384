"""Which versions are known, and what is said of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.axiom_sandbox.drivers.conversations import CAPTURES

from axiom_sandbox.drivers import versions
from axiom_sandbox.drivers.versions import TESTED, VersionRange, warning
from axiom_sandbox.protocol.agents import DriverName

AGENTS = Path(__file__).parents[3] / "sandbox-image" / "agents"


@pytest.fixture(autouse=True)
def _range(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "version" in request.fixturenames:
        monkeypatch.setitem(versions.TESTED, DriverName.CODEX, VersionRange("0.160.0", "0.169.2"))


@pytest.mark.parametrize("version", ["0.160.0", "0.165.9", "0.169.0", "0.169.2", "0.169.2-alpha.3"])
def test_nothing_is_said_of_a_version_within_the_range(version: str) -> None:
    assert warning(DriverName.CODEX, version) == ""


@pytest.mark.parametrize("version", ["0.159.9", "0.169.3", "0.1691.0", "1.0.0"])
def test_another_is_driven_with_a_warning(version: str) -> None:
    assert warning(DriverName.CODEX, version) == (
        f"Codex {version} was not tested; the driver was tested with 0.160.0 to 0.169.2"
    )


@pytest.mark.parametrize("version", [""])
def test_so_is_one_that_does_not_say(version: str) -> None:
    assert warning(DriverName.CODEX, version) == "this Codex does not say which version it is"


def test_any_command_has_no_version() -> None:
    assert warning(DriverName.GENERIC, "") == ""


@pytest.mark.parametrize("name", list(TESTED))
def test_the_range_is_of_what_is_pinned_and_was_recorded(name: DriverName) -> None:
    pins = json.loads((AGENTS / name.lower() / "package.json").read_text())
    [pinned] = pins["dependencies"].values()
    assert warning(name, pinned) == ""
    heads = [path.open().readline() for path in (CAPTURES / name.lower()).glob("*.jsonl")]
    assert {json.loads(head)["version"] for head in heads} == {pinned}
