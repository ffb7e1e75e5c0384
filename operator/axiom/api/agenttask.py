"""AgentTask: a prompt, a workspace, and the criteria for success."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

import re2
from pydantic import Field, TypeAdapter, model_validator

from axiom.api.conditions import Condition
from axiom.api.usage import UsageStatus
from axiom_sandbox.protocol.changes import CandidateSource
from axiom_sandbox.protocol.checkpoints import Why
from axiom_sandbox.protocol.checks import Check, Keyed, Rule, form
from axiom_sandbox.protocol.criteria import Criterion, Digest, Enforcement, RelativePath
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.model import ApiModel
from axiom_sandbox.protocol.quantities import DurationText, MoneyText, QuantityText
from axiom_sandbox.protocol.verdicts import Claim, ClaimDisagreement, CriterionResult, StatusText, Verdict

GROUP = "axiom.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

MUTABLE_SPEC_FIELDS = ("suspend", "rollbackTo", "priority", "retention", "force", "review")
"""Fields of the spec that may change while a task runs, besides those of MUTABLE_LIMITS."""
MUTABLE_LIMITS = ("deadline", "budget")
"""Fields of spec.limits that may change while a task runs."""

ObjectName = Annotated[
    str,
    Field(max_length=253),
    form(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "is not a Kubernetes name; write small letters, digits, dots and -, such as fix-leap-year",
    ),
]
HostName = Annotated[
    str,
    Field(max_length=253),
    form(
        r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
        "is not the name of a host; write it in small letters, such as pypi.org, not as an address and without a port",
    ),
]
ImageName = Annotated[
    str,
    Field(max_length=512),
    form(r"^\S+$", "is not an image; write it as in a pod, such as registry.example/agent:1.2"),
]
_PASSWORD_IN_URL = "^[a-z]+://[^/@]*:[^/@]*@"  # noqa: S105 - a pattern
NO_PASSWORD = Check(
    lambda url: re2.search(_PASSWORD_IN_URL, url) is None,
    f"!self.matches('{_PASSWORD_IN_URL}')",
    "holds a password, and everybody who reads the task would read it; put it into a Secret and name that in credentialsSecret",
)
ObjectKey = Annotated[str, Field(max_length=1024)]
"""A key in object storage, or a digest."""
Timestamp = Annotated[str, Field(max_length=64)]
"""RFC 3339."""

_PUSH_URL = "^(https|ssh)://[^ ]+$"
BAD_PUSH_URL = "url is not an address to push to; write https://… or ssh://… without a password"
PUSH_NEEDS_GIT = "result.push needs workspace.git, as the branch grows from the revision that was fetched; remove one or add the other"
PATH_NEEDS_MESSAGE = "messagePath says where code of the final message is put, so it needs candidate: Message; add that, or remove it"
NO_HARD_CRITERION = "criteria has no Hard criterion, so nothing could fail; make at least one Hard"
JUDGE_ALONE = (
    "a judge can only veto, so nothing would be proved; make a criterion of another type Hard besides"
)
STORED_WITHOUT_NUMBER = "stored is of one checkpoint; write its number, too"
ONE_SOURCE = "only one source may be given"
IMMUTABLE = (
    "of a task that exists only suspend, rollbackTo, priority, retention, force, review, limits.deadline and limits.budget"
    " may be changed; create a new task"
)


_CRITERIA: TypeAdapter[list[Criterion]] = TypeAdapter(list[Criterion])


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

    url: Annotated[
        str,
        Field(max_length=2048),
        form(r"^(https|ssh|file)://\S+$", "is not an address to fetch from; write https://… or ssh://…"),
        NO_PASSWORD,
    ]
    """https:// or ssh:// address; file:// only with `axiom run`."""
    revision: Annotated[
        str,
        Field(max_length=256),
        form(r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", "is not a revision; write a commit, a tag or a branch"),
    ]
    """Commit, tag or branch."""
    submodules: bool = False
    """Whether submodules are fetched, too, from where .gitmodules says, by the same rules. Else they are empty directories."""
    credentials_secret: ObjectName | None = None
    """A Secret in the task's namespace that the pod which fetches mounts, and no other. Its key `host` must name the server
    of the address (git.example, or git.example:8443); for https it holds `password` (or a token) and perhaps `username`, for
    ssh `ssh-privatekey` and `known_hosts`. With `axiom run`: the variable AXIOM_SECRET_<NAME> names a folder with such files."""


class ConfigMapSource(ApiModel):
    """A ConfigMap in the task's namespace: each key becomes a file."""

    name: ObjectName
    """Name of the ConfigMap."""


class ArchiveSource(ApiModel):
    """A tar, tar.gz or tar.zst in the installation's bucket. Who may put one there is the bucket's to say."""

    key: Annotated[
        str,
        Field(max_length=512),
        form(
            r"^[A-Za-z0-9_=+,@-][A-Za-z0-9._=+,@-]*(/[A-Za-z0-9_=+,@-][A-Za-z0-9._=+,@-]*)*$",
            "is not a key; write letters, digits and ._=+,@- with / between parts that do not begin with a dot",
        ),
    ]
    """Key below inputs/<the task's namespace>/ of the bucket: no task reads another namespace's, and none evidence. With
    `axiom run`: a file, from the present folder on."""
    digest: Digest | None = None
    """SHA-256 that the archive must have, in hexadecimal. Unset: any; status.workspace.revision says which it was."""


class TaskSource(ApiModel):
    """What another task of the same namespace made of its workspace. This task is accepted once that one is complete."""

    name: ObjectName
    """Name of the other AgentTask. With `axiom run`: of the last run of a task of this name."""
    round: Annotated[int, Field(ge=1, le=20)] | None = None
    """Which round's result; unset: the last one's."""
    allow_failed: bool = False
    """Whether a result with another verdict than Pass will do. Else this task ends with WorkspaceFailed."""


class VolumeSource(ApiModel):
    """A PersistentVolumeClaim of the task's namespace. A pod of its own mounts it read-only and copies; no sandbox mounts it."""

    claim_name: ObjectName
    """Name of the claim."""
    path: RelativePath | None = None
    """Folder inside the volume; unset: all of it. User 1000 must be able to read everything in it."""


class StoredCheckpoint(ApiModel):
    """A checkpoint in object storage whose AgentTask may be gone. `axiom fork TASK NAME --from s3://BUCKET` writes it. It is
    brought only if it lies among the evidence of a task of this namespace."""

    uid: Annotated[
        str,
        Field(max_length=63),
        form(
            r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$",
            "is not the UID of a task; write it as axiom history --json prints it",
        ),
    ]
    """metadata.uid of the AgentTask that it was taken of."""
    attempt: Annotated[int, Field(ge=1, le=1000000)]
    """The attempt in which it was taken."""
    digest: Digest
    """SHA-256 of its manifest."""


class CheckpointSource(ApiModel):
    """A checkpoint of another task of the same namespace: its files, and its agent's session where the class has the same
    driver. The base is the other task's, so criteria are decided against what people gave, not against what an agent made of
    it. This task is accepted once the checkpoint is there."""

    task: ObjectName
    """Name of the other AgentTask. With `axiom run`: of the last run of a task of this name."""
    number: Annotated[int, Field(ge=1, le=1000000)] | None = None
    """Which checkpoint; unset: the last one that there is."""
    stored: StoredCheckpoint | None = None
    """Where it lies in object storage: then nobody looks for an AgentTask. On a cluster alone."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.stored) || has(self.number)", STORED_WITHOUT_NUMBER),
    )

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if self.stored and self.number is None:
            raise ValueError(STORED_WITHOUT_NUMBER)
        return self


class Workspace(ApiModel):
    """What the agent finds in its working directory: at most one source; none is an empty directory."""

    files: Annotated[list[InlineFile], Field(max_length=128), Keyed("path")] = []
    """Files given here."""
    git: GitSource | None = None
    """A revision of a git repository."""
    config_map: ConfigMapSource | None = None
    """The files of a ConfigMap."""
    archive: ArchiveSource | None = None
    """An archive in object storage."""
    task: TaskSource | None = None
    """The result of another task."""
    persistent_volume_claim: VolumeSource | None = None
    """A copy of a volume."""
    checkpoint: CheckpointSource | None = None
    """A checkpoint of another task."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[self.files.size() > 0, has(self.git), has(self.configMap), has(self.archive), has(self.task),"
            " has(self.persistentVolumeClaim), has(self.checkpoint)].filter(given, given).size() <= 1",
            f"{ONE_SOURCE}: files, git, configMap, archive, task, persistentVolumeClaim or checkpoint; remove the others",
        ),
    )

    @property
    def supplier(self) -> Role | None:
        """The one-shot pod that brings it; None where the gateway packs it."""
        if self.git:
            return Role.FETCHER
        return Role.COPIER if self.archive or self.task or self.persistent_volume_claim else None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = (
            ("files", self.files),
            ("git", self.git),
            ("configMap", self.config_map),
            ("archive", self.archive),
            ("task", self.task),
            ("persistentVolumeClaim", self.persistent_volume_claim),
            ("checkpoint", self.checkpoint),
        )
        given = [name for name, value in sources if value]
        if len(given) > 1:
            raise ValueError(f"{ONE_SOURCE}; this workspace has {' and '.join(given)}; remove all but one")
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


class StricterAct(StrEnum):
    """What a task may have done about a full context in place of what its class says."""

    STOP = "Stop"
    """The turn ends, as a claim that was not finished."""


class ContextCapability(ApiModel):
    """Something is done about the agent's context earlier than its class says, or its turn ends in place of that."""

    at_percent: Annotated[int, Field(ge=10, le=99)] | None = None
    """From this share of what its model can hold on, which is no more than the class's context.atPercent. Unset: as the class
    says."""
    then: StricterAct | None = None
    """What. Unset: as the class says."""


class Capabilities(ApiModel):
    """Less than what the class lets its agents do. Nothing here gives more."""

    write_paths: Annotated[list[RelativePath], Field(max_length=32)] | None = None
    """Paths of the workspace that the agent may change, and all below them; what is not there at its start cannot be made.
    Home and /tmp stay writable. Unset: the whole workspace. Rests on Landlock."""
    destinations: Annotated[list[HostName], Field(max_length=64)] | None = None
    """Which of the class's egress.destinations the agent may reach; unset: all of them."""
    context: ContextCapability | None = None
    """A stricter rule for a context that fills up than context of the class. Where the class has none, atPercent and then."""


class Limits(ApiModel):
    """What the task may use up."""

    deadline: DurationText = "1h"
    """Longest time from acceptance to verdict, without what the task is suspended for, or waits for its model's vendor. May be
    changed while the task runs."""
    idle: DurationText = "10m"
    """Longest silence of the agent's terminal."""
    max_rounds: Annotated[int, Field(ge=1, le=20)] = 3
    """Most rounds: an agent's turn and its verification."""
    budget: Budget | None = None
    """Spend at the model's vendor: once it is reached, no further call of a model is let out, and the task ends with
    BudgetExceeded. The AgentClass must have prices. May be changed while the task runs."""
    resources: Resources = Resources()
    """Ceilings of the agent's container."""


class PushWhen(StrEnum):
    """On which verdict a branch is pushed."""

    PASS = "Pass"  # noqa: S105 - a verdict, not a password
    """On Pass, and once a person has accepted the result (`axiom review --accept`)."""
    ALWAYS = "Always"
    """Whatever the verdict on the last round is, as long as there is one."""


class PushSpec(ApiModel):
    """A branch that is made of the result, by a pod of its own, before the task is complete. What comes of it does not change
    the verdict; the condition Pushed tells it."""

    branch: Annotated[
        str,
        Field(max_length=200),
        form(
            r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$",
            "is not the name of a branch; write one such as axiom/fix-leap-year",
        ),
        Check(
            lambda name: ".." not in name and not name.endswith((".", ".lock")),
            "!self.contains('..') && !self.endsWith('.') && !self.endsWith('.lock')",
            "is not the name of a branch; it may not hold .. nor end in . or .lock",
        ),
    ]
    """Name of the branch. A branch that is there is moved on where that is possible without force, else left as it is."""
    url: Annotated[
        str | None,
        Field(max_length=2048),
    ] = None
    """https:// or ssh:// address of the repository; unset: that of workspace.git."""
    credentials_secret: ObjectName | None = None
    """A Secret in the task's namespace with the right to push, as in workspace.git.credentialsSecret. The pod that pushes
    mounts it, and no other."""
    when: PushWhen = PushWhen.PASS
    """On which verdict it is pushed."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"!has(self.url) || self.url.matches({_PUSH_URL!r}) && !self.url.matches({_PASSWORD_IN_URL!r})",
            BAD_PUSH_URL,
        ),
    )

    @model_validator(mode="after")
    def _address(self) -> Self:
        if self.url is not None and (
            not re2.search(_PUSH_URL, self.url) or re2.search(_PASSWORD_IN_URL, self.url)
        ):
            raise ValueError(BAD_PUSH_URL)
        return self


class ResultSpec(ApiModel):
    """What becomes of the result, besides patch and archive in object storage."""

    push: PushSpec | None = None
    """A branch of it, for workspaces from git."""


class Retention(ApiModel):
    """What is kept once the task is complete. May be changed while the task runs."""

    ttl_after_complete: DurationText | None = None
    """The AgentTask is deleted this long after it completed; its evidence stays in object storage. Unset: kept."""
    evidence: DurationText | None = None
    """Its evidence is deleted from object storage this long after it completed, whatever the class says; as it was when the task
    completed. Unset: as the class says."""


class VerificationSpec(ApiModel):
    """Where the criteria are decided."""

    candidate: CandidateSource = CandidateSource.WORKSPACE
    """Where the work is that is verified. Message: in the agent's final message, as fenced blocks of code that name their files
    (```python src/leap.py). They are laid over the base; what the agent did in its workspace does not count. The agent is told
    so. With `axiom verify`: the candidate is a file that holds the message."""
    message_path: RelativePath | None = None
    """With Message: the file that a block of code is which names none. Unset: such blocks are illustrations."""
    image: ImageName | None = None
    """Image of the clean room's untrusted side; with Python and pytest for tests. Unset: the installation's own."""
    profiles: Annotated[list[ObjectName], Field(max_length=4)] = []
    """VerificationProfiles of the task's namespace, whose criteria are added to the task's own as they are when the task is
    accepted. A criterion of the task takes the place of one of the same name. With `axiom run`: in the files that are given."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.messagePath) || self.candidate == 'Message'", PATH_NEEDS_MESSAGE),
    )

    @model_validator(mode="after")
    def _path_of_a_message(self) -> Self:
        if self.message_path is not None and self.candidate is not CandidateSource.MESSAGE:
            raise ValueError(PATH_NEEDS_MESSAGE)
        return self


class Decision(StrEnum):
    """What a person makes of a task that is complete."""

    ACCEPT = "Accept"
    """The result will do, whatever the verifiers found."""
    REJECT = "Reject"
    """It will not."""
    AGAIN = "Again"
    """Another task goes on from it."""


class Review(ApiModel):
    """A person's decision on a task that is complete. The verdict stays what the verifiers found."""

    decision: Decision
    """What is decided."""
    by: Annotated[str, Field(min_length=1, max_length=256)]
    """Who decides. With the chart's admission policies: the name by which the API server knows them, and no other."""
    why: Annotated[
        str, Field(max_length=2048), form(r"\S", "holds no text; say why, as others will want to know it")
    ]
    """Why; with Again, what the agent is told."""


MAX_CRITERIA = 16
Criteria = Annotated[list[Criterion], Field(min_length=1, max_length=MAX_CRITERIA), Keyed("name")]


class AgentTaskSpec(ApiModel):
    """What is to be done, and how it is decided that it was."""

    agent_class_name: ObjectName
    """The AgentClass: which agent, which image, which credentials."""
    prompt: Annotated[
        str,
        Field(max_length=65536),
        form(r"\S", "holds no text; say what the agent is to do"),
        Check(lambda text: "\0" not in text, r"!self.contains('\x00')", "holds a NUL character; remove it"),
    ]
    """What the agent is told."""
    workspace: Workspace = Workspace()
    """What it finds in its working directory."""
    criteria: Criteria
    """What must be true at the end; at least one of them Hard."""
    limits: Limits = Limits()
    """What it may use up."""
    capabilities: Capabilities = Capabilities()
    """Less than what the class lets its agents do."""
    verification: VerificationSpec = VerificationSpec()
    """Where the criteria are decided."""
    result: ResultSpec = ResultSpec()
    """What becomes of the result."""
    suspend: bool = False
    """True takes a checkpoint and ends the pods; false goes on from it, in the same session. limits.deadline stands meanwhile.
    May be changed while the task runs."""
    rollback_to: Annotated[int, Field(ge=1, le=1000000)] | None = None
    """Number of a checkpoint of this task (status.checkpoints) that its agent goes back to, files and session. Rounds and
    costs stay as they are. To go back to the same one again, remove it first. May be changed while the task runs."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Higher is to be started first where tasks wait; not acted on yet. May be changed while the task runs."""
    retention: Retention = Retention()
    """What is kept afterwards. May be changed while the task runs."""
    force: bool = False
    """Work on it although a task of this namespace with the same envelope (agent class, prompt, workspace, criteria,
    verification, capabilities) failed. May be changed while the task waits."""
    review: Review | None = None
    """A person's decision, once the task is complete; `axiom review` writes it. It asks for the verb `review` on agenttasks."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.criteria.exists(criterion, criterion.enforcement == 'Hard')", NO_HARD_CRITERION),
        Rule(
            "!self.criteria.exists(criterion, criterion.enforcement == 'Hard')"
            " || self.criteria.exists(criterion, criterion.enforcement == 'Hard' && !has(criterion.judge))",
            JUDGE_ALONE,
        ),
        Rule("!has(self.result.push) || has(self.workspace.git)", PUSH_NEEDS_GIT),
    )

    @model_validator(mode="after")
    def _decidable(self) -> Self:
        if not any(criterion.enforcement is Enforcement.HARD for criterion in self.criteria):
            raise ValueError(NO_HARD_CRITERION)
        if not any(
            criterion.enforcement is Enforcement.HARD and criterion.judge is None
            for criterion in self.criteria
        ):
            raise ValueError(JUDGE_ALONE)
        if self.result.push and not self.workspace.git:
            raise ValueError(PUSH_NEEDS_GIT)
        return self


def _immutability() -> Rule:
    """One rule for the whole spec: rules further down do not see that an optional field came or went.

    It compares fields that are always there: required ones, and those whose default the API server fills in.
    """
    fields = [name for name in _api_names(AgentTaskSpec) if name not in (*MUTABLE_SPEC_FIELDS, "limits")]
    fields += [f"limits.{name}" for name in _api_names(Limits) if name not in MUTABLE_LIMITS]
    changed = " + ".join(f"(self.{field} == oldSelf.{field} ? '' : ' spec.{field}')" for field in fields)
    return Rule(
        cel=" && ".join(f"self.{field} == oldSelf.{field}" for field in fields),
        message=IMMUTABLE,
        message_cel=f"'{IMMUTABLE}; changed:' + {changed}",
    )


def _api_names(model: type[ApiModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


AgentTaskSpec.cel_rules = (*AgentTaskSpec.cel_rules, _immutability())


class TaskState(StrEnum):
    """One word for `kubectl get`, derived from the conditions."""

    PENDING = "Pending"
    """Not accepted yet."""
    REFUSED = "Refused"
    """The spec or its class cannot be carried out; Accepted says why."""
    STARTING = "Starting"
    """The sandbox is on its way."""
    RUNNING = "Running"
    """The agent works."""
    NEEDS_APPROVAL = "NeedsApproval"
    """The agent waits for a person who allows or denies a tool."""
    VERIFYING = "Verifying"
    """Its work is being verified."""
    SUSPENDED = "Suspended"
    """spec.suspend is true."""
    NEEDS_REVIEW = "NeedsReview"
    """A person has to look."""
    COMPLETE = "Complete"
    """Over, with the verdict Pass or Fail."""
    FAILED = "Failed"
    """Over, without a verdict from the verifiers."""


class LedgerReference(ApiModel):
    """Where a ledger lies in object storage, and what proves it whole."""

    path: ObjectKey
    """Key prefix of its segments."""
    records: int
    """How many records it holds."""
    head: ObjectKey
    """Hash of its last record."""


class QuestionStatus(ApiModel):
    """A use of a tool that the agent's class leaves to a person. `axiom approve TASK` answers it."""

    id: ObjectKey
    """Its own name, for `--question` where several are open, and in the ledger."""
    tool: ObjectKey
    """The tool, as the agent calls it."""
    summary: StatusText
    """What it would do: the beginning of its input in one line, without secrets."""
    since: Timestamp
    """When the agent asked (RFC 3339)."""
    until: Timestamp
    """When it is denied, unless somebody answers before (RFC 3339)."""


class VendorPause(ApiModel):
    """How long the task waited for the vendor of its agent's model, in which time limits.deadline stood."""

    host: Annotated[str, Field(max_length=253)] = ""
    """The vendor's host, the last one."""
    since: Timestamp | None = None
    """Since when it waits now (RFC 3339); absent: it does not."""
    seconds: int = 0
    """In all, without the present wait. What is longer than four hours counts against the deadline."""
    times: int = 0
    """How often."""


class Suspension(ApiModel):
    """How long the task was suspended, in which time limits.deadline stood."""

    since: Timestamp | None = None
    """Since when it is suspended (RFC 3339); absent: it is not."""
    seconds: int = 0
    """In all, without the present suspension."""
    times: int = 0
    """How often."""


class AgentStatus(ApiModel):
    """What the agent says of itself, as of the last time that this status was written: a claim. The ledger has each step."""

    context: Annotated[str, Field(max_length=32)] = ""
    """How full its context is, such as 42%; empty where it does not say."""
    context_tokens: int | None = None
    """Tokens that its model was last given."""
    context_window: int | None = None
    """Tokens that its model can hold."""
    output_per_second: int | None = None
    """Tokens that its model wrote, by the seconds in which it did, in the last call."""
    talk_in_row: int = 0
    """How often its model spoke and did nothing, since it last called a tool."""
    talk_in_round: int = 0
    """And how often in the present round."""


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
    criteria: Annotated[list[CriterionResult], Field(max_length=16), Keyed("name")] = []
    """Each criterion's result."""
    changes: ObjectKey = ""
    """Digest of the captured changes."""
    fingerprint: ObjectKey = ""
    """Equal fingerprints are equal workspaces."""
    changed_percent: int | None = None
    """How much of the work is new since the round before: the share of the lines of both patches that only one of them has,
    rounded up. Absent: it is the first round, or it could not be measured. A round that failed with less than 5 is the last."""
    diff: ObjectKey = ""
    """Key of the diff as a patch in object storage."""
    conduct: ObjectKey = ""
    """Digest of what the agent did up to the round's end, where something is to be held against that."""
    disagreements: Annotated[list[ClaimDisagreement], Field(max_length=8)] = []
    """What the agent stated of its work at the round's end, and the evidence says otherwise of: the first of it."""
    rebuttal: StatusText = ""
    """What the agent answered to the evidence of the round before, for whoever reviews it. Absent in the first round."""
    assisted: bool = False
    """A person told the agent something in it, interrupted it, or answered it."""
    trials: int = 0
    """How many verifications of this round have ended."""
    verifier_ledger: LedgerReference | None = None
    """The ledger of the verification that counted."""


class WorkspaceStatus(ApiModel):
    """The base as it was taken."""

    digest: ObjectKey = ""
    """SHA-256 of the base archive."""
    revision: ObjectKey = ""
    """What the source turned out to be: of git the whole commit id, of an archive its SHA-256, of a task its UID and round."""
    bytes: int = 0
    """Bytes of its files."""
    files: int = 0
    """Its files and symlinks."""


class ResultStatus(ApiModel):
    """What the last round left, in object storage and beyond."""

    patch: ObjectKey = ""
    """Key of the changes as a patch, for people."""
    archive: ObjectKey = ""
    """Key of the changes archive: what was verified."""
    digest: ObjectKey = ""
    """SHA-256 of the changes archive."""
    branch: ObjectKey = ""
    """The branch that was pushed; empty: none."""
    commit: ObjectKey = ""
    """Its commit."""
    pushes: int = 0
    """How often a person had the branch tried once more."""


class CheckpointStatus(ApiModel):
    """A checkpoint that is in object storage."""

    number: int
    """1, 2, … over the whole task."""
    attempt: int
    """The attempt in which it was taken."""
    round: int
    """The round in which it was taken."""
    turn_over: bool
    """The round's turn had ended; else the agent was in the middle of it."""
    reason: Why
    """What it was taken for."""
    time: Timestamp
    """When it was taken (RFC 3339)."""
    size: int
    """Bytes of its parts."""
    digest: ObjectKey
    """SHA-256 of its manifest, which names its parts: a blob in object storage."""
    before: int = 0
    """Number of the one before it on the same line; 0: there is none."""
    fault: StatusText = ""
    """Why it does not hold, once that was found; the one before it is used then."""


class StartingPoint(ApiModel):
    """The checkpoint that an attempt begins from."""

    number: int
    """Its number."""
    attempt: int
    """The attempt in which it was taken."""
    round: int
    """The round in which it was taken."""
    turn_over: bool
    """The round's turn had ended."""
    digest: ObjectKey
    """SHA-256 of its manifest."""
    task: ObjectKey = ""
    """Name of the task whose checkpoint it is; empty: this one's own."""


class LayerStatus(ApiModel):
    """What the probe found of one layer of isolation."""

    name: ObjectKey
    """The layer, such as Landlock."""
    tried: int
    """Assertions that were tried from inside."""
    held: int
    """How many of them held."""


class IsolationStatus(ApiModel):
    """What the probe found in the last attempt's sandbox, before its agent."""

    layers: Annotated[list[LayerStatus], Field(max_length=16), Keyed("name")] = []
    """The layers that were tried."""
    missing: Annotated[list[ObjectKey], Field(max_length=16)] = []
    """Layers that are not there, or not whole, and may be missing."""
    failed: Annotated[list[ObjectKey], Field(max_length=256)] = []
    """Assertions that did not hold and had to; one is enough for IsolationFailed."""


class ReviewStatus(ApiModel):
    """What a person decided."""

    decision: Decision
    """What."""
    by: Annotated[str, Field(max_length=256)]
    """Who."""
    why: StatusText
    """Why."""
    time: Timestamp
    """When it was first seen (RFC 3339)."""


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
    """The agent claimed something at the end that the evidence says otherwise of: claimDisagreements says what."""
    claim_disagreements: Annotated[list[ClaimDisagreement], Field(max_length=9)] = []
    """What the agent claimed at the end, and what was found: of its outcome, and of what it stated of the last round."""
    message: StatusText = ""
    """Why, for a person."""
    review: ReviewStatus | None = None
    """What a person decided after the task was complete."""
    envelope: ObjectKey = ""
    """Digest of what the task asks for, where its workspace is always the same; empty: it is not."""
    attempt: int = 0
    """The present attempt: which pod's life."""
    lost_attempts: int = 0
    """Attempts that ended by no fault of the agent."""
    round: int = 0
    """The present round."""
    rounds: Annotated[list[RoundStatus], Field(max_length=20), Keyed("number")] = []
    """All rounds so far."""
    questions: Annotated[list[QuestionStatus], Field(max_length=8), Keyed("id")] = []
    """What the agent asks people now."""
    assisted: bool = False
    """A person stepped in while the agent worked, so its result is not its own alone; the rounds say in which."""
    vendor_pause: VendorPause | None = None
    """How long it waited for a vendor whose API did not answer. Absent: it never did."""
    suspension: Suspension | None = None
    """How long it was suspended. Absent: it never was."""
    agent: AgentStatus | None = None
    """What the agent says of itself."""
    usage: UsageStatus | None = None
    """What was used at the models' vendors, as of the last time that this status was written."""
    profile_criteria: Annotated[str, Field(json_schema_extra={"maxLength": 524288})] = ""
    """What spec.verification.profiles added to the task's own criteria when it was accepted: JSON."""
    workspace: WorkspaceStatus = WorkspaceStatus()
    """The base as it was taken."""
    checkpoints: Annotated[list[CheckpointStatus], Field(max_length=32), Keyed("number")] = []
    """The last checkpoints that are in object storage, oldest first. One that was asked for stands here at once, others with
    the next change of the status."""
    checkpoint_trouble: StatusText = ""
    """Why the last checkpoint that was tried could not be taken."""
    restored: StartingPoint | None = None
    """The checkpoint that the present attempt began from; absent: the base."""
    forked_from: StartingPoint | None = None
    """What spec.workspace.checkpoint turned out to be."""
    rolled_back_to: int | None = None
    """The spec.rollbackTo that was carried out."""
    result: ResultStatus | None = None
    """What the last round left. Absent until the task is complete, and where nothing was captured."""
    isolation: IsolationStatus | None = None
    """What the probe found in the last attempt's sandbox."""
    ledger: LedgerReference | None = None
    """The last attempt's ledger."""
    recording: ObjectKey = ""
    """Key of the last attempt's terminal recording in object storage."""
    accepted_time: Timestamp | None = None
    """When the task was accepted (RFC 3339)."""
    completion_time: Timestamp | None = None
    """When the outcome was written (RFC 3339)."""
    conditions: Annotated[list[Condition], Field(max_length=16), Keyed("type")] = []
    """Accepted, SandboxReady, Isolated, Running, Verified, Pushed (where that is asked for), Complete."""


class AgentTask(ApiModel):
    """A task for an agent, in a sandbox, with the criteria that decide whether it succeeded."""

    api_version: Literal["axiom.dev/v1alpha1"] = "axiom.dev/v1alpha1"
    """The version of this API."""
    kind: Literal["AgentTask"] = "AgentTask"
    """What this object is."""
    metadata: dict[str, Any]
    """Kubernetes' own: name, namespace, labels."""
    spec: AgentTaskSpec
    """What is to be done, and how it is decided that it was."""
    status: AgentTaskStatus = AgentTaskStatus()
    """What has been found out. Written by the operator alone."""

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

    @property
    def criteria(self) -> list[Criterion]:
        """All that the task must meet: its own criteria, and those of its profiles as of its acceptance."""
        text = self.status.profile_criteria
        return [*self.spec.criteria, *(_CRITERIA.validate_json(text) if text else ())]
