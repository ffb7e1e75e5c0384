"""What a local run leaves for its user: the verdict, the diff, the resulting files, the sealed ledger."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axiom.api.agenttask import AgentTask, AgentTaskStatus
from axiom.storage.keys import blob_key
from axiom.storage.store import ObjectStore
from axiom_sandbox.snapshots.archives import unpack
from axiom_sandbox.snapshots.captures import apply_changes

_SHOWN = {"name", "type", "enforcement", "verdict", "message"}


@dataclass(frozen=True)
class Result:
    """A finished local run."""

    task: AgentTask
    status: AgentTaskStatus
    ledger_path: Path | None
    diff: Path | None
    """Patch of the last round."""
    workspace: Path | None
    """The resulting files: the base with the filtered changes."""
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The object that `axiom run --json` prints. Without a verdict it also holds `error`."""
        status = self.status
        criteria = status.rounds[-1].criteria if status.rounds else []
        body = {
            "task": self.task.name,
            "verdict": status.verdict,
            "claim": status.claim.model_dump(by_alias=True, mode="json") if status.claim else None,
            "rounds": len(status.rounds),
            "criteria": [
                result.model_dump(by_alias=True, mode="json", include=_SHOWN) for result in criteria
            ],
            "ledger": {
                "path": str(self.ledger_path) if self.ledger_path else None,
                "records": status.ledger.records if status.ledger else 0,
                "head": status.ledger.head if status.ledger else "",
            },
            "diff": str(self.diff) if self.diff else None,
            "workspace": str(self.workspace) if self.workspace else None,
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
    """Puts the last round's diff and files beside the evidence."""
    """`base` is the run's base archive; diff and files come to lie in `folder`."""
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
    ledger = store_folder / status.ledger.path if status.ledger and status.ledger.records else None
    return Result(task, status, ledger, diff, workspace, seconds)
