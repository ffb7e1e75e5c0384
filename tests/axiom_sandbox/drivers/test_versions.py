"""Which versions are known, and what is said of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.axiom_sandbox.drivers.conversations import CAPTURES, new_driver, said_in, structured

from axiom_sandbox.drivers import versions
from axiom_sandbox.drivers.contract import Turn
from axiom_sandbox.drivers.versions import TESTED, VersionRange, warning
from axiom_sandbox.protocol.agents import DriverName
from axiom_sandbox.protocol.events import (
    ApprovalAsked,
    AssistantMessage,
    SessionOpened,
    ToolCall,
    ToolReturn,
    TurnEnded,
)

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


TWO_VERSIONS = [name for name in TESTED if (CAPTURES / "older" / name.lower()).exists()]


def test_all_but_the_youngest_driver_know_two_versions() -> None:
    assert set(TESTED) - set(TWO_VERSIONS) == {DriverName.OPEN_CODE}


@pytest.mark.parametrize("name", list(TESTED))
def test_the_range_is_from_the_older_version_that_was_recorded_to_the_pinned_one(name: DriverName) -> None:
    places = {
        CAPTURES / "older" / name.lower(): CAPTURES / "older" / name.lower(),
        CAPTURES / name.lower(): AGENTS / name.lower(),
    }
    pinned = []
    for captures, pins in places.items():
        if name not in TWO_VERSIONS and captures.parent.name == "older":
            continue
        [version] = json.loads((pins / "package.json").read_text())["dependencies"].values()
        heads = [json.loads(path.open().readline()) for path in captures.glob("*.jsonl")]
        assert len(heads) >= 9
        assert {head["version"] for head in heads} == {version}
        pinned.append(version)
    assert TESTED[name] == VersionRange(pinned[0], pinned[-1])


def test_claude_code_says_that_it_was_not_tested() -> None:
    driver = new_driver(structured(DriverName.CLAUDE))
    said = said_in(CAPTURES / "claude" / "plain.jsonl").replace(b'"2.1.329"', b'"9.9.9"')
    [opened] = [event for event in driver.parse(said).events if isinstance(event, SessionOpened)]
    assert opened.warning == warning(DriverName.CLAUDE, "9.9.9") != ""


@pytest.mark.parametrize("name", TWO_VERSIONS)
@pytest.mark.parametrize("story", ["plain", "approved", "denied", "two_turns"])
def test_both_versions_tell_the_same_story(name: DriverName, story: str) -> None:
    told = []
    for folder in (CAPTURES / "older" / name.lower(), CAPTURES / name.lower()):
        driver = new_driver(structured(name))
        driver.begin(Turn(1, "Write hello.py."))
        events = driver.parse(said_in(folder / f"{story}.jsonl")).events
        kinds = (SessionOpened, ToolCall, ToolReturn, ApprovalAsked, AssistantMessage, TurnEnded)
        told.append([(event.event, getattr(event, "text", "")[:40], getattr(event, "ok", None)) for event in events if isinstance(event, kinds)])  # fmt: skip
        assert [event.warning for event in events if isinstance(event, SessionOpened)][:1] == [""]
    assert told[0] == told[1]
    assert ("turn_ended", True) in {(kind, ok) for kind, _, ok in told[0]}
