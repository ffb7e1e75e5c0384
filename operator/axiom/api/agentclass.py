"""AgentClass: which agent, in which image, with which credentials and limits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

import re2
from pydantic import Field, model_validator

from axiom.api.agenttask import AgentTaskSpec, HostName, ImageName, ObjectName
from axiom_sandbox.protocol.agents import AgentMode, DriverName
from axiom_sandbox.protocol.approvals import Approvals, Permission
from axiom_sandbox.protocol.channel import LEAST_COLUMNS, LEAST_ROWS, ContextAct, PromptDelivery
from axiom_sandbox.protocol.checks import Check, Keyed, Rule, form
from axiom_sandbox.protocol.criteria import Argument, Criterion, CriterionName, RelativePath
from axiom_sandbox.protocol.errands import Seat, Vendor
from axiom_sandbox.protocol.launching import Layer, Network
from axiom_sandbox.protocol.model import ApiModel
from axiom_sandbox.protocol.quantities import DurationText, MoneyText, QuantityText, parse_duration

AbsolutePath = Annotated[
    str,
    Field(max_length=1024),
    form(r"^/[ -~]*$", "is not an absolute path; begin it with /, in ASCII"),
]

PROMPT_LOST = (
    "command has no $(AXIOM_PROMPT), so the agent would not be told anything; add it, or set promptDelivery"
)
PROMPT_TWICE = (
    "this driver gives the prompt and goes on with the session itself; remove $(AXIOM_PROMPT), resumeCommand and"
    " promptDelivery, or set driver: Generic"
)
NO_MESSAGES = "driver Generic knows an agent's terminal alone; remove mode, or name the agent's own driver: Claude, Codex or Gemini"
NOBODY_ASKS = (
    "approvals need an agent that asks: one with a driver of its own; remove approvals, or set driver to Claude,"
    " Codex or Gemini"
)
NOBODY_TELLS_CONTEXT = (
    "context needs an agent that says how full its context is: one with a driver of its own; remove context, or set driver to"
    " Claude, Codex or Gemini"
)
OWN_KERNELS = (
    (
        "gvisor|runsc",
        ("UserNamespace", "Landlock", "Seccomp"),
        "gVisor's kernel has no user namespaces for pods, no Landlock, and does not tell of seccomp;"
        " write isolation.mayMiss: [UserNamespace, Landlock, Seccomp]",
    ),
    (
        "kata",
        ("UserNamespace", "Landlock"),
        "Kata has no user namespaces for pods, and its kernel need not have Landlock;"
        " write isolation.mayMiss: [UserNamespace, Landlock]",
    ),
)
"""RuntimeClasses, by how they are named as a rule, and what their kernels lack."""
PREFIX_TWICE = "two credentials have the same route.prefix; give each its own"
PREFIX_OF_MCP = "a credential has the route.prefix of an MCP server, /mcp- and its name; give it another"


SCREEN_TOO_SMALL = (
    f"mode Terminal reads dialogs off the screen, and agents cut them on less than {LEAST_COLUMNS} columns or {LEAST_ROWS} rows;"
    " enlarge terminal, or remove it: 120x40 is the default"
)
JUDGE_NEEDS_VENDOR = "judges are of another vendor than the agent's model, and driver Generic does not tell whose that is; add agentVendor"
JUDGE_OF_THE_SAME_VENDOR = (
    "a judge is of the same vendor as the agent's own model, which overlooks what it would do itself; take one of another"
    " vendor, or correct agentVendor"
)
_VENDORS = {
    Vendor.ANTHROPIC: ("https://api.anthropic.com", "x-api-key", "{}"),
    Vendor.OPENAI: ("https://api.openai.com", "Authorization", "Bearer {}"),
    Vendor.GOOGLE: ("https://generativelanguage.googleapis.com", "x-goog-api-key", "{}"),
}
"""Address, header and its format of each vendor's API."""
_OF_DRIVER = {
    DriverName.CLAUDE: Vendor.ANTHROPIC,
    DriverName.CODEX: Vendor.OPENAI,
    DriverName.GEMINI: Vendor.GOOGLE,
}
_CEL_VENDOR = "(has(self.agentVendor) ? self.agentVendor : {}'')".format(
    "".join(f"self.driver == '{driver.value}' ? '{vendor.value}' : " for driver, vendor in _OF_DRIVER.items())
)


class ClassNetwork(StrEnum):
    """What the agent may reach besides the egress proxy."""

    STRICT = "Strict"
    """Nothing."""
    LOOPBACK = "Loopback"
    """Servers that it starts itself, on ports from 1024 on."""

    def to_protocol(self) -> Network:
        """The launcher's word for it."""
        return Network(self.value)


class EnvironmentVariable(ApiModel):
    """One variable of the agent's environment."""

    name: Annotated[
        str,
        Field(max_length=128),
        form(
            r"^[A-Za-z_][A-Za-z0-9_]*$",
            "is not a variable's name; write letters, digits and _, such as NO_COLOR",
        ),
    ]
    """Name."""
    value: Annotated[str, Field(max_length=8192)]
    """Value, after $(AXIOM_PROXY_URL), $(AXIOM_PROXY_HOST), $(AXIOM_TUNNEL_URL) (the forward proxy, with the token),
    $(AXIOM_TOKEN), $(AXIOM_WORKSPACE) and $(AXIOM_HOME) are filled in."""


class ClassHomeFile(ApiModel):
    """A file put into the agent's home before it starts."""

    path: RelativePath
    """Path inside the home."""
    content: Annotated[str, Field(max_length=65536)]
    """Content, expanded as in env."""


class SecretKey(ApiModel):
    """A key of a Secret in the operator's namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: Annotated[
        str,
        Field(max_length=253),
        form(r"^[-._a-zA-Z0-9]+$", "is not a key of a Secret; write letters, digits, dots, - and _"),
    ]
    """Key inside it."""


BaseAddress = Annotated[
    str,
    Field(max_length=2048),
    form(
        r"^https?://[^\s/@?#]+(/[^\s?#]*)?$",
        "is not a base address; write https:// and a host, without user, query or fragment",
    ),
]
HeaderName = Annotated[
    str,
    Field(max_length=64),
    form(r"^[A-Za-z][A-Za-z0-9-]*$", "is not the name of a header; write one such as Authorization"),
]
"""Of the header that carries a credential."""
HeaderFormat = Annotated[
    str,
    Field(max_length=128),
    Check(
        lambda text: text.count("{}") == 1,
        "self.split('{}').size() == 2",
        'does not hold {} exactly once; write the header with {} for the key, such as "Bearer {}"',
    ),
]
"""Its value; {} is the credential."""


class Route(ApiModel):
    """Which requests the credential serves."""

    prefix: Annotated[
        str,
        Field(max_length=64),
        form(r"^/[A-Za-z0-9_-]+$", "is not a prefix; write / and one part of a path, such as /openai"),
    ]
    """First part of the path at the proxy: $(AXIOM_PROXY_URL)/openai/v1/responses goes to upstream/v1/responses."""
    upstream: BaseAddress
    """Base address of the vendor's API."""
    header: HeaderName = "Authorization"
    """Header that carries the credential."""
    format: HeaderFormat = "Bearer {}"
    """Value of the header; {} is the credential."""
    metered: bool = True
    """Whether its requests are calls of models, which count as usage and which a task's budget ends. False: another service."""


class Credential(ApiModel):
    """A key that never enters a sandbox: the egress proxy puts it in."""

    name: CriterionName
    """Name; with `axiom run`, the key is read from the variable AXIOM_CREDENTIAL_<NAME>."""
    secret_ref: SecretKey
    """Where the key lies on a cluster."""
    route: Route
    """Which requests it serves."""


class McpServer(ApiModel):
    """An MCP server that the agent may use, spoken with over HTTP (Streamable HTTP). The egress proxy stands between, and puts the
    credential in. Agents with a driver of their own, in mode Structured, are told of it; others find it at
    $(AXIOM_PROXY_URL)/mcp-<name>, with $(AXIOM_TOKEN) as a bearer token."""

    name: Annotated[
        str,
        Field(max_length=32),
        form(
            r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
            "is not a name; write small letters, digits and - between them, such as issue-tracker",
        ),
    ]
    """Name, as the agent calls it; with `axiom run`, its key is read from the variable AXIOM_CREDENTIAL_MCP_<NAME>."""
    url: Annotated[
        str,
        Field(max_length=2048),
        form(
            r"^https?://[^\s/@?#]+(/[^\s?#]*)?$",
            "is not an address; write https://, a host and a path, without user, query or fragment",
        ),
    ]
    """Address of its endpoint, such as https://mcp.example/mcp."""
    secret_ref: SecretKey
    """Where its key lies on a cluster."""
    header: HeaderName = "Authorization"
    """Header that carries the credential."""
    format: HeaderFormat = "Bearer {}"
    """Value of the header; {} is the credential."""

    @property
    def credential(self) -> Credential:
        """What the egress proxy swaps the token for, and where."""
        route = Route(
            prefix=mcp_prefix(self.name),
            upstream=self.url,
            header=self.header,
            format=self.format,
            metered=False,
        )
        return Credential(name=f"mcp-{self.name}", secret_ref=self.secret_ref, route=route)


def mcp_prefix(name: str) -> str:
    """The route of an MCP server at the egress proxy."""
    return f"/mcp-{name}"


class Judge(ApiModel):
    """A model that the criterion Judge may ask. Agents never reach it."""

    name: Annotated[
        str,
        Field(max_length=32),
        form(
            r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
            "is not a name; write small letters, digits and - between them, such as careful",
        ),
    ]
    """Name; with `axiom run`, its key is read from the variable AXIOM_CREDENTIAL_JUDGE_<NAME>."""
    vendor: Vendor
    """Who makes it: another than makes the agent's own model."""
    model: Annotated[
        str,
        Field(max_length=128),
        form(r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", "is not a model; write its name as the vendor does"),
    ]
    """The model, as its vendor names it."""
    secret_ref: SecretKey
    """Where its key lies on a cluster."""
    upstream: BaseAddress | None = None
    """Base address of an API like the vendor's. Unset: the vendor's own."""

    @property
    def credential(self) -> Credential:
        """What the egress proxy swaps the token of an errand for."""
        default, header, value = _VENDORS[self.vendor]
        route = Route(
            prefix=judge_prefix(self.name),
            upstream=self.upstream or default,
            header=header,
            format=value,
            metered=False,
        )
        return Credential(name=f"judge-{self.name}", secret_ref=self.secret_ref, route=route)

    @property
    def seat(self) -> Seat:
        """What a verifier knows of it."""
        return Seat(name=self.name, vendor=self.vendor, model=self.model)


def judge_prefix(name: str) -> str:
    """The route of a judge at the egress proxy."""
    return f"/judge-{name}"


class Price(ApiModel):
    """What a vendor takes for a model's tokens, in US dollars for a million of them."""

    model: Annotated[
        str,
        Field(max_length=128),
        form(
            r"^([A-Za-z0-9._:/@-]+\*?|\*)$",
            "is not a model; write its name, or how names begin and *, such as gpt-5.5, claude-* or *",
        ),
    ]
    """The model as answers name it, or how names begin and `*`. Of several that fit the longest counts."""
    input: MoneyText
    """Input that no cache of the vendor's has to do with."""
    cached_input: MoneyText | None = None
    """Input that is read from a cache. Unset: as `input`."""
    cache_write: MoneyText | None = None
    """Input that is written to a cache; where times of storage differ in price, the highest. Unset: as `input`."""
    output: MoneyText
    """Output, with what the model only thinks."""


Port = Annotated[int, Field(ge=1, le=65535)]


class HttpMethod(StrEnum):
    """A method of plain HTTP requests."""

    GET = "GET"
    """Read."""
    HEAD = "HEAD"
    """Read without the content."""
    POST = "POST"
    """Send."""
    PUT = "PUT"
    """Store."""
    PATCH = "PATCH"
    """Change."""
    DELETE = "DELETE"
    """Remove."""
    OPTIONS = "OPTIONS"
    """Ask what is possible."""


class PlainHttp(ApiModel):
    """Requests without TLS, which the egress proxy can look at."""

    ports: Annotated[list[Port], Field(min_length=1, max_length=8)] = [80]
    """Ports of the host."""
    methods: Annotated[list[HttpMethod], Field(min_length=1, max_length=7)] = [
        HttpMethod.GET,
        HttpMethod.HEAD,
    ]
    """Methods."""
    paths: Annotated[
        list[
            Annotated[
                str,
                Field(max_length=1024),
                form(
                    r"^/[!-)+-~]*\*?$", "is not a path; begin it with /, and end it with * for all below it"
                ),
            ]
        ],
        Field(min_length=1, max_length=32),
    ] = ["/*"]
    """Paths, or how they begin and `*`."""


class Destination(ApiModel):
    """A host that the agent may reach through the egress proxy, besides the routes of credentials. No credential is added, and
    what passes a tunnel is not seen: an agent can send there what it likes."""

    host: HostName
    """Its name, in full: there are no wildcards."""
    ports: Annotated[list[Port], Field(max_length=8)] = [443]
    """Ports that CONNECT opens a tunnel to, for TLS."""
    http: PlainHttp | None = None
    """Plain requests that pass; unset: none."""


class EgressSettings(ApiModel):
    """What the agent may reach beyond its models."""

    destinations: Annotated[list[Destination], Field(max_length=64), Keyed("host")] = []
    """Hosts. Where there are any, the agent's environment has HTTPS_PROXY (and HTTP_PROXY) set, so that pip, npm and the like
    find their way."""


class Terminal(ApiModel):
    """Size of the agent's terminal."""

    columns: Annotated[int, Field(ge=20, le=1000)] = 120
    """Columns."""
    rows: Annotated[int, Field(ge=5, le=1000)] = 40
    """Rows."""


class Ceilings(ApiModel):
    """What a task of this class can never go past."""

    cpu: QuantityText = "4"
    """Cores."""
    memory: QuantityText = "8Gi"
    """Bytes of memory."""
    storage: QuantityText = "10Gi"
    """Bytes that workspace and home may hold."""
    processes: Annotated[int, Field(ge=16, le=32768)] = 512
    """Processes and threads at once."""


class Silences(ApiModel):
    """How long an agent with a driver of its own may be silent. `limits.idle` of the task holds besides."""

    noted_after: DurationText = "1m"
    """A silence of this length is noted in the ledger."""
    flagged_after: DurationText = "2m"
    """And flagged, from this length on."""
    hung_after: DurationText = "3m"
    """An agent that thinks counts as hung then: it is interrupted, ended, and started again in its session."""
    tool_hung_after: DurationText = "30m"
    """One whose tool runs counts as hung then."""
    wait_hung_after: DurationText = "1h"
    """One whose model's vendor lets it wait, or does not answer, counts as hung then."""
    resumes: Annotated[int, Field(ge=0, le=20)] = 3
    """How often a round's agent is started again, after it hung or its process died."""


IgnorePattern = Annotated[
    str,
    Field(max_length=256),
    form(
        r"^!?/?[^!/\x00-\x1f][^\x00-\x1f]*$",
        "is not a pattern; write one as in a .gitignore, such as node_modules/ or *.log",
    ),
]


class ContextSettings(ApiModel):
    """What is done about an agent's context that fills up. How full it is, the agent says."""

    at_percent: Annotated[int, Field(ge=10, le=99)] = 80
    """From this share of what its model can hold on."""
    then: ContextAct = ContextAct.COMPACT
    """What. Where that cannot be done, or is no help, the next of them is."""
    window: Annotated[int, Field(ge=1000, le=100000000)] | None = None
    """Tokens that its model can hold. Unset: as the agent says; Claude Code in mode Terminal does not."""


class CheckpointSettings(ApiModel):
    """When checkpoints are taken, besides at each turn's end, before a suspension, and when a sandbox is told to end; and what they
    hold of the workspace."""

    every: DurationText | None = None
    """This often while the agent works, which is frozen for it as long as its files are read. Unset: not."""
    ignore: Annotated[list[IgnorePattern], Field(max_length=64)] = []
    """What is left out of them, in patterns as in a .gitignore, and so is gone where a task goes on from one. What the base has is
    kept in any case. Nothing of this touches what criteria see of a sandbox that was never left."""
    max_files: Annotated[int, Field(ge=1, le=1_000_000)] = 200_000
    """With more files, directories and links there is no checkpoint, and status.checkpointTrouble says so."""
    max_size: QuantityText = "16Gi"
    """The same, with more bytes in its files."""


_SUMMABLE = re2.compile("^([0-9]{1,6}(h|m|s|ms))+$")
"""What CEL can add up."""


def _is_window(text: str) -> bool:
    is_summable = len(text) <= 16 and _SUMMABLE.search(text)
    return bool(is_summable) and timedelta(seconds=10) <= parse_duration(text) <= timedelta(hours=720)


class LedgerSettings(ApiModel):
    """How an agent's sandbox keeps its ledger."""

    hot_window: Annotated[
        DurationText,
        Check(
            holds=_is_window,
            cel=f"self.size() <= 16 && self.matches('{_SUMMABLE.pattern}')"
            " && duration(self) >= duration('10s') && duration(self) <= duration('720h')",
            complaint="is no hot window; write one from 10s to 720h",
        ),
    ] = "24h"
    """How long a segment stays in the sandbox once object storage has it. Then it is read back from there, compared, and removed in the
    sandbox, so that a task of days does not fill the disk of its evidence; who reads the ledger from its beginning gets it from
    object storage, and the rest from the sandbox. `axiom run` keeps everything for as long as the run lasts."""


class OptionalLayer(StrEnum):
    """A layer of isolation that a class may do without."""

    USER_NAMESPACE = "UserNamespace"
    """A user namespace of the sandbox's own. Pods of a class that may miss it do not ask for one."""
    LANDLOCK = "Landlock"
    """Landlock on files, TCP ports, signals and abstract sockets."""
    SECCOMP = "Seccomp"
    """The launcher's own filter of system calls."""

    def to_protocol(self) -> Layer:
        """The probe's word for it."""
        return next(layer for layer in Layer if layer.shown == self.value)


class IsolationSettings(ApiModel):
    """What of a sandbox's isolation is asked for."""

    may_miss: Annotated[list[OptionalLayer], Field(max_length=3)] = []
    """Layers that may be missing, as on an old kernel or under gVisor; the condition Isolated says which are. They are
    applied wherever that is possible. Any other layer that is missing ends the task with IsolationFailed."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The same, in the probe's words."""
        return tuple(layer.to_protocol() for layer in self.may_miss)


class LocalSettings(ApiModel):
    """What `axiom run` needs besides, where there is no image."""

    read_only_paths: Annotated[list[AbsolutePath], Field(max_length=32)] = []
    """Paths of this machine that the agent may read and execute, besides /usr."""


_SHORT = re2.compile("^([0-9]s)?([0-9]+ms)?$")


class PageShots(ApiModel):
    """A page that is photographed while a task of the class runs: as soon as its server answers, and then again and again."""

    name: Annotated[
        str,
        Field(max_length=63),
        form(
            r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
            "is not a name; write small letters, digits and - between them, such as app",
        ),
    ]
    """Names the page."""
    port: Annotated[int, Field(ge=1024, le=65535)]
    """The port of 127.0.0.1 inside the sandbox at which a server of the task's listens."""
    path: Annotated[
        str,
        Field(max_length=1024),
        form(r"^/[!-~]*$", "is not a path; write one such as /index.html?tab=2, in ASCII and without spaces"),
    ] = "/"
    """Path and query."""
    every: Annotated[
        DurationText,
        Check(
            holds=lambda text: not _SHORT.search(text),
            cel=f"!self.matches('{_SHORT.pattern}')",
            complaint="is too short for pictures of pages; write 10s or more",
        ),
    ] = "1m"
    """How long after one picture the next is taken."""
    width: Annotated[int, Field(ge=16, le=2000)] = 1280
    """Width of the window in pixels."""
    height: Annotated[int, Field(ge=16, le=2000)] = 800
    """Its height: what lies below is not in the picture."""


class Screenshots(ApiModel):
    """Pictures of what the agent shows. Each is an event of the ledger (`screenshot`), its pixels a blob in object storage."""

    terminal: bool = True
    """Whether its terminal is photographed, secrets masked: when what it does changes, at approvals, claims and failures, and
    every minute in which the terminal changes."""
    folder: (
        Annotated[
            str,
            Field(max_length=1024),
            form(
                r"^/(workspace|home/agent|tmp)(/[A-Za-z0-9_+@=,-][A-Za-z0-9._+@=,-]*)*$",
                "is not a folder that an agent writes; write one below /workspace, /home/agent or /tmp, such as"
                " /tmp/screenshots",
            ),
        ]
        | None
    ) = None
    """Folder into which its tools write pictures (PNG, JPEG, GIF, WebP): each becomes a screenshot, too. Unset: none. At most 500
    of 8 MiB each. Nothing in them is masked."""
    pages: Annotated[list[PageShots], Field(max_length=8), Keyed("name")] = []
    """Pages that servers of its tasks serve: each is photographed with Chromium, in a container of the browser's own. Nothing in them is
    masked. On a cluster `images.browser` of the chart must name one."""


class PictureRetention(ApiModel):
    """When recordings or screenshots go before the rest."""

    after: DurationText | None = None
    """They are deleted this long after the task completed. Unset: with the rest."""
    until_pass: bool = False
    """True deletes those of tasks with the verdict Pass as soon as they are complete."""


class EvidenceRetention(ApiModel):
    """How long evidence stays in object storage after a task completed. What is unset is kept for ever."""

    after_pass: DurationText | None = None
    """Of tasks with the verdict Pass."""
    after_fail: DurationText | None = None
    """Of tasks with the verdict Fail."""
    otherwise: DurationText | None = None
    """Of tasks that ended Inconclusive, or without a verdict."""
    pictures: PictureRetention | None = None
    """Recordings, where they go before the rest; and screenshots, unless `screenshots` says otherwise for them."""
    screenshots: PictureRetention | None = None
    """Screenshots, where they go before the rest. Unset: as `pictures` says."""


_SPEAKS = "(self.driver != 'Generic')"
"""CEL for `AgentClassSpec.speaks`."""


class AgentClassSpec(ApiModel):
    """Which agent, in which image, with which credentials and limits."""

    driver: DriverName = DriverName.GENERIC
    """How Axiom speaks with the agent."""
    mode: AgentMode | None = None
    """Which of the agent's two faces is used. Unset: Structured; driver Generic has Terminal alone."""
    image: ImageName | None = None
    """Container image; nothing has to be installed in it but the agent. Only `axiom run` does without."""
    command: Annotated[list[Argument], Field(min_length=1, max_length=64)]
    """The agent's command. $(AXIOM_PROMPT) is what it is told, unless its driver tells it: then only program and options."""
    resume_command: Annotated[list[Argument], Field(max_length=64)] = []
    """Command of further rounds, for the same session. Unset: `command` again, with the evidence as its prompt."""
    prompt_delivery: PromptDelivery = PromptDelivery.ARGUMENT
    """How the prompt reaches the command."""
    approvals: Approvals | None = None
    """Which of its tools may run, where it asks. Unset: all, as the sandbox holds it anyway."""
    silences: Silences = Silences()
    """How long it may be silent before something is done about it."""
    context: ContextSettings | None = None
    """What is done about its context when that fills up. Unset: what the agent does by itself."""
    checkpoints: CheckpointSettings = CheckpointSettings()
    """When what it does is kept, so that it can go on elsewhere."""
    ledger: LedgerSettings = LedgerSettings()
    """How long its evidence stays in the sandbox, too."""
    show_criteria: bool = True
    """Whether the agent is told the criteria with the prompt."""
    env: Annotated[list[EnvironmentVariable], Field(max_length=128), Keyed("name")] = []
    """Variables of the agent's environment."""
    home_files: Annotated[list[ClassHomeFile], Field(max_length=32), Keyed("path")] = []
    """Files put into the agent's home before it starts."""
    credentials: Annotated[list[Credential], Field(max_length=16), Keyed("name")] = []
    """Keys that the egress proxy puts into the agent's requests."""
    mcp_servers: Annotated[list[McpServer], Field(max_length=16), Keyed("name")] = []
    """MCP servers that the agent may use."""
    egress: EgressSettings = EgressSettings()
    """What the agent may reach beyond its models."""
    agent_vendor: Vendor | None = None
    """Who makes the agent's own model. Unset: who makes the agent of this driver."""
    judges: Annotated[list[Judge], Field(max_length=8), Keyed("name")] = []
    """Models that criteria of the type Judge may ask, in the order of preference."""
    prices: Annotated[list[Price], Field(max_length=64), Keyed("model")] = []
    """Prices of the models, without which a task has tokens but no cost, and may have no budget."""
    network: ClassNetwork = ClassNetwork.LOOPBACK
    """What the agent may reach besides the egress proxy."""
    terminal: Terminal = Terminal()
    """Size of the agent's terminal."""
    screenshots: Screenshots = Screenshots()
    """Pictures of what the agent shows."""
    ceilings: Ceilings = Ceilings()
    """What a task of this class can never go past."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods, for gVisor or Kata."""
    isolation: IsolationSettings = IsolationSettings()
    """What of a sandbox's isolation is asked for."""
    retention: EvidenceRetention = EvidenceRetention()
    """How long the evidence of this class's tasks stays in object storage; a task may say otherwise for itself."""
    local: LocalSettings = LocalSettings()
    """What `axiom run` needs besides."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"{_SPEAKS} || self.promptDelivery != 'Argument'"
            " || self.command.exists(argument, argument.contains('$(AXIOM_PROMPT)'))",
            PROMPT_LOST,
        ),
        Rule(
            f"!{_SPEAKS} || (self.promptDelivery == 'Argument' && self.resumeCommand.size() == 0"
            " && !self.command.exists(argument, argument.contains('$(AXIOM_PROMPT)')))",
            PROMPT_TWICE,
        ),
        Rule("self.driver != 'Generic' || !has(self.mode) || self.mode == 'Terminal'", NO_MESSAGES),
        Rule(f"{_SPEAKS} || !has(self.approvals)", NOBODY_ASKS),
        Rule(f"{_SPEAKS} || !has(self.context)", NOBODY_TELLS_CONTEXT),
        Rule(
            f"!{_SPEAKS} || !has(self.mode) || self.mode != 'Terminal'"
            f" || (self.terminal.columns >= {LEAST_COLUMNS} && self.terminal.rows >= {LEAST_ROWS})",
            SCREEN_TOO_SMALL,
        ),
        Rule(
            "self.credentials.all(one, self.credentials.exists_one(other,"
            " other.route.prefix == one.route.prefix))",
            PREFIX_TWICE,
        ),
        Rule(
            "self.mcpServers.all(server, !self.credentials.exists(one,"
            " one.route.prefix == '/mcp-' + server.name))",
            PREFIX_OF_MCP,
        ),
        Rule(
            "self.judges.size() == 0 || self.driver != 'Generic' || has(self.agentVendor)", JUDGE_NEEDS_VENDOR
        ),
        Rule(f"self.judges.all(judge, judge.vendor != {_CEL_VENDOR})", JUDGE_OF_THE_SAME_VENDOR),
        *(
            Rule(
                f"!has(self.runtimeClassName) || !self.runtimeClassName.matches('{pattern}') || "
                + " && ".join(f"'{layer}' in self.isolation.mayMiss" for layer in layers),
                message,
            )
            for pattern, layers, message in OWN_KERNELS
        ),
    )

    @property
    def speaks(self) -> bool:
        """Whether the agent is spoken with, in messages or on its screen."""
        return self.driver is not DriverName.GENERIC

    @property
    def vendor(self) -> Vendor | None:
        """Who makes the agent's own model, as far as the class says."""
        return self.agent_vendor or _OF_DRIVER.get(self.driver)

    @model_validator(mode="after")
    def _judges_are_others(self) -> Self:
        if self.judges and self.vendor is None:
            raise ValueError(JUDGE_NEEDS_VENDOR)
        if any(judge.vendor is self.vendor for judge in self.judges):
            raise ValueError(JUDGE_OF_THE_SAME_VENDOR)
        return self

    @property
    def asks_people(self) -> bool:
        """Whether there is a tool whose use is left to a person."""
        policy = self.approvals or Approvals()
        return Permission.ASK in (policy.default, *(rule.permission for rule in policy.rules))

    @model_validator(mode="after")
    def _prompt_arrives(self) -> Self:
        delivered = any("$(AXIOM_PROMPT)" in argument for argument in self.command)
        if self.driver is DriverName.GENERIC and self.mode is AgentMode.STRUCTURED:
            raise ValueError(NO_MESSAGES)
        if self.approvals and not self.speaks:
            raise ValueError(NOBODY_ASKS)
        is_small = self.terminal.columns < LEAST_COLUMNS or self.terminal.rows < LEAST_ROWS
        if self.speaks and self.mode is AgentMode.TERMINAL and is_small:
            raise ValueError(SCREEN_TOO_SMALL)
        if self.context and not self.speaks:
            raise ValueError(NOBODY_TELLS_CONTEXT)
        if self.speaks:
            if delivered or self.resume_command or self.prompt_delivery is not PromptDelivery.ARGUMENT:
                raise ValueError(PROMPT_TWICE)
        elif self.prompt_delivery is PromptDelivery.ARGUMENT and not delivered:
            raise ValueError(PROMPT_LOST)
        for pattern, layers, message in OWN_KERNELS:
            known = re2.search(pattern, self.runtime_class_name or "")
            if known and not set(layers) <= set(self.isolation.may_miss):
                raise ValueError(message)
        prefixes = [credential.route.prefix for credential in self.credentials]
        if len(prefixes) != len(set(prefixes)):
            raise ValueError(PREFIX_TWICE)
        if any(mcp_prefix(server.name) in prefixes for server in self.mcp_servers):
            raise ValueError(PREFIX_OF_MCP)
        return self


class AgentClass(ApiModel):
    """A kind of agent that tasks can name. Cluster-scoped."""

    api_version: Literal["axiom.dev/v1alpha1"] = "axiom.dev/v1alpha1"
    """The version of this API."""
    kind: Literal["AgentClass"] = "AgentClass"
    """What this object is."""
    metadata: dict[str, Any]
    """Kubernetes' own: name, namespace, labels."""
    spec: AgentClassSpec
    """Which agent, in which image, with which credentials and limits."""

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.metadata["name"])


def has_way_out(spec: AgentClassSpec) -> bool:
    """Whether the class's agents get an egress proxy at all."""
    return bool(routed(spec) or spec.egress.destinations)


def routed(spec: AgentClassSpec) -> list[Credential]:
    """Every credential that the agent's requests get: its models' and other services', and those of MCP servers."""
    return [*spec.credentials, *(server.credential for server in spec.mcp_servers)]


def capability_fault(agent_class: AgentClass, task: AgentTaskSpec) -> str:
    """Which capability of the task its class does not give, and the cure; empty if there is none."""
    opened = {one.host for one in agent_class.spec.egress.destinations}
    beyond = [host for host in task.capabilities.destinations or () if host not in opened]
    if not beyond:
        return _context_fault(agent_class, task)
    return (
        f"capabilities.destinations names {', '.join(beyond)}, which AgentClass {agent_class.name!r} does not open;"
        " a task has less than its class, never more: remove it, or add it to the class's egress.destinations"
    )


def _context_fault(agent_class: AgentClass, task: AgentTaskSpec) -> str:
    wanted, given = task.capabilities.context, agent_class.spec.context
    if wanted is None:
        return ""
    if not agent_class.spec.speaks:
        return (
            f"capabilities.context needs an agent that says how full its context is, and driver Generic of AgentClass"
            f" {agent_class.name!r} does not; remove it, or take a class with a driver of its own"
        )
    if given is None and (wanted.at_percent is None or wanted.then is None):
        return (
            f"capabilities.context can only stop a turn, as AgentClass {agent_class.name!r} has no context that could be made"
            " stricter; write both atPercent and then: Stop, or add context to the class"
        )
    if given is not None and wanted.at_percent is not None and wanted.at_percent > given.at_percent:
        return (
            f"capabilities.context.atPercent is {wanted.at_percent}, and AgentClass {agent_class.name!r} acts from"
            f" {given.at_percent} on; a task has less than its class, never more: write {given.at_percent} or less, or remove it"
        )
    return ""


def judge_fault(agent_class: AgentClass, criteria: Sequence[Criterion]) -> str:
    """Which judge that a criterion wants its class does not have, and the cure; empty if there is none."""
    names = {judge.name for judge in agent_class.spec.judges}
    for criterion in criteria:
        if criterion.judge is None or (names and criterion.judge.by in (None, *names)):
            continue
        which = f"no judge {criterion.judge.by!r}" if criterion.judge.by else "no judges"
        return (
            f"criteria[{criterion.name}].judge needs a judge, and AgentClass {agent_class.name!r} has {which};"
            " add spec.judges to the class, or take the criterion out"
        )
    return ""


def is_measured(spec: AgentClassSpec) -> bool:
    """Whether the egress proxy counts what the class's models are asked."""
    return any(credential.route.metered for credential in spec.credentials)


def budget_fault(agent_class: AgentClass, has_budget: bool) -> str:
    """Why a task with a budget cannot be held to it with this class, and the cure; empty if it can, or has none."""
    spec = agent_class.spec
    if not has_budget:
        return ""
    if not is_measured(spec) and not spec.speaks:
        return (
            f"limits.budget needs somebody who counts: no credential of AgentClass {agent_class.name!r} has a route that the"
            " egress proxy measures, and driver Generic tells no tokens; add a credential with route.metered, name the"
            " agent's own driver, or remove limits.budget from the task"
        )
    if spec.prices:
        return ""
    return (
        f"limits.budget needs prices, and AgentClass {agent_class.name!r} has none;"
        " add spec.prices to the class, or remove limits.budget from the task"
    )
