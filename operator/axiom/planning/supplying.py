"""The workspace on its way: the one-shot pod that brings it, how far it has come, and why it does not arrive."""

from __future__ import annotations

from dataclasses import replace

from axiom.api.agenttask import WorkspaceStatus
from axiom.api.conditions import ConditionType, Reason
from axiom.planning.actions import Action, CreateSandbox, Wait
from axiom.planning.observed import Presence, SandboxView, Trouble
from axiom.planning.present import Present
from axiom.planning.sources import Never, NotYet, Result, result_of
from axiom.planning.statuses import has_reason, with_condition
from axiom.planning.steps import RETRY_SECONDS, delete, note_trouble, wait_for_gateway, waiting, write_if_new
from axiom_sandbox.protocol.channel import Phase, SandboxState
from axiom_sandbox.protocol.identity import Role


def supply(present: Present) -> tuple[Action, ...]:
    """The one-shot pod that brings the workspace, until its result is known."""
    role = _role(present)
    if role is None:
        return ()
    supplier = _supplier(present)
    if supplier is None:
        result = _source(present)
        if isinstance(result, NotYet | Never):
            return ()
        identity = present.observed.identity(role, present.status.attempt)
        return (CreateSandbox(identity, result.base, result.changes) if result else CreateSandbox(identity),)
    if supplier.phase is Phase.FAILED or supplier.presence is Presence.GONE or _is_to_be_replaced(supplier):
        return (delete(supplier),)
    return ()


def awaited_place(present: Present) -> tuple[Action, ...] | None:
    """What is to be done before the agent's sandbox may take a place; None: it may.

    An agent that waits for its workspace holds what it asks for. So it comes only once the pod that brings it has a place
    itself: else agents fill a node, and none of their suppliers finds room on it.
    """
    supplier = _supplier(present)
    if _role(present) is None or (supplier and supplier.placed):
        return None
    trouble = _trouble(present, supplier)
    return (*supply(present), *(note_trouble(present, trouble) if trouble else waiting(present)))


def with_kept_workspace(present: Present) -> Present:
    """Where the workspace is in object storage already, that is known from now on: its supplier leaves.

    In the ordinary case that is said with the agent's start; while an agent finds no place, suppliers that have done their
    work must not be what takes it.
    """
    supplier = _supplier(present)
    if _role(present) is None or supplier is None or not supplier.has_sealed("workspace"):
        return present
    assert supplier.state
    [digest] = [blob.digest for blob in supplier.state.blobs if blob.name == "workspace"]
    workspace = present.status.workspace.model_copy(
        update={"digest": digest, "revision": _revision(present, supplier)}
    )
    return replace(present, status=present.status.model_copy(update={"workspace": workspace}))


def waiting_for_workspace(present: Present, agent: SandboxView) -> tuple[Action, ...]:
    """The agent's sandbox is up, and its workspace is not in it yet."""
    supplier = _supplier(present)
    failure = supplier.state.failure if supplier and supplier.state else None
    if supplier and failure:
        if not has_reason(present.status, ConditionType.SANDBOX_READY, Reason.WORKSPACE_FAILED):
            return note_trouble(present, Trouble(Reason.WORKSPACE_FAILED, failure.message))
        age = supplier.quiet_seconds
        return (delete(supplier),) if age > RETRY_SECONDS else (Wait(RETRY_SECONDS - age, failure.message),)
    if trouble := _trouble(present, supplier):
        return (*supply(present), *note_trouble(present, trouble))
    supplying = supply(present)
    if told := _tell_progress(present, supplier):
        return (*supplying, *told)
    if supplying or (supplier and not supplier.has_blob("workspace")):
        return (*supplying, *waiting(present))
    waits = supplier if supplier and not supplier.has_sealed("workspace") else agent
    return wait_for_gateway(
        present, waits, "to bring the workspace", ConditionType.SANDBOX_READY, value=False
    )


def workspace_found(present: Present, agent: SandboxState) -> tuple[WorkspaceStatus, str]:
    """What the status says of a workspace that is in place, and what a person should know of it."""
    supplier = _supplier(present)
    source = supplier.state if supplier else None
    before = present.status.workspace
    found = before.model_copy(
        update={
            "digest": agent.workspace,
            "revision": before.revision or _revision(present, supplier),
            "bytes": agent.workspace_bytes,
            "files": agent.workspace_files,
        }
    )
    return found, "; ".join(source.notes) if source else ""


def _revision(present: Present, supplier: SandboxView | None) -> str:
    result = _source(present)
    if isinstance(result, Result):
        return result.revision
    return supplier.state.revision_id if supplier and supplier.state else ""


def _role(present: Present) -> Role | None:
    return None if present.status.workspace.digest else present.spec.workspace.supplier


def _supplier(present: Present) -> SandboxView | None:
    role = present.spec.workspace.supplier
    return present.observed.sandbox(role, present.status.attempt) if role else None


def _source(present: Present) -> Result | NotYet | Never | None:
    """The result of another task that is to be the workspace; None where it comes from elsewhere."""
    source = present.spec.workspace.task
    return result_of(source, present.observed.source) if source else None


def _is_to_be_replaced(supplier: SandboxView) -> bool:
    return supplier.outdated and supplier.trouble is not None and supplier.state is None


def _tell_progress(present: Present, supplier: SandboxView | None) -> tuple[Action, ...]:
    """How far a large workspace has come. The trusted sides tell that so rarely that each time may be a status write."""
    for view in (present.agent, supplier):
        if view and view.state and view.state.progress:
            status = with_condition(
                present.status,
                present.now,
                ConditionType.SANDBOX_READY,
                False,
                Reason.WAITING_FOR_WORKSPACE,
                view.state.progress.text,
            )
            return write_if_new(present.observed, status)
    return ()


def _trouble(present: Present, supplier: SandboxView | None) -> Trouble | None:
    """Why nobody brings the workspace, where somebody has to."""
    role = _role(present)
    if role is None:
        return None
    result = _source(present)
    if supplier is None and isinstance(result, NotYet | Never):
        return Trouble(Reason.WORKSPACE_FAILED, result.why)
    if supplier is None and present.observed.creation_refused:
        return Trouble(
            Reason.CREATION_REFUSED, f"the {role.value}'s pod: {present.observed.creation_refused}"
        )
    if supplier and supplier.trouble and supplier.presence is not Presence.GONE:
        trouble = supplier.trouble
        if trouble.reason is Reason.WORKSPACE_FAILED:
            return trouble
        return Trouble(trouble.reason, f"the {role.value}'s pod: {trouble.message}")
    return None
