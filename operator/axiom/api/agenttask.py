"""AgentTask: a prompt, a workspace, and the criteria for success."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from axiom.api.conditions import Condition
from axiom_sandbox.protocol.criteria import Criterion, Enforcement, RelativePath
from axiom_sandbox.protocol.model import ApiModel
from axiom_sandbox.protocol.quantities import DurationText, MoneyText, QuantityText
from axiom_sandbox.protocol.verdicts import Claim, CriterionResult, Verdict

GROUP = "axiom.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", max_length=253)]


def _prompt(text: str) -> str:
    if not text.strip():
        raise ValueError("the prompt is empty; say what the agent is to do")
    if "\0" in text:
        raise ValueError("the prompt holds a NUL character; remove it")
    return text


class InlineFile(ApiModel):
    """A file given in the task itself."""

    path: RelativePath
    """Path inside the workspace."""
    content: Annotated[str, Field(max_length=262144)]
    """The whole text."""
    executable: bool = False
    """Whether the file gets the executable bit."""


class GitSource(ApiModel):
    """A revision of a git repository, fetched in a pod of its own."""

    url: Annotated[str, Field(pattern=r"^(https|ssh|file)://[^\s]+$", max_length=2048)]
    """https:// or ssh:// address; file:// only with `axiom run`."""
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$")]
    """Commit, tag or branch."""


class ConfigMapSource(ApiModel):
    """A ConfigMap in the task's namespace: each key becomes a file."""

    name: ObjectName
    """Name of the ConfigMap."""


class Workspace(ApiModel):
    """What the agent finds in its working directory: at most one source; none is an empty directory."""

    files: Annotated[list[InlineFile], Field(max_length=128)] = []
    """Files given here."""
    git: GitSource | None = None
    """A revision of a git repository."""
    config_map: ConfigMapSource | None = None
    """The files of a ConfigMap."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [
            name
            for name, value in (("files", self.files), ("git", self.git), ("configMap", self.config_map))
            if value
        ]
        if len(given) > 1:
            raise ValueError(f"only one source may be given; this workspace has {' and '.join(given)}")
        paths = [file.path for file in self.files]
        if twice := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"files names {twice[0]!r} more than once")
        return self


class Budget(ApiModel):
    """What the task may spend at the model's vendor."""

    usd: MoneyText
    """US dollars, as a string such as "2.00"."""


class Resources(ApiModel):
    """Ceilings of the agent's container."""

    cpu: QuantityText = "1"
    """Cores."""
    memory: QuantityText = "2Gi"
    """Bytes of memory."""
    storage: QuantityText = "2Gi"
    """Bytes that workspace and home may hold."""


class Limits(ApiModel):
    """What the task may use up."""

    deadline: DurationText = "1h"
    """Longest time from acceptance to verdict. May be changed while the task runs."""
    idle: DurationText = "10m"
    """Longest silence of the agent's terminal."""
    max_rounds: Annotated[int, Field(ge=1, le=20)] = 3
    """Most rounds: an agent's turn and its verification."""
    budget: Budget | None = None
    """Spend at the model's vendor. May be changed while the task runs."""
    resources: Resources = Resources()
    """Ceilings of the agent's container."""


class Retention(ApiModel):
    """What is kept once the task is complete. May be changed while the task runs."""

    ttl_after_complete: DurationText | None = None
    """The AgentTask is deleted this long after it completed; its evidence stays in object storage. Unset: kept."""


class VerificationSpec(ApiModel):
    """Where the criteria are decided."""

    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Image of the clean room's untrusted side; with Python and pytest for tests. Unset: the installation's own."""


class AgentTaskSpec(ApiModel):
    """What is to be done, and how it is decided that it was."""

    agent_class_name: ObjectName
    """The AgentClass: which agent, which image, which credentials."""
    prompt: Annotated[str, AfterValidator(_prompt), Field(min_length=1, max_length=65536)]
    """What the agent is told."""
    workspace: Workspace = Workspace()
    """What it finds in its working directory."""
    criteria: Annotated[list[Criterion], Field(min_length=1, max_length=32)]
    """What must be true at the end; at least one of them Hard."""
    limits: Limits = Limits()
    """What it may use up."""
    verification: VerificationSpec = VerificationSpec()
    """Where the criteria are decided."""
    suspend: bool = False
    """True ends the pods; false starts again. May be changed while the task runs."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Higher is started first where tasks wait for each other. May be changed while the task runs."""
    retention: Retention = Retention()
    """What is kept afterwards."""

    @model_validator(mode="after")
    def _decidable(self) -> Self:
        if not any(criterion.enforcement is Enforcement.HARD for criterion in self.criteria):
            raise ValueError("criteria has no Hard criterion, so nothing could fail; make at least one Hard")
        names = [criterion.name for criterion in self.criteria]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"criteria has the name {twice[0]!r} more than once; give each its own")
        return self


class TaskState(StrEnum):
    """One word for `kubectl get`, derived from the conditions."""

    PENDING = "Pending"
    REFUSED = "Refused"
    STARTING = "Starting"
    RUNNING = "Running"
    VERIFYING = "Verifying"
    SUSPENDED = "Suspended"
    NEEDS_REVIEW = "NeedsReview"
    COMPLETE = "Complete"
    FAILED = "Failed"


class LedgerReference(ApiModel):
    """Where a ledger lies in object storage, and what proves it whole."""

    path: str
    """Key prefix of its segments."""
    records: int
    """How many records it holds."""
    head: str
    """Hash of its last record."""


class RoundStatus(ApiModel):
    """One agent turn and its verification."""

    number: int
    """1, 2, … over the whole task."""
    attempt: int
    """The attempt in which it ran."""
    claim: Claim | None = None
    """What the agent said."""
    verdict: Verdict | None = None
    """What was found."""
    criteria: list[CriterionResult] = []
    """Each criterion's result."""
    changes: str = ""
    """Digest of the captured changes."""
    fingerprint: str = ""
    """Equal fingerprints are equal workspaces."""
    diff: str = ""
    """Key of the diff as a patch in object storage."""
    trials: int = 0
    """How many verifications of this round have ended."""
    verifier_ledger: LedgerReference | None = None
    """The ledger of the verification that counted."""


class WorkspaceStatus(ApiModel):
    """The base as it was taken."""

    digest: str = ""
    """SHA-256 of the base archive."""


class AgentTaskStatus(ApiModel):
    """What has been found out. Written by the operator alone."""

    observed_generation: int = 0
    """The generation of the spec that this status speaks of."""
    state: TaskState = TaskState.PENDING
    """One word, derived from the conditions."""
    verdict: Verdict | None = None
    """What the verifiers found. Absent until the task is complete, and where nothing could be verified."""
    claim: Claim | None = None
    """What the agent said at the end. Not a verdict."""
    claim_disagreement: bool = False
    """The agent said Done and the verdict is Fail, or the other way round."""
    message: str = ""
    """Why, for a person."""
    attempt: int = 0
    """The present attempt: which pod's life."""
    lost_attempts: int = 0
    """Attempts that ended by no fault of the agent."""
    round: int = 0
    """The present round."""
    rounds: Annotated[list[RoundStatus], Field(max_length=20)] = []
    """All rounds so far."""
    workspace: WorkspaceStatus = WorkspaceStatus()
    """The base as it was taken."""
    ledger: LedgerReference | None = None
    """The last attempt's ledger."""
    recording: str = ""
    """Key of the last attempt's terminal recording in object storage."""
    accepted_time: str | None = None
    """When the task was accepted (RFC 3339)."""
    completion_time: str | None = None
    """When the outcome was written (RFC 3339)."""
    conditions: Annotated[list[Condition], Field(max_length=16)] = []
    """Accepted, SandboxReady, Isolated, Running, Verified, Complete."""


class AgentTask(ApiModel):
    """A task for an agent, in a sandbox, with the criteria that decide whether it succeeded."""

    api_version: Literal["axiom.dev/v1alpha1"] = "axiom.dev/v1alpha1"
    kind: Literal["AgentTask"] = "AgentTask"
    metadata: dict[str, Any]
    spec: AgentTaskSpec
    status: AgentTaskStatus = AgentTaskStatus()

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.metadata["name"])

    @property
    def namespace(self) -> str:
        """metadata.namespace; `default` where there is none."""
        return str(self.metadata.get("namespace") or "default")

    @property
    def uid(self) -> str:
        """metadata.uid."""
        return str(self.metadata.get("uid", ""))


MUTABLE_SPEC_FIELDS = ("suspend", "priority", "retention")
"""Fields of the spec that may change while a task runs, besides limits.deadline and limits.budget."""
MUTABLE_LIMITS = ("deadline", "budget")
