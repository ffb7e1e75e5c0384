"""The conditions of an AgentTask and every reason they can have, each documented where it is defined."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from axiom_sandbox.protocol.model import ApiModel
from axiom_sandbox.protocol.verdicts import StatusText


class ConditionType(StrEnum):
    """The conditions, in the order of a task's life."""

    ACCEPTED = "Accepted"
    """The spec makes sense and its class exists."""
    SANDBOX_READY = "SandboxReady"
    """The present attempt's sandbox is up and its trusted side answers."""
    ISOLATED = "Isolated"
    """The probe, run from inside before the agent, found nothing possible that must not be."""
    RUNNING = "Running"
    """The agent works, or its work is being verified."""
    VERIFIED = "Verified"
    """The last round has a verdict."""
    PUSHED = "Pushed"
    """The result is a branch. Set only where spec.result.push asks for one."""
    COMPLETE = "Complete"
    """The outcome is written and will not change."""


class ConditionStatus(StrEnum):
    """Kubernetes' three values."""

    TRUE = "True"
    """It is so."""
    FALSE = "False"
    """It is not so; the reason says why."""
    UNKNOWN = "Unknown"
    """It cannot be told yet."""


class Reason(StrEnum):
    """Why a condition has its status."""

    ACCEPTED = "Accepted"
    """Accepted: the task will be worked on."""
    INVALID_SPEC = "InvalidSpec"
    """Accepted: the spec cannot be carried out; the message names the field. Apply a corrected task."""
    CLASS_NOT_FOUND = "ClassNotFound"
    """Accepted: no AgentClass has this name. Create it, and the task goes on."""
    CLASS_INVALID = "ClassInvalid"
    """Accepted: the AgentClass lacks something a cluster needs. Mend it, and the task goes on."""
    PROFILE_INVALID = "ProfileInvalid"
    """Accepted: a VerificationProfile that the task names is not there, cannot be read, or brings too many criteria. Mend it, and the task goes on."""
    CAPABILITY_BEYOND_CLASS = "CapabilityBeyondClass"
    """Accepted: the task asks for more than its AgentClass lets it do. Remove it, or widen the class, and the task goes on."""
    JUDGE_MISSING = "JudgeMissing"
    """Accepted: a criterion needs a judge that the AgentClass does not have. Add it to the class, and the task goes on."""
    PRICES_MISSING = "PricesMissing"
    """Accepted: the task has a budget that nobody could hold: its AgentClass has no prices, or nothing counts what its agent uses. The message says which; add what is missing or remove the budget, and the task goes on."""
    SAME_AS_FAILED = "SameAsFailed"
    """Accepted: a task of this namespace that asked for the same failed. Change the task, or set spec.force, and it goes on."""
    WAITING_FOR_TASK = "WaitingForTask"
    """Accepted: spec.workspace.task names a task that is not complete yet. Nothing runs, and limits.deadline does not count."""
    CREATING = "Creating"
    """SandboxReady: the pod is being created or scheduled."""
    UNSCHEDULABLE = "Unschedulable"
    """SandboxReady, Verified: no node has room for the pod. It starts when one has."""
    IMAGE_PULL_FAILED = "ImagePullFailed"
    """SandboxReady, Verified: an image cannot be pulled. The message says which and where to correct it; the task goes on."""
    CONTAINER_FAILED = "ContainerFailed"
    """SandboxReady, Verified: a container of the pod cannot start. The message says which and why."""
    CREATION_REFUSED = "CreationRefused"
    """SandboxReady, Verified: the API server refused the pod (quota, admission, permissions). Tried again every 30 s."""
    SUPERVISOR_UNREACHABLE = "SupervisorUnreachable"
    """SandboxReady: the pod runs, but its trusted side does not answer."""
    WAITING_FOR_VENDOR = "WaitingForVendor"
    """SandboxReady, Running: the API of the model's vendor does not answer, whoever asks. No sandbox is started, an agent that dies is started again once it answers, and limits.deadline stands; one task after the other tries."""
    WAITING_FOR_WORKSPACE = "WaitingForWorkspace"
    """SandboxReady: the workspace is on its way."""
    WORKSPACE_FAILED = "WorkspaceFailed"
    """SandboxReady, Complete: the workspace cannot be had. The message names the source and the cure."""
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    """SandboxReady, Verified, Complete: the gateway cannot use object storage; the task waits, and goes on once it can."""
    GATEWAY_SILENT = "GatewaySilent"
    """SandboxReady, Verified, Complete: no gateway brings the workspace or stores evidence; the task waits for one."""
    READY = "Ready"
    """SandboxReady: the trusted side answers and the workspace is in place."""
    LOST = "Lost"
    """SandboxReady: the pod is gone or its trusted side gave up, the message says how; a new attempt follows."""
    EVICTED = "Evicted"
    """SandboxReady: the pod was evicted: its node ran short of memory or disk, or somebody drains it; a new attempt follows."""
    PREEMPTED = "Preempted"
    """SandboxReady: the pod made room for one of higher priority; a new attempt follows."""
    NODE_LOST = "NodeLost"
    """SandboxReady: the pod's node went away, shut down or crashed; a new attempt follows."""
    MADE_ROOM = "MadeRoom"
    """SandboxReady: the round is captured and its verifier found no room, so the agent's sandbox gave up its place."""
    ROUNDS_OVER = "RoundsOver"
    """SandboxReady: the last round is captured and stored; the agent's sandbox left, and its work is judged without it."""
    PROBE_PASSED = "ProbePassed"
    """Isolated: every assertion of the probe held."""
    ISOLATION_FAILED = "IsolationFailed"
    """Isolated: the probe found something possible that must not be; the agent was never started."""
    AGENT_RUNNING = "AgentRunning"
    """Running: the agent works on a round."""
    WAITING_FOR_APPROVAL = "WaitingForApproval"
    """Running: the agent asks whether it may use a tool, and waits; status.questions says what for and until when. Answer with `axiom approve`."""
    VERIFYING = "Verifying"
    """Running, Verified: the agent is frozen, its work is being verified."""
    SUSPENDED = "Suspended"
    """SandboxReady, Running: spec.suspend is true; a checkpoint is kept, and the pods are gone or going."""
    ROLLED_BACK = "RolledBack"
    """SandboxReady: spec.rollbackTo names a checkpoint; a new attempt goes on from there."""
    CHECKPOINT_BROKEN = "CheckpointBroken"
    """SandboxReady: the checkpoint that the attempt was to begin from does not hold; one before it is used."""
    ENDED = "Ended"
    """Running: no agent runs any more."""
    PASSED = "Passed"
    """Verified, Complete: every hard criterion passed."""
    FAILED = "Failed"
    """Verified, Complete: a hard criterion failed, and no round was left."""
    INCONCLUSIVE = "Inconclusive"
    """Verified: the verification could not decide."""
    PUSHING = "Pushing"
    """Pushed: the verdict stands, and the branch is on its way."""
    BRANCH_PUSHED = "BranchPushed"
    """Pushed: status.result says which branch and commit."""
    NOT_PUSHED = "NotPushed"
    """Pushed: there was nothing to push, or not on this verdict."""
    PUSH_FAILED = "PushFailed"
    """Pushed: the branch could not be pushed; the verdict stands. The message says why, and the cure."""
    NEEDS_REVIEW = "NeedsReview"
    """Complete: a person has to look: verification stayed inconclusive, or a further round changed nothing."""
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """Complete: limits.deadline passed."""
    IDLE_EXCEEDED = "IdleExceeded"
    """Complete: the agent was silent for longer than limits.idle."""
    STORAGE_EXCEEDED = "StorageExceeded"
    """Complete: the workspace grew past limits.resources.storage."""
    PROCESS_LIMIT_EXCEEDED = "ProcessLimitExceeded"
    """Complete: the agent started more processes than the class allows."""
    BUDGET_EXCEEDED = "BudgetExceeded"
    """Complete: limits.budget was spent, or the spend could not be told; the message says which."""
    START_FAILED = "StartFailed"
    """Complete: the agent's command could not be executed."""
    ATTEMPTS_EXHAUSTED = "AttemptsExhausted"
    """Complete: three attempts were lost by no fault of the agent."""
    LEDGER_FAILED = "LedgerFailed"
    """Complete: evidence could not be made durable."""
    INTERNAL_ERROR = "InternalError"
    """Complete: a fault of Axiom's; the message says where."""


EXPECTED_REASONS = frozenset(
    {
        Reason.ACCEPTED,
        Reason.WAITING_FOR_TASK,
        Reason.CREATING,
        Reason.WAITING_FOR_WORKSPACE,
        Reason.READY,
        Reason.ROUNDS_OVER,
        Reason.PROBE_PASSED,
        Reason.AGENT_RUNNING,
        Reason.WAITING_FOR_APPROVAL,
        Reason.VERIFYING,
        Reason.PUSHING,
        Reason.BRANCH_PUSHED,
        Reason.NOT_PUSHED,
        Reason.SUSPENDED,
        Reason.ROLLED_BACK,
        Reason.ENDED,
        Reason.PASSED,
    }
)
"""Reasons that need nobody's attention. docs/troubleshooting.md has an entry for each of the others."""


class Condition(ApiModel):
    """A condition as Kubernetes writes them."""

    type: ConditionType
    """Which condition."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Reason
    """One word of why."""
    message: StatusText = ""
    """Why, for a person."""
    observed_generation: int = 0
    """The generation of the spec that it speaks of."""
    last_transition_time: Annotated[str, Field(max_length=64)] = ""
    """When the status last changed (RFC 3339)."""
