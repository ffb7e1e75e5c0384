"""What the runner reported over its channel. Pure.

Each line is `<mac> <JSON>`: the MAC is the first half of HMAC-SHA256 over the JSON, keyed with the nonce of the run, and the JSON's `n`
counts from 0. Any other line came from somebody else and is counted as forged.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

MAC_BYTES = 16


class State(StrEnum):
    """What became of one requested id."""

    PASSED = "Passed"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    """Skipped or expected to fail: it proves nothing."""
    MISSING = "Missing"
    """There is no such test."""
    UNREPORTED = "Unreported"
    """It was there, and no result came."""
    UNPROVEN = "Unproven"
    """It was reported as passed, but its own code did not run to its end."""


class TestReport(BaseModel):
    """One test of the suite, as the runner saw it end."""

    __test__ = False  # pytest: not a test class

    model_config = ConfigDict(frozen=True)

    outcome: str
    """`passed`, `failed`, `skipped`, `xfailed`, `xpassed`."""
    message: str = ""
    """Assertion or reason, with file and line."""
    ran: bool | None = None
    """The test's body was called by the runner and returned. None: this kind of test calls its body itself."""
    genuine: bool | None = None
    """The code called was compiled from the base's file. None: it could not be told."""
    under: str = ""
    """How much its runner tries, where that can be set: for tests with made-up values."""


class CoveredFile(BaseModel):
    """One file of the code under test."""

    model_config = ConfigDict(frozen=True)

    lines: frozenset[int]
    """Lines that have code, as read off the source."""
    ran: frozenset[int]
    """Lines that ran, as the process that runs them says."""


@dataclass
class Reading:
    """Everything that one run reported."""

    runner: str = ""
    """SHA-256 of the runner's own file, sent before anything of the workspace was imported. Empty: it never began."""
    unable: str = ""
    """Why the runner could not work."""
    cure: str = "Add it to the image of the clean room."
    """What can be done about that."""
    collected: dict[str, tuple[str, ...]] | None = None
    """Requested id → tests that it stands for."""
    sentinels: dict[str, str] = field(default_factory=dict)
    """Test that must fail → outcome; empty: no outcome came."""
    errors: dict[str, str] = field(default_factory=dict)
    """File → why no tests could be collected from it."""
    tests: dict[str, TestReport] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    tampered: set[str] = field(default_factory=set)
    """Parts of the runner that somebody replaced."""
    beyond: set[str] = field(default_factory=set)
    """What tests did that cannot be done while the code under test has a process of its own."""
    coverage: dict[str, CoveredFile] | None = None
    """Path → lines; None: not measured."""
    status: int | None = None
    """the runner's exit status; None: it did not come to its end."""
    forged: int = 0

    def hanging(self) -> str:
        """The test that had begun and not ended."""
        return next((test for test in reversed(self.started) if test not in self.tests), "")


def read_reports(data: bytes, nonce: bytes) -> Reading:
    """A channel's content → what was reported. Never raises."""
    reading = Reading()
    expected = 0
    for line in data.split(b"\n")[:-1]:  # a line without its end was cut off with the process
        message = _authentic(line, nonce, expected)
        if message is None or not _take(reading, message):
            reading.forged += 1
            continue
        expected += 1
    return reading


def set_aside(base: Reading) -> dict[str, frozenset[str]]:
    """Requested id → tests among those that it stands for which the base itself skips, or expects to fail.

    They prove nothing, and what they are is fixed before any code of the agent runs. An id of which the base skips all
    sets nothing aside: it is skipped.
    """
    found = {}
    for test_id, items in (base.collected or {}).items():
        skipped = {item for item in items if _state_of_test(base, test_id, item, True)[0] is State.SKIPPED}
        if skipped and len(skipped) < len(set(items)):
            found[test_id] = frozenset(skipped)
    return found


def state_of(
    reading: Reading, test_id: str, required: tuple[str, ...] = (), aside: Collection[str] = ()
) -> tuple[State, str]:
    """What became of an id, and why.

    Args:
        required: tests that the id stood for on the base; each must be among the reports.
        aside: tests that count neither way.
    """
    collected = (reading.collected or {}).get(test_id, ())
    items = [item for item in dict.fromkeys((*required, *collected)) if item not in aside]
    if not items:
        error = reading.errors.get(test_id.partition("::")[0])
        if error:
            return State.FAILED, error
        return (State.UNREPORTED, "") if reading.collected is None else (State.MISSING, "")
    states = [_state_of_test(reading, test_id, item, item in collected) for item in items]
    return next((state for state in states if state[0] is not State.PASSED), (State.PASSED, ""))


def _state_of_test(reading: Reading, test_id: str, item: str, was_collected: bool) -> tuple[State, str]:
    report = reading.tests.get(item)
    if report is None:
        error = reading.errors.get(item.partition("::")[0])
        if error:
            return State.FAILED, error
        missing = reading.collected is not None and not was_collected
        return (State.MISSING if missing else State.UNREPORTED), ""
    if report.outcome == "passed":
        proven = report.ran is not False and report.genuine is not False
        return (State.PASSED, "") if proven else (State.UNPROVEN, "")
    if report.outcome == "failed":
        return State.FAILED, report.message
    return State.SKIPPED, report.message if item == test_id else f"{report.message} ({item})"


def sign(body: bytes, nonce: bytes) -> bytes:
    """The MAC of a line, in hexadecimal."""
    return hmac.digest(nonce, body, "sha256")[:MAC_BYTES].hex().encode()


def _authentic(line: bytes, nonce: bytes, expected: int) -> dict[str, Any] | None:
    mac, _, body = line.partition(b" ")
    if not hmac.compare_digest(mac, sign(body, nonce)):
        return None
    try:
        message = json.loads(body)
    except ValueError:
        return None
    return message if isinstance(message, dict) and message.get("n") == expected else None


_Names = TypeAdapter(dict[str, tuple[str, ...]])
_Coverage = TypeAdapter(dict[str, CoveredFile])


def _take(reading: Reading, message: Mapping[str, Any]) -> bool:
    """Adds one message; False: it makes no sense."""
    try:
        _KINDS[message["kind"]](reading, message)
    except (KeyError, TypeError, ValueError, ValidationError):
        return False
    return True


def _hello(reading: Reading, message: Mapping[str, Any]) -> None:
    reading.runner = str(message["runner"])


def _unable(reading: Reading, message: Mapping[str, Any]) -> None:
    reading.unable = str(message["reason"])
    reading.cure = str(message.get("cure", reading.cure))


def _collected(reading: Reading, message: Mapping[str, Any]) -> None:
    reading.collected = _Names.validate_python(message["tests"])
    reading.sentinels = {str(name): "" for name in message["sentinels"]}


def _error(reading: Reading, message: Mapping[str, Any]) -> None:
    reading.errors.setdefault(str(message["file"]), str(message["message"]))


def _start(reading: Reading, message: Mapping[str, Any]) -> None:
    reading.started.append(str(message["test"]))


def _test(reading: Reading, message: Mapping[str, Any]) -> None:
    reading.tampered.update(_strings(message["tampered"]))
    reading.tampered.update(_strings(message.get("changed", [])))
    reading.beyond.update(_strings(message.get("beyond", [])))
    name = str(message["test"])
    if name in reading.sentinels:
        reading.sentinels[name] = str(message["outcome"])
        return
    report = TestReport.model_validate(dict(message))
    before = reading.tests.get(name)
    if before is None or before.outcome == "passed":
        reading.tests[name] = report


def _coverage(reading: Reading, message: Mapping[str, Any]) -> None:
    reading.coverage = _Coverage.validate_python(message["files"])


def _tampered(reading: Reading, message: Mapping[str, Any]) -> None:
    reading.tampered.update(_strings(message["parts"]))


def _forged(reading: Reading, message: Mapping[str, Any]) -> None:
    reading.forged += 1


def _end(reading: Reading, message: Mapping[str, Any]) -> None:
    reading.status = int(message["status"])


def _strings(values: object) -> Iterator[str]:
    if not isinstance(values, list):
        raise TypeError("not a list")
    return (str(value) for value in values)


_KINDS = {
    "hello": _hello,
    "unable": _unable,
    "collected": _collected,
    "error": _error,
    "start": _start,
    "test": _test,
    "tampered": _tampered,
    "forged": _forged,
    "coverage": _coverage,
    "end": _end,
}
