"""What a verification came to, in the forms that CI systems read: JSON, JUnit XML, SARIF 2.1.0. Pure.

Names and messages may come from a hostile candidate: everything is escaped, and what XML cannot hold is replaced.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from xml.etree import ElementTree as Xml

from axiom.evidence.harmless import visible_json
from axiom.running.results import SHOWN
from axiom_sandbox.protocol.changes import Changes
from axiom_sandbox.protocol.criteria import Enforcement
from axiom_sandbox.protocol.verdicts import CriterionResult, Remark, Verdict
from axiom_sandbox.snapshots.paths import printable

_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
_NO_XML = re.compile("[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_RESULTS = 5000
"""What code scanning takes of one run."""


@dataclass(frozen=True)
class Report:
    """A verification that is over."""

    verdict: Verdict | None
    """None: it could not be carried out."""
    reason: str | None
    message: str
    base: str
    candidate: str
    criteria_file: str
    results: tuple[CriterionResult, ...] = ()
    remarks: Mapping[str, tuple[Remark, ...]] = field(default_factory=dict)
    revision: str = ""
    changes: Changes | None = None
    ledger: Path | None = None
    ledger_records: int = 0
    ledger_head: str = ""
    folder: Path | None = None
    """Of the run."""
    diff: str | None = None
    workspace: str | None = None
    seconds: float = 0.0
    error: str = ""
    """Why there is no verdict, in one word; empty where there is one."""

    @classmethod
    def without_result(cls, error: str, message: str, base: str, candidate: str, criteria: str) -> Self:
        """A verification that was refused, interrupted, or could not run."""
        return cls(None, None, message, base, candidate, criteria, error=error)


def as_json(report: Report) -> str:
    """One object in one line; `verdict` and `criteria` as in `axiom run --json`."""
    if report.error:
        body: dict[str, Any] = {"error": {"code": report.error, "message": report.message}}
        return visible_json(json.dumps(body, ensure_ascii=False)) + "\n"
    changes = report.changes
    body = {
        "verdict": report.verdict,
        "reason": report.reason,
        "criteria": [
            result.model_dump(by_alias=True, mode="json", include=SHOWN | {"strength"})
            for result in report.results
        ],
        "base": {"source": report.base, "revision": report.revision},
        "candidate": {
            "source": report.candidate,
            "paths": len(changes.changes) if changes else 0,
            "findings": [
                {"path": item.path, "reason": item.reason} for item in (changes.findings if changes else ())
            ],
        },
        "ledger": {
            "path": str(report.ledger) if report.ledger else None,
            "records": report.ledger_records,
            "head": report.ledger_head,
        },
        "diff": report.diff,
        "workspace": report.workspace,
        "durationSeconds": round(report.seconds, 3),
    }
    if report.verdict is None:
        body["error"] = {"code": "COULD_NOT_RUN", "message": report.message}
    return visible_json(json.dumps(body, ensure_ascii=False)) + "\n"


# --- JUnit ------------------------------------------------------------------------------------------------------------


def as_junit(report: Report) -> str:
    """A test case for each criterion: a hard Fail is a failure, a hard Inconclusive an error, an advisory one skipped."""
    cases = [_case(result, report) for result in report.results]
    if report.verdict is None or not cases:
        cases.append(_undecided(report))
    counts = {
        "tests": str(len(cases)),
        **{
            f"{kind}s" if kind != "skipped" else kind: str(sum(case.find(kind) is not None for case in cases))
            for kind in ("failure", "error", "skipped")
        },
        "time": f"{report.seconds:.3f}",
    }
    total = {name: count for name, count in counts.items() if name != "skipped"}  # known of a suite alone
    root = Xml.Element("testsuites", {"name": "axiom verify", **total})
    suite = Xml.SubElement(root, "testsuite", {"name": "axiom verify", **counts})
    suite.extend(cases)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _case(result: CriterionResult, report: Report) -> Xml.Element:
    case = Xml.Element(
        "testcase", {"name": result.name, "classname": f"axiom.{result.type.value}", "time": "0"}
    )
    if result.verdict is Verdict.PASS:
        return case
    first = result.message.partition("\n")[0]
    lines = [result.message, *(_line(remark) for remark in report.remarks.get(result.name, ()))]
    if result.enforcement is Enforcement.ADVISORY:
        kind, first = "skipped", f"{result.verdict.value}, and advisory: {first}"
    else:
        kind = "failure" if result.verdict is Verdict.FAIL else "error"
    outcome = Xml.SubElement(case, kind, {"message": _xml(first), "type": result.verdict.value})
    outcome.text = _xml("\n".join(lines))
    return case


def _undecided(report: Report) -> Xml.Element:
    case = Xml.Element("testcase", {"name": "verification", "classname": "axiom", "time": "0"})
    outcome = Xml.SubElement(
        case, "error", {"message": _xml(report.message), "type": report.error or "COULD_NOT_RUN"}
    )
    outcome.text = _xml(report.message)
    return case


def _line(remark: Remark) -> str:
    place = f"{remark.path}:{remark.line}" if remark.line else remark.path
    return f"{place}: {remark.text}"


def _xml(text: str) -> str:
    """Without characters that no XML document may hold, escaped or not."""
    return _NO_XML.sub("\ufffd", text)


# --- SARIF ------------------------------------------------------------------------------------------------------------


def as_sarif(report: Report) -> str:
    """A result for each place where a criterion found something; for a criterion without places one, at its own file."""
    decided = report.verdict is not None
    run = {
        "tool": {
            "driver": {
                "name": "axiom verify",
                "version": version("axiom"),
                "rules": [_rule(result) for result in report.results],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": decided,
                **({} if decided else {"toolExecutionNotifications": [_notification(report)]}),
            }
        ],
        "results": list(_results(report))[:_MAX_RESULTS],
        "properties": {"verdict": report.verdict, "message": _unicode(report.message)},
    }
    body = {"$schema": _SARIF, "version": "2.1.0", "runs": [run]}
    return visible_json(json.dumps(body, ensure_ascii=False)) + "\n"


def _rule(result: CriterionResult) -> dict[str, Any]:
    return {
        "id": result.name,
        "name": result.type.value,
        "shortDescription": {"text": f"The criterion {result.name} ({result.type.value})"},
        "defaultConfiguration": {"level": "error" if result.enforcement is Enforcement.HARD else "warning"},
        "properties": {"enforcement": result.enforcement.value, "strength": result.strength.value},
    }


def _notification(report: Report) -> dict[str, Any]:
    return {"level": "error", "message": {"text": _unicode(report.message)}}


def _results(report: Report) -> Iterator[dict[str, Any]]:
    for number, result in enumerate(report.results):
        if result.verdict is Verdict.PASS:
            continue
        remarks = report.remarks.get(result.name) or (Remark(path=report.criteria_file, text=result.message),)
        for remark in remarks:
            yield _result(number, result, remark)


def _result(number: int, result: CriterionResult, remark: Remark) -> dict[str, Any]:
    hard = result.enforcement is Enforcement.HARD and result.verdict is Verdict.FAIL
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(remark.path)}}
    if remark.line > 0:
        location["region"] = {"startLine": remark.line}
    mark = hashlib.sha256(
        f"{result.name}\0{remark.path}\0{remark.text}".encode("utf-8", "replace")
    ).hexdigest()
    return {
        "ruleId": result.name,
        "ruleIndex": number,
        "level": "error" if hard else "warning",
        "message": {"text": _unicode(remark.text)},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"axiom/v1": mark},
        "properties": {"verdict": result.verdict.value},
    }


def _uri(path: str) -> str:
    """A relative reference; a hostile name stays a name."""
    quoted = quote(_unicode(path), safe="/")
    return quoted if path.startswith("/") or ":" not in quoted.split("/")[0] else f"./{quoted}"


def _unicode(text: str) -> str:
    return printable(text)
