"""A ledger as OpenTelemetry logs: one ExportLogsServiceRequest in OTLP/JSON. Pure.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: numbers of 64 bits are strings, enumerations are numbers,
names are in camelCase. A record's whole payload is the log's body; what one searches by stands in attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from axiom.evidence.searching import Line
from axiom_sandbox.ledger.records import Record

_SCOPE = "axiom.ledger"
_INFO, _WARN, _ERROR = (9, "INFO"), (13, "WARN"), (17, "ERROR")
_SEVERITY = {
    "gap": _WARN, "intruder": _WARN, "intervention": _WARN, "watch_alert": _WARN,
    "failure": _ERROR, "tool_error": _ERROR,
}  # fmt: skip
_LARGEST_INT = 2**63


def export(resource: dict[str, Any], version: str, lines: Iterable[Line]) -> Iterator[str]:
    """The object's text, in pieces. `resource` holds what is true of all records."""
    head = {"resource": {"attributes": _attributes(resource)}, "scopeLogs": []}
    opening = json.dumps({"resourceLogs": [head]}).removesuffix("]}]}")
    scope = json.dumps({"scope": {"name": _SCOPE, "version": version}}).removesuffix("}")
    yield f'{opening}{scope}, "logRecords": ['
    separator = ""
    for line in lines:
        yield f"{separator}\n{json.dumps(_log(line))}"
        separator = ","
    yield "\n]}]}]}\n"


def _log(line: Line) -> dict[str, Any]:
    record = line.record
    if record is None:
        number, text = _ERROR
        body = {"stringValue": f"line {line.number} is no record: {line.fault}"}
        return {"timeUnixNano": "0", "severityNumber": number, "severityText": text, "body": body}
    number, text = _SEVERITY.get(record.event, _INFO)
    time = str(round(record.time_utc.timestamp() * 1000) * 1_000_000)
    return {
        "timeUnixNano": time,
        "observedTimeUnixNano": time,
        "severityNumber": number,
        "severityText": text,
        "eventName": f"axiom.{record.event}",
        "body": _value(record.payload),
        "attributes": _attributes(_searched_by(record)),
    }


def _searched_by(record: Record) -> dict[str, Any]:
    fields = {
        "axiom.event": record.event,
        "axiom.ledger.seq": record.seq,
        "axiom.ledger.hash": record.hash,
        "axiom.ledger.prev": record.prev,
        "axiom.agent.id": record.agent_id,
        "axiom.agent.parent_id": record.parent_id,
        "axiom.task.id": record.task_id,
        "axiom.attempt": record.attempt,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _attributes(fields: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in fields.items()]


def _value(value: Any) -> dict[str, Any]:
    """An AnyValue."""
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int() if -_LARGEST_INT <= value < _LARGEST_INT:
            return {"intValue": str(value)}
        case int():
            return {"stringValue": str(value)}
        case float():
            return {"doubleValue": value}
        case dict():
            return {"kvlistValue": {"values": _attributes(value)}}
        case list() | tuple():
            return {"arrayValue": {"values": [_value(item) for item in value]}}
        case _:
            return {"stringValue": str(value)}
