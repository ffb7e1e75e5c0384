"""JUnit XML and SARIF of a verification, also where a hostile candidate chose the words."""

from __future__ import annotations

import json
import unicodedata
from typing import Any
from xml.etree import ElementTree

import pytest

from axiom.cli.reports import Report, as_json, as_junit, as_sarif
from axiom_sandbox.protocol.criteria import CriterionType, Enforcement
from axiom_sandbox.protocol.verdicts import CriterionResult, Remark, Verdict

HOSTILE = (
    "plain.py",
    '"><failure/><testcase name="x',
    "]]><!-- & &amp; <![CDATA[",
    "\x00\x01\x1b[31m\x7f\x85",
    "\ufffe\uffff\ud800",
    "\u202eevil\u2028line\nnext",
    "javascript:alert(1)",
    "../../etc/passwd",
    "é 日本 🐍 %2e%2e #?",
    "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>&b;",
)


def result(
    name: str, verdict: Verdict, enforcement: Enforcement = Enforcement.HARD, message: str = "m"
) -> CriterionResult:
    return CriterionResult(
        name=name, type=CriterionType.FILES, enforcement=enforcement, verdict=verdict, message=message
    )


def report(*results: CriterionResult, verdict: Verdict | None = Verdict.FAIL, **fields: Any) -> Report:
    return Report(
        verdict=verdict,
        reason="Failed",
        message="why",
        base="b",
        candidate="c",
        criteria_file="criteria.yaml",
        results=results,
        **fields,
    )


ALL_KINDS = report(
    result("a", Verdict.PASS),
    result("b", Verdict.FAIL),
    result("c", Verdict.INCONCLUSIVE),
    result("d", Verdict.FAIL, Enforcement.ADVISORY),
    result("e", Verdict.INCONCLUSIVE, Enforcement.ADVISORY),
    remarks={"b": (Remark(path="src/x.py", line=3, text="odd"), Remark(path="y", text="gone"))},
)


def check_junit(text: str) -> ElementTree.Element:
    """What GitLab, Jenkins and GitHub actions read of the format."""
    root = ElementTree.fromstring(text.encode())
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    assert suite.get("name")
    for element in (root, suite):
        for kind, child in (
            ("tests", ""),
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            found = suite.findall(f"testcase/{child}" if child else "testcase")
            if (element, kind) == (root, "skipped"):
                assert kind not in element.attrib  # the schema of Jenkins' plugins knows it of a suite alone
                continue
            assert int(element.attrib[kind]) == len(found)
        assert float(element.attrib["time"]) >= 0
    for case in suite:
        assert case.tag == "testcase"
        assert set(case.attrib) == {"name", "classname", "time"}
        assert len(case) <= 1
        for outcome in case:
            assert outcome.tag in {"failure", "error", "skipped"}
            assert set(outcome.attrib) == {"message", "type"}
    return suite


def check_sarif(text: str) -> dict[str, Any]:
    """What SARIF 2.1.0 requires of the objects that are used, and code scanning on top."""
    body = json.loads(text)
    assert body["version"] == "2.1.0"
    assert set(body) <= {"$schema", "version", "runs"}
    (run,) = body["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids)
    for invocation in run["invocations"]:
        assert isinstance(invocation["executionSuccessful"], bool)
    for one in run["results"]:
        assert ids[one["ruleIndex"]] == one["ruleId"]
        assert one["level"] in {"none", "note", "warning", "error"}
        assert one["message"]["text"]
        assert one["partialFingerprints"]
        (location,) = one["locations"]
        physical = location["physicalLocation"]
        uri = physical["artifactLocation"]["uri"]
        assert uri.isascii()
        assert not set(uri) & set(' <>"{}|\\^`\n')
        assert ":" not in uri.split("/")[0]
        assert physical.get("region", {"startLine": 1})["startLine"] >= 1
        assert set(one) <= {
            "ruleId",
            "ruleIndex",
            "level",
            "message",
            "locations",
            "partialFingerprints",
            "properties",
        }
        assert set(location) == {"physicalLocation"}
        assert set(physical) <= {"artifactLocation", "region"}
    # No object of the schema takes properties that it does not know.
    assert set(run) <= {"tool", "columnKind", "invocations", "results", "properties"}
    assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    for rule in driver["rules"]:
        assert set(rule) <= {"id", "name", "shortDescription", "defaultConfiguration", "properties"}
        assert set(rule["defaultConfiguration"]) == {"level"}
    for invocation in run["invocations"]:
        assert set(invocation) <= {"executionSuccessful", "toolExecutionNotifications"}
        for notification in invocation.get("toolExecutionNotifications", ()):
            assert set(notification) == {"level", "message"}
    return run  # type: ignore[no-any-return]


def test_junit_tells_failures_from_errors_and_from_what_is_only_advice() -> None:
    suite = check_junit(as_junit(ALL_KINDS))
    assert {case.get("name"): [child.tag for child in case] for case in suite} == {
        "a": [],
        "b": ["failure"],
        "c": ["error"],
        "d": ["skipped"],
        "e": ["skipped"],
    }
    assert suite.find("testcase/failure").text.endswith("src/x.py:3: odd\ny: gone")  # type: ignore[union-attr]


def test_sarif_points_at_lines_and_where_there_are_none_at_the_criteria() -> None:
    run = check_sarif(as_sarif(ALL_KINDS))
    found = [
        (
            one["ruleId"],
            one["level"],
            one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            one["locations"][0]["physicalLocation"].get("region", {}).get("startLine"),
        )
        for one in run["results"]
    ]
    assert found == [
        ("b", "error", "src/x.py", 3),
        ("b", "error", "y", None),
        ("c", "warning", "criteria.yaml", None),
        ("d", "warning", "criteria.yaml", None),
        ("e", "warning", "criteria.yaml", None),
    ]


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_stay_words(words: str) -> None:
    name = words.encode("utf-8", "backslashreplace").decode()
    hostile = report(
        result("a", Verdict.FAIL, message=name),
        result("b", Verdict.PASS),
        remarks={"a": (Remark(path=name, line=1, text=name),)},
    )
    suite = check_junit(as_junit(hostile))
    assert [case.get("name") for case in suite] == ["a", "b"]
    assert len(check_sarif(as_sarif(hostile))["results"]) == 1
    assert json.loads(as_json(hostile))["criteria"][0]["message"] == name
    for said in (as_junit(hostile), as_sarif(hostile), as_json(hostile)):
        assert not {character for character in said if unicodedata.category(character) == "Cc"} - {"\n", "\t"}


@pytest.mark.parametrize("verdict", [None, Verdict.INCONCLUSIVE])
def test_a_verification_without_results_is_no_success_in_any_form(verdict: Verdict | None) -> None:
    nothing = report(verdict=verdict)
    assert check_junit(as_junit(nothing)).get("errors") == "1"
    run = check_sarif(as_sarif(nothing))
    assert run["invocations"][0]["executionSuccessful"] is (verdict is not None)
    refused = Report.without_result("REFUSED", "no", "b", "c", "f")
    assert json.loads(as_json(refused)) == {"error": {"code": "REFUSED", "message": "no"}}
    assert check_junit(as_junit(refused)).get("errors") == "1"
