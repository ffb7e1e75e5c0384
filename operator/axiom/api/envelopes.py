"""When two tasks ask for the same. Pure."""

from __future__ import annotations

import hashlib
import json
import re

from axiom.api.agenttask import AgentTaskSpec, Workspace

_ENVELOPE = ("agent_class_name", "prompt", "workspace", "criteria", "verification", "capabilities")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def envelope_of(spec: AgentTaskSpec) -> str:
    """SHA-256 of all that an agent is given and judged by, in hexadecimal; empty where the workspace may be another each time.

    Limits, priority and what becomes of the result are no part of it.
    """
    if not _is_fixed(spec.workspace):
        return ""
    asked = spec.model_dump(mode="json", by_alias=True, include=set(_ENVELOPE))
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _is_fixed(workspace: Workspace) -> bool:
    if workspace.git:
        return bool(_COMMIT.fullmatch(workspace.git.revision))
    if workspace.archive:
        return workspace.archive.digest is not None
    return not (
        workspace.config_map or workspace.task or workspace.persistent_volume_claim or workspace.checkpoint
    )
