"""`--from-checkpoint`: the task as it is in its file, but for where it begins."""

from __future__ import annotations

import re

from axiom.api.agenttask import AgentTask, CheckpointSource, ResultSpec, Workspace
from axiom.api.explaining import Problem
from axiom.api.loading import RefusedError

_WANTED = re.compile(r"(?P<task>[a-z0-9][-.a-z0-9]{0,252})(:(?P<number>[1-9][0-9]{0,5}))?")


def from_checkpoint(task: AgentTask, wanted: str | None) -> AgentTask:
    """The task that begins from this checkpoint; as it is where none is named. Pure. Raises RefusedError."""
    if wanted is None:
        return task
    found = _WANTED.fullmatch(wanted)
    if found is None:
        cure = f"{wanted!r} is no checkpoint; write the other task's name, and perhaps a number: first or first:3"
        raise RefusedError(task.name, [Problem("--from-checkpoint", cure)])
    number = int(found["number"]) if found["number"] else None
    workspace = Workspace(checkpoint=CheckpointSource(task=found["task"], number=number))
    # A branch grows from a revision that is fetched, and here nothing is.
    changed = {"workspace": workspace, "result": ResultSpec()}
    return task.model_copy(update={"spec": task.spec.model_copy(update=changed)})
