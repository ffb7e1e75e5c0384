"""A finished task as it lies in a store: its outcome, its ledgers, its diff and its recording."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from axiom.api.agenttask import AgentTask
from axiom.api.loading import parse_task
from axiom.evidence.outcomes import encode_outcome
from axiom.storage.keys import blob_key, outcome_key
from axiom_sandbox.ledger.files import compress
from axiom_sandbox.ledger.records import ORIGIN, encode
from axiom_sandbox.protocol.agents import AgentMode, DriverName
from axiom_sandbox.protocol.checkpoints import DriverMoment, LedgerPosition, Manifest, Why, WorkspaceMoment
from axiom_sandbox.protocol.identity import Identity, Role

BEGAN = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
UID = "8f14e45f-ceea-467f-a0e6-3a6c0e8f2b11"
Events = list[tuple[str, dict[str, Any]]]

AGENT: Events = [
    ("user_msg", {"round": 1, "text": "Make it pass."}),
    ("terminal", {"start": 0, "size": 11}),
    ("claim", {"round": 1, "claim": {"says": "Done", "exitCode": 0, "text": "All tests pass!"}}),
    ("captured", {"round": 1, "changes": "c", "diff": "d", "fingerprint": "f", "paths": 2, "findings": []}),
    ("closed", {"reason": "Stopped"}),
]
VERIFIER: Events = [
    (
        "criteria_check",
        {
            "round": 1,
            "result": {
                "name": "tests", "type": "Tests", "enforcement": "Hard", "verdict": "Fail",
                "message": "test_1900 failed", "strength": "InProcess",
            },
            "evidence": {},
        },
    ),
    ("verdict", {"round": 1, "verdict": "Fail"}),
    ("closed", {"reason": "Stopped"}),
]  # fmt: skip
PATCH = b"""diff --git a/src/leap.py b/src/leap.py
--- a/src/leap.py
+++ b/src/leap.py
@@ -1,2 +1,3 @@
 def leap(year):
-    return False
+    # every fourth
+    return year % 4 == 0
"""


def lines_of(events: Events, slot: Identity, began: datetime = BEGAN) -> tuple[list[bytes], str]:
    """Events → a ledger's lines and its head, a second apart."""
    lines, head = [], ORIGIN
    for seq, (event, payload) in enumerate(events, 1):
        line, head = encode(
            seq=seq,
            time=began + timedelta(seconds=seq),
            identity=slot,
            event=event,
            payload=payload,
            prev=head,
        )
        lines.append(line + b"\n")
    return lines, head


@dataclass
class StoredRun:
    """One task in a folder store."""

    root: Path
    agent: Events
    verifier: Events
    prompt: str = "Make it pass."
    name: str = "fix-leap-year"
    uid: str = UID
    patch: bytes = PATCH
    recording: bytes = b""
    verdict: str = "Fail"
    agent_class: str = "codex"
    completed: datetime = BEGAN + timedelta(minutes=5)
    per_segment: int = 2

    def write(self) -> AgentTask:
        """Puts everything in place."""
        agent = Identity(namespace="ns", task=self.name, task_id=self.uid, attempt=1, role=Role.AGENT)
        verifier = agent.model_copy(update={"role": Role.VERIFIER, "round": 1, "trial": 1})
        heads = {
            slot: self._ledger(slot, events)
            for slot, events in ((agent, self.agent), (verifier, self.verifier))
        }
        diff = self.blob(self.patch)
        task = parse_task(
            {
                "metadata": {"name": self.name, "namespace": "ns", "uid": self.uid},
                "spec": {
                    "agentClassName": self.agent_class,
                    "prompt": self.prompt,
                    "criteria": [{"name": "f", "files": {"expect": [{"path": "x"}]}}],
                },
                "status": {
                    "verdict": self.verdict,
                    "attempt": 1,
                    "completionTime": self.completed.isoformat().replace("+00:00", "Z"),
                    "message": "tests: test_1900 failed",
                    "claimDisagreement": True,
                    "rounds": [
                        {
                            "number": 1, "attempt": 1, "diff": diff, "verdict": self.verdict, "trials": 1,
                            "verifierLedger": heads[verifier],
                        }
                    ],
                    "ledger": heads[agent],
                    "recording": self.blob(self.recording) if self.recording else "",
                    "usage": {"requests": 3, "inputTokens": 1200, "outputTokens": 300, "costUsd": "0.41"},
                },
            }
        )  # fmt: skip
        self.put(outcome_key("ns", self.uid), encode_outcome(task))
        return task

    def folder(self, slot: str = "agent") -> Path:
        """Where a ledger's segments lie."""
        return self.root / f"tasks/ns/{self.uid}/attempts/1/{slot}/ledger"

    def blob(self, data: bytes) -> str:
        """A blob; returns its key."""
        key = blob_key(hashlib.sha256(data).hexdigest())
        self.put(key, data)
        return key

    def put(self, key: str, data: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def _ledger(self, slot: Identity, events: Events) -> dict[str, Any]:
        lines, head = lines_of(events, slot)
        for number, first in enumerate(range(0, len(lines), self.per_segment), 1):
            data = compress(b"".join(lines[first : first + self.per_segment]))
            self.put(f"{slot.prefix}/ledger/{number:06}.jsonl.zst", data)
        return {"path": f"{slot.prefix}/ledger/", "records": len(lines), "head": head}


def stored_run(root: Path, **changes: Any) -> StoredRun:
    """A run that is written already."""
    run = StoredRun(root, **{"agent": AGENT, "verifier": VERIFIER, **changes})
    run.write()
    return run


def manifest_of(owner: Identity, base: str) -> Manifest:
    """Of checkpoint 4 of an agent, on this base."""
    return Manifest(
        identity=owner,
        number=4,
        why=Why.TURN,
        taken_ms=1,
        round=1,
        turn_over=True,
        last_prompt="",
        state=None,
        driver=DriverMoment(name=DriverName.GENERIC, mode=AgentMode.STRUCTURED),
        workspace=WorkspaceMoment(base=base, fingerprint="f"),
        terminal=None,
        ledger=LedgerPosition(path="", records=1, head=""),
        parts=(),
    )
