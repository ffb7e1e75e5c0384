"""The outcome of a task as it lies beside its evidence: the AgentTask as it was when it was complete.

Written once, by whoever writes object storage. It names what belongs to the task and witnesses its ledgers, so history,
retention and proofs need no API server.
"""

from __future__ import annotations

import json
from typing import Any

from axiom.api.agenttask import AgentTask, LedgerReference
from axiom.api.loading import parse_task

_METADATA = ("name", "namespace", "uid", "creationTimestamp", "labels")


def encode_outcome(task: AgentTask) -> bytes:
    """A complete task → the object; the same task always gives the same bytes."""
    body = task.model_dump(by_alias=True, mode="json", exclude_none=True)
    kept = {key: task.metadata[key] for key in _METADATA if task.metadata.get(key)}
    body["metadata"] = {**kept, "namespace": task.namespace}
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def decode_outcome(data: bytes) -> AgentTask:
    """The object → the task. Raises ValueError: it is none, or of a version that is not known here."""
    try:
        body: dict[str, Any] = json.loads(data)
        return parse_task(body)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"this is no outcome of a task: {' '.join(str(error).split())[:300]}") from error


def witnessed(task: AgentTask) -> dict[str, LedgerReference]:
    """The ledgers whose heads the status has, by their key prefix without a slash at its end."""
    references = [task.status.ledger, *(record.verifier_ledger for record in task.status.rounds)]
    return {reference.path.rstrip("/"): reference for reference in references if reference}
