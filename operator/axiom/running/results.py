"""What a run leaves for its user: the verdict, the diff, the resulting files, the sealed ledger."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axiom.api.agenttask import AgentTask, AgentTaskStatus
from axiom.api.conditions import ConditionType
from axiom.evidence.outcomes import decode_outcome, encode_outcome
from axiom.planning.statuses import condition
from axiom.storage.keys import blob_key, outcome_key
from axiom.storage.store import ObjectStore
from axiom_sandbox.snapshots.archives import unpack
from axiom_sandbox.snapshots.captures import apply_changes

_SUMMARY = "result.json"
"""Beside a run's files: what they are the result of."""
SHOWN = {"name", "type", "enforcement", "verdict", "message"}
"""What of a criterion's result is printed."""


@dataclass(frozen=True)
class KeptRun:
    """An earlier run whose files are kept."""

    uid: str
    verdict: str | None
    rounds: int
    workspace: Path


def last_run(runs: Path, task: str) -> KeptRun | None:
    """The last run of a task of this name that left files below `runs`."""
    found = sorted(runs.glob(f"{task}-*/{_SUMMARY}"), key=lambda path: path.stat().st_mtime)
    for path in reversed(found):
        kept = json.loads(path.read_text())
        if kept["task"] == task:
            return KeptRun(kept["uid"], kept["verdict"], kept["rounds"], path.parent / "workspace")
    return None


def kept_outcome(state: Path, run: KeptRun) -> AgentTask:
    """The task as it was when it was complete. Raises ValueError: it is not there, or cannot be read."""
    found = next((state / "store" / "tasks").glob(f"*/{run.uid}/outcome.json"), None)
    if found is None:
        raise ValueError(f"the outcome of {run.uid} is not in {state / 'store'} any more")
    return decode_outcome(found.read_bytes())


def note_review(runs: Path, task: str, decided: dict[str, str]) -> Path | None:
    """Writes a person's decision beside what the last run of a task left; None: there is no such run."""
    if (last := last_run(runs, task)) is None:
        return None
    path = last.workspace.parent / _SUMMARY
    path.write_text(json.dumps(json.loads(path.read_text()) | {"review": decided}))
    return path


@dataclass(frozen=True)
class Result:
    """A finished run. On this machine evidence is named by paths, on a cluster by keys in object storage."""

    task: AgentTask
    status: AgentTaskStatus
    ledger: str | None
    diff: str | None
    """Patch of the last round."""
    workspace: str | None
    """The resulting files: the base with the filtered changes. Only on this machine."""
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The object that `axiom run --json` prints. Without a verdict it also holds `error`."""
        status = self.status
        criteria = status.rounds[-1].criteria if status.rounds else []
        body = {
            "task": self.task.name,
            "verdict": status.verdict,
            "reason": _reason(status),
            "claim": _claim(status),
            "assisted": status.assisted,
            "rounds": len(status.rounds),
            "criteria": [result.model_dump(by_alias=True, mode="json", include=SHOWN) for result in criteria],
            "ledger": {
                "path": self.ledger,
                "records": status.ledger.records if status.ledger else 0,
                "head": status.ledger.head if status.ledger else "",
            },
            "diff": self.diff,
            "workspace": self.workspace,
            "agent": status.agent.model_dump(by_alias=True, mode="json") if status.agent else None,
            "usage": status.usage.model_dump(by_alias=True, mode="json", exclude={"proxies", "told", "cost"})
            if status.usage
            else None,
            "durationSeconds": round(self.seconds, 3),
        }
        if status.verdict is None:
            body["error"] = {"code": "COULD_NOT_RUN", "message": status.message}
        return body


async def collect(
    task: AgentTask,
    status: AgentTaskStatus,
    store: ObjectStore,
    store_folder: Path,
    folder: Path,
    base: Path,
    seconds: float,
) -> Result:
    """Stores the outcome, and puts the last round's diff and files beside the evidence.

    `base` is the run's base archive; diff and files come to lie in `folder`.
    """
    outcome = task.model_copy(update={"status": status})
    await store.put(outcome_key(task.namespace, task.uid), encode_outcome(outcome))
    diff = workspace = None
    last = status.rounds[-1] if status.rounds else None
    if last and last.changes:
        diff, workspace = folder / "diff.patch", folder / "workspace"
        await store.fetch(last.diff, diff)
        changes = folder / "changes.tar.zst"
        await store.fetch(blob_key(last.changes), changes)
        workspace.mkdir()
        await asyncio.to_thread(unpack, base, workspace)
        await asyncio.to_thread(apply_changes, changes, workspace)
        changes.unlink()
    if workspace:
        kept = {"task": task.name, "uid": task.uid, "verdict": status.verdict, "rounds": len(status.rounds)}
        (folder / _SUMMARY).write_text(json.dumps(kept))
    ledger = store_folder / status.ledger.path if status.ledger and status.ledger.records else None
    return Result(task, status, _named(ledger), _named(diff), _named(workspace), seconds)


def of_cluster(task: AgentTask, seconds: float) -> Result:
    """What a complete task's status says of its evidence."""
    status = task.status
    ledger = status.ledger.path if status.ledger and status.ledger.records else None
    diff = status.rounds[-1].diff if status.rounds else ""
    return Result(task, status, ledger, diff or None, None, seconds)


def _claim(status: AgentTaskStatus) -> dict[str, Any] | None:
    """What the agent said, and what of it the evidence says otherwise of."""
    if status.claim is None:
        return None
    found = [one.model_dump(by_alias=True, mode="json") for one in status.claim_disagreements]
    return status.claim.model_dump(by_alias=True, mode="json") | {"disagreements": found}


def _named(path: Path | None) -> str | None:
    return str(path) if path else None


def _reason(status: AgentTaskStatus) -> str | None:
    """Why it ended, in one word."""
    found = condition(status, ConditionType.COMPLETE)
    return found.reason.value if found else None
