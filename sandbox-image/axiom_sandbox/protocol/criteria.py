"""The criteria for success that a task carries: what each asks for. How each is decided is in `axiom_sandbox.verifying`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Self

import re2
from pydantic import AfterValidator, Field, model_validator

from axiom_sandbox.protocol.checks import Check, Keyed, Rule, form
from axiom_sandbox.protocol.model import ApiModel
from axiom_sandbox.protocol.quantities import DurationText

ABSENT_ALONE = "absent does not go together with matches, sha256, minBytes or maxBytes; remove them"
ONE_HIDDEN = "exactly one of configMap, secret and archive must be given"
NO_TEST = "no test is named; give at least one id in failToPass or passToPass"
LOOPBACK_IS_SHARED = "loopback: code under test that shares a network with its tests shares their process; set isolation to InProcess or Auto"
MUTATES_PYTHON = "mutation puts faults into Python, so it goes with runner: Pytest alone; remove it"
IGNORE_NEEDS_SELECT = (
    "ignore goes with select alone; without it the base's own configuration says what is ignored"
)
NOTHING_TO_READ = (
    "neither files nor message is given, so no citation would be found; name files, or set message: true"
)
NOTHING_TO_PROBE = (
    "neither requests nor pictures is given, so nothing would be asked of the server; give at least one"
)
BASELINES_ALONE = "baselines goes with pictures alone; name the pictures, or remove it"
MOST_PICTURE_PIXELS = 4_000_000
TOO_MANY_PIXELS = f"width times height is more than {MOST_PICTURE_PIXELS}; make one of them smaller"
MOST_BELOW_LEAST = "atMost is less than atLeast; correct one of them"
PATTERN_CURE = "close every bracket, and do without look-around and back-references"


def _is_relative_path(path: str) -> bool:
    return "/../" not in f"/{path}/" and "//" not in f"/{path}/" and "\0" not in path


def _pattern(text: str) -> str:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
        raise ValueError(f"{text!r} is not an RE2 pattern ({reason}); {PATTERN_CURE}") from error
    return text


_SUFFIXES = (".py", ".go", ".js", "mjs", "cjs", ".ts", "mts", "cts", "sx")


def _is_test_id(text: str) -> bool:
    file = text.split("::")[0]
    return file.endswith(_SUFFIXES) and not file.startswith(("-", "/", " ", "../")) and "/../" not in text


RelativePath = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    Check(
        holds=_is_relative_path,
        cel=r"!('/' + self + '/').contains('/../') && !('/' + self + '/').contains('//') && !self.contains('\x00')",
        complaint="is not a path inside the folder; write one such as src/leap.py, without .. and without a leading or double /",
    ),
]
Glob = Annotated[str, Field(min_length=1, max_length=256)]
Pattern = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    AfterValidator(_pattern),
    Rule("''.matches(self) ? true : true", f"this value is not an RE2 pattern; {PATTERN_CURE}"),
]
# The API server estimates a rule's cost from the bounds alone: 16 criteria × 1024 ids × 460 characters is as much as
# it allows for this one. No regular expression, for the same reason.
TestId = Annotated[
    str,
    Field(min_length=1, max_length=460),
    Check(
        holds=_is_test_id,
        cel="[self.split('::')[0]].exists(f, "
        + " || ".join(f"f.endsWith('{suffix}')" for suffix in _SUFFIXES)
        + ") && !self.startsWith('-') && !self.startsWith('/')"
        " && !self.startsWith(' ') && !self.startsWith('../') && !self.contains('/../')",
        complaint="is not a test id; write it as pytest does, such as tests/test_leap.py::test_1900",
    ),
]
Argument = Annotated[str, Field(max_length=4096)]
CriterionName = Annotated[
    str,
    Field(max_length=63),
    form(
        r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        "is not a name; write small letters, digits and - between them, such as unit-tests",
    ),
]
Digest = Annotated[
    str,
    Field(max_length=64),
    form(r"^[0-9a-f]{64}$", "is not a SHA-256 digest; write 64 hexadecimal digits, as sha256sum prints them"),
]
FileSize = Annotated[int, Field(ge=0, le=2**40)]


class Enforcement(StrEnum):
    """What a criterion's failure means for the verdict."""

    HARD = "Hard"
    """The task fails with it."""
    ADVISORY = "Advisory"
    """Shown, and nothing more."""


class CriterionType(StrEnum):
    """The kinds of criteria."""

    FILES = "Files"
    """Files exist, or do not, with the right content."""
    DIFF = "Diff"
    """What may be changed."""
    COMMAND = "Command"
    """A command succeeds on the result."""
    TESTS = "Tests"
    """Named tests pass on the result."""
    LINT = "Lint"
    """A linter finds no more than it may."""
    SECRETS = "Secrets"
    """No secret was added."""
    PROBE = "Probe"
    """A server that the result starts answers as it should."""
    TOOL_USE = "ToolUse"
    """Which tools the agent used, in which order, and with what success."""
    RAN = "Ran"
    """The agent executed what it wrote."""
    RESEARCH = "Research"
    """What the work cites can be read where it says, and says what it is cited for."""
    JUDGE = "Judge"
    """A model of another vendor than the agent's has nothing against the work. It can only veto."""

    @property
    def field(self) -> str:
        """The field of a criterion that is of this kind."""
        return self.value[0].lower() + self.value[1:]

    @property
    def reads_conduct(self) -> bool:
        """Whether it is decided by what the agent did, besides what it left."""
        return self in (
            CriterionType.TOOL_USE,
            CriterionType.RAN,
            CriterionType.RESEARCH,
            CriterionType.JUDGE,
        )


_FIELDS = [kind.field for kind in CriterionType]
ONE_KIND = f"exactly one of {', '.join(_FIELDS[:-1])} and {_FIELDS[-1]} must be given"


class Runner(StrEnum):
    """Programs that run tests."""

    PYTEST = "Pytest"
    """pytest, as the image has it."""
    NODE_TEST = "NodeTest"
    """Node.js's own runner, `node --test`. Ids: test/leap.test.js::leap > 1900."""
    JEST = "Jest"
    """Jest, of the base's node_modules or of the image. Ids: src/leap.test.js::leap > 1900."""
    GO_TEST = "GoTest"
    """`go test`. Ids: leap/leap_test.go::TestLeap/1900."""


class Isolation(StrEnum):
    """Where the code under test runs while its tests do."""

    AUTO = "Auto"
    """Process where the tests behave alike either way on the base, else InProcess. The result's strength says which."""
    PROCESS = "Process"
    """In a process of its own. The tests hold stand-ins for what they import of it."""
    IN_PROCESS = "InProcess"
    """In the tests' own process, where nothing can be hidden from it."""


class FileExpectation(ApiModel):
    """What must be true of one path in the workspace once the agent has stopped."""

    path: RelativePath
    """Path inside the workspace."""
    absent: bool = False
    """The path must not exist; the other fields do not go with it."""
    matches: Pattern | None = None
    """RE2 pattern that must occur somewhere in the file."""
    sha256: Digest | None = None
    """Digest of the whole file, in hexadecimal."""
    min_bytes: FileSize | None = None
    """Smallest allowed size in bytes."""
    max_bytes: FileSize | None = None
    """Largest allowed size in bytes."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!self.absent || !(has(self.matches) || has(self.sha256) || has(self.minBytes) || has(self.maxBytes))",
            ABSENT_ALONE,
        ),
    )

    @model_validator(mode="after")
    def _absent_stands_alone(self) -> Self:
        if self.absent and (
            self.matches or self.sha256 or self.min_bytes is not None or self.max_bytes is not None
        ):
            raise ValueError(ABSENT_ALONE)
        return self


class FilesCriterion(ApiModel):
    """Files exist, or do not, with the right content."""

    expect: Annotated[list[FileExpectation], Field(min_length=1, max_length=64)]
    """Every expectation must hold."""


class DiffCriterion(ApiModel):
    """What the agent may change. Without a change nothing was done, so one is required unless said otherwise."""

    allowed: Annotated[list[Glob], Field(max_length=64)] = []
    """Globs (`src/**`); when given, every changed path must match one."""
    forbidden: Annotated[list[Glob], Field(max_length=64)] = []
    """Globs; no changed path may match one."""
    require_change: bool = True
    """An empty diff fails."""
    max_files: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Most paths that may change."""
    max_bytes: Annotated[int, Field(ge=1, le=2**40)] | None = None
    """Most bytes that added and changed files may hold together."""


class CommandCriterion(ApiModel):
    """A command that runs in the clean room on the agent's result. Its exit code is a weak claim: it runs the agent's code."""

    argv: Annotated[list[Argument], Field(min_length=1, max_length=64)]
    """Program and arguments; no shell is put in between."""
    exit_code: Annotated[int, Field(ge=0, le=255)] = 0
    """The exit code that counts as success."""
    output_matches: Annotated[list[Pattern], Field(max_length=16)] = []
    """RE2 patterns, each of which must occur in standard output or standard error."""
    output_excludes: Annotated[list[Pattern], Field(max_length=16)] = []
    """RE2 patterns, none of which may occur."""
    timeout: DurationText = "2m"
    """How long one run may take."""


class HiddenObject(ApiModel):
    """A ConfigMap or a Secret in the task's namespace: each key becomes a file."""

    name: Annotated[
        str,
        Field(max_length=253),
        form(
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            "is not a Kubernetes name; write small letters, digits, dots and -, such as leap-hidden-tests",
        ),
    ]
    """Its name."""


class HiddenArchive(ApiModel):
    """A tar, tar.gz or tar.zst in the installation's bucket."""

    key: Annotated[
        str,
        Field(max_length=512),
        form(
            r"^[A-Za-z0-9_=+,@-][A-Za-z0-9._=+,@-]*(/[A-Za-z0-9_=+,@-][A-Za-z0-9._=+,@-]*)*$",
            "is not a key; write letters, digits and ._=+,@- with / between parts that do not begin with a dot",
        ),
    ]
    """Key below inputs/<the task's namespace>/ of the bucket."""
    digest: Digest | None = None
    """SHA-256 that the archive must have, in hexadecimal. Unset: any."""


class Brought(ApiModel):
    """Where files of a criterion's own come from."""

    config_map: HiddenObject | None = None
    """A ConfigMap in the task's namespace."""
    secret: HiddenObject | None = None
    """A Secret in the task's namespace; no part of the control plane reads it."""
    archive: HiddenArchive | None = None
    """An archive in object storage."""
    folder: RelativePath | None = None
    """Folder of the workspace in which the files are put; unset: the workspace itself."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.configMap), has(self.secret), has(self.archive)].filter(given, given).size() == 1",
            ONE_HIDDEN,
        ),
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if [self.config_map, self.secret, self.archive].count(None) != 2:
            raise ValueError(ONE_HIDDEN)
        return self

    @property
    def source(self) -> str:
        """Field and name of the source, for messages: `secret 'leap-hidden'`."""
        if self.archive:
            return f"archive {self.archive.key!r}"
        given = self.secret or self.config_map
        assert given is not None, "exactly one source is given"
        return f"{'secret' if self.secret else 'configMap'} {given.name!r}"


class HiddenTests(Brought):
    """Where tests come from that the agent never sees. The verifier's trusted side alone gets them; they lie in the clean
    room for this criterion's runs and nowhere else. With `axiom run`: a folder, or an archive, of the same name beside the
    task's file, for each of the sources."""


class MutationCheck(ApiModel):
    """Small faults are put into the functions that the agent changed, one at a time; tests must notice them. Python alone."""

    min_killed_percent: Annotated[int, Field(ge=1, le=100)]
    """Least share of the faults that a test must fail on."""
    max_mutants: Annotated[int, Field(ge=1, le=100)] = 20
    """Faults that are tried: a sample, the same whenever the same work is verified."""
    budget: DurationText = "2m"
    """How long all of them may take together; those that it does not reach do not count."""
    own_tests: bool = False
    """Whether the tests that the agent added or changed count, too: asks whether its own tests notice faults."""


class TestsCriterion(ApiModel):
    """Named tests, taken from the base and not from the agent, that must pass on the agent's result."""

    __test__: ClassVar[bool] = False  # pytest: not a test class

    runner: Runner = Runner.PYTEST
    """The program that runs them."""
    fail_to_pass: Annotated[list[TestId], Field(max_length=256)] = []
    """Ids that fail on the base (checked, else the task proves nothing) and must pass."""
    pass_to_pass: Annotated[list[TestId], Field(max_length=1024)] = []
    """Ids that pass on the base and must still pass."""
    isolation: Isolation = Isolation.AUTO
    """Where the code under test runs. It is decided on the base, so the agent's work has no say in it."""
    loopback: bool = False
    """Whether tests may listen on ports of the clean room from 1024 on, and connect to them; another network there is not.
    The code under test then shares a process with its tests, so the result's strength is InProcess."""
    hidden: HiddenTests | None = None
    """Tests that are no part of the workspace: they are laid over the base and over the result while this criterion is
    decided. The agent is told nothing of such a criterion before, and afterwards only which of its ids passed."""
    min_coverage_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """Least share of all lines of Python that have code, outside tests, which these tests must run. Measured by us in the
    process that runs the code, so the result's strength is InProcess."""
    min_changed_coverage_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """The same of the lines that the agent added or changed."""
    mutation: MutationCheck | None = None
    """Whether the tests notice faults in the functions that the agent changed. With runner Pytest."""
    timeout: DurationText = "5m"
    """How long one run of all of them may take."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.failToPass.size() + self.passToPass.size() > 0", NO_TEST),
        Rule("!has(self.mutation) || self.runner == 'Pytest'", MUTATES_PYTHON),
        Rule("!self.loopback || self.isolation != 'Process'", LOOPBACK_IS_SHARED),
        Rule(
            "!sets.intersects(self.failToPass, self.passToPass)",
            "a test is in both failToPass and passToPass; take it out of one",
            "self.failToPass.filter(t, t in self.passToPass)[0]"
            " + ' is in both failToPass and passToPass; take it out of one'",
        ),
    )

    @model_validator(mode="after")
    def _some_test(self) -> Self:
        if not self.fail_to_pass and not self.pass_to_pass:
            raise ValueError(NO_TEST)
        if self.mutation and self.runner is not Runner.PYTEST:
            raise ValueError(MUTATES_PYTHON)
        if self.loopback and self.isolation is Isolation.PROCESS:
            raise ValueError(LOOPBACK_IS_SHARED)
        if both := set(self.fail_to_pass) & set(self.pass_to_pass):
            raise ValueError(f"{min(both)!r} is in both failToPass and passToPass; take it out of one")
        return self


class Linter(StrEnum):
    """Programs that read code and complain."""

    RUFF = "Ruff"
    """ruff, as the image has it, for Python."""


class Suppressions(StrEnum):
    """What comments in the code that silence the linter (`# noqa` and its kin) count for."""

    OF_THE_BASE = "OfTheBase"
    """What the base had silenced already stays silent, wherever it moved; a new comment silences nothing."""
    ALL = "All"
    """All of them are honoured, also those that the agent wrote."""
    NONE = "None"
    """None is."""


RuleCode = Annotated[
    str,
    Field(max_length=16),
    form(r"^[A-Z]+[0-9]*$", "is not a rule; write a code or the beginning of one, such as F, E501 or ALL"),
]


class LintCriterion(ApiModel):
    """A linter's findings on the result. Configuration comes from here or from the base, never from the agent."""

    linter: Linter = Linter.RUFF
    """The program."""
    select: Annotated[list[RuleCode], Field(max_length=64)] = []
    """Rules that count; then no configuration file counts at all. Empty: the configuration files of the base."""
    ignore: Annotated[list[RuleCode], Field(max_length=64)] = []
    """Rules out of those in select that do not."""
    exclude: Annotated[list[Glob], Field(max_length=64)] = []
    """Globs of files that are not looked at, such as vendor/**."""
    max_findings: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Most findings that still pass. A changed file that the linter cannot read fails whatever stands here."""
    only_new: bool = False
    """Count only what the base does not have: on changed lines, and where the change brought it about."""
    suppressions: Suppressions = Suppressions.OF_THE_BASE
    """What comments that silence the linter count for."""
    timeout: DurationText = "2m"
    """How long one run may take."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.ignore.size() == 0 || self.select.size() > 0", IGNORE_NEEDS_SELECT),
    )

    @model_validator(mode="after")
    def _ignores_what_is_selected(self) -> Self:
        if self.ignore and not self.select:
            raise ValueError(IGNORE_NEEDS_SELECT)
        return self


class SecretsCriterion(ApiModel):
    """No key, token or password may be in what was added, nor in the agent's last words. Nothing is asked of any vendor."""

    exclude: Annotated[list[Glob], Field(max_length=64)] = []
    """Globs of files that are not looked at, such as tests/fixtures/**."""
    patterns: Annotated[list[Pattern], Field(max_length=16)] = []
    """RE2 patterns of secrets of your own, besides those that are known; the first group, or all that matches, is the secret."""
    output: bool = False
    """Nor may one be in what the agent said, what its tools answered, or what its terminal showed while it worked, as far as
    its sandbox noticed (`signal` in the ledger). One that the base holds counts here, too. Needs an agent."""


class Method(StrEnum):
    """HTTP methods."""

    GET = "GET"
    """Ask for something."""
    HEAD = "HEAD"
    """Ask for its headers alone."""
    POST = "POST"
    """Hand something in."""
    PUT = "PUT"
    """Put something there."""
    PATCH = "PATCH"
    """Change something."""
    DELETE = "DELETE"
    """Remove something."""


HeaderName = Annotated[
    str,
    Field(max_length=128),
    form(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", "is not a header's name; write one such as Content-Type"),
]


class Header(ApiModel):
    """A header that is sent."""

    name: HeaderName
    """Its name."""
    value: Annotated[
        str,
        Field(max_length=1024),
        form(r"^[\x20-\x7e]*$", "is not a header's value; write printable ASCII in one line"),
    ]
    """Its value; $(NONCE) stands for text that nobody could foresee, new in each run."""


class HeaderExpectation(ApiModel):
    """What must be true of a header of the answer."""

    name: HeaderName
    """Its name, in any case."""
    matches: Pattern
    """RE2 pattern that must occur in its value."""


class ProbeRequest(ApiModel):
    """One HTTP request, and what its answer must be."""

    method: Method = Method.GET
    """The method."""
    path: Annotated[
        str,
        Field(max_length=1024),
        form(r"^/[!-~]*$", "is not a path; write one such as /health?full=1, in ASCII and without spaces"),
    ]
    """Path and query; $(NONCE) stands for text that nobody could foresee, new in each run."""
    headers: Annotated[list[Header], Field(max_length=16)] = []
    """Headers that are sent besides Host, Connection and Content-Length."""
    body: Annotated[str, Field(max_length=16384)] = ""
    """What is sent; $(NONCE) as in the path."""
    status: Annotated[int, Field(ge=100, le=599)] = 200
    """The status that the answer must have."""
    header_matches: Annotated[list[HeaderExpectation], Field(max_length=8)] = []
    """Headers that it must have."""
    body_matches: Annotated[list[Pattern], Field(max_length=4)] = []
    """RE2 patterns, each of which must occur in the answer's body; $(NONCE) is what was sent."""
    body_excludes: Annotated[list[Pattern], Field(max_length=4)] = []
    """RE2 patterns, none of which may occur."""


PictureSide = Annotated[int, Field(ge=16, le=4000)]


class PictureMask(ApiModel):
    """A rectangle that is not compared, in pixels from the picture's left upper corner."""

    left: Annotated[int, Field(ge=0, le=4000)]
    """Pixels to its left."""
    top: Annotated[int, Field(ge=0, le=4000)]
    """Pixels above it."""
    width: Annotated[int, Field(ge=1, le=4000)]
    """Its width."""
    height: Annotated[int, Field(ge=1, le=4000)]
    """Its height."""


class ProbePicture(ApiModel):
    """A picture of a page of the server, taken with Chromium, and the one that it must look like."""

    name: CriterionName
    """Names the picture in evidence."""
    path: Annotated[
        str,
        Field(max_length=1024),
        form(r"^/[!-~]*$", "is not a path; write one such as /index.html?tab=2, in ASCII and without spaces"),
    ]
    """Path and query of the page."""
    width: PictureSide = 1280
    """Width of the window in pixels."""
    height: PictureSide = 800
    """Its height: what lies below is not in the picture."""
    max_difference_percent: Annotated[int, Field(ge=0, le=99)] = 2
    """Most of its pixels that may differ, of those that no mask covers."""
    masks: Annotated[list[PictureMask], Field(max_length=32)] = []
    """What is not compared, such as a time or an advertisement."""
    baseline: RelativePath | None = None
    """The picture (PNG) that it must look like: a file of the base, or of `baselines`. The agent's version of it never counts.
    Unset: `<name>.png`, in the folder of `baselines`."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(f"self.width * self.height <= {MOST_PICTURE_PIXELS}", TOO_MANY_PIXELS),
    )

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        if self.width * self.height > MOST_PICTURE_PIXELS:
            raise ValueError(TOO_MANY_PIXELS)
        return self


class Baselines(Brought):
    """Where pictures to compare with come from that are no part of the workspace: `<name>.png` for each. The agent never sees
    them, and so cannot serve them. With `axiom run`: a folder, or an archive, of the same name beside the task's file.
    `axiom baseline accept` fills them."""


class ProbeCriterion(ApiModel):
    """A server that the result starts, in a clean room of its own loopback, how it must answer, and what its pages look like."""

    argv: Annotated[list[Argument], Field(min_length=1, max_length=64)]
    """Program and arguments that start it; it finds the port in the variable PORT, too."""
    port: Annotated[int, Field(ge=1024, le=65535)]
    """The port of 127.0.0.1 that it must listen on."""
    requests: Annotated[list[ProbeRequest], Field(max_length=16)] = []
    """Sent one after another, in this order, to one life of the server."""
    pictures: Annotated[list[ProbePicture], Field(max_length=8), Keyed("name")] = []
    """Taken after all requests, in the same life of the server."""
    baselines: Baselines | None = None
    """What pictures are compared with. Unset: files of the base."""
    start_timeout: DurationText = "15s"
    """How long it may take until it listens."""
    request_timeout: DurationText = "10s"
    """How long each answer may take."""
    picture_timeout: DurationText = "30s"
    """How long each picture may take, with the start of the browser."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.requests.size() + self.pictures.size() > 0", NOTHING_TO_PROBE),
        Rule("!has(self.baselines) || self.pictures.size() > 0", BASELINES_ALONE),
    )

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.requests and not self.pictures:
            raise ValueError(NOTHING_TO_PROBE)
        if self.baselines and not self.pictures:
            raise ValueError(BASELINES_ALONE)
        return self

    def baseline_of(self, picture: ProbePicture) -> str:
        """Path of the picture's baseline in the base, with what `baselines` lays over it."""
        if picture.baseline:
            return picture.baseline
        folder = self.baselines.folder if self.baselines else None
        return f"{folder}/{picture.name}.png" if folder else f"{picture.name}.png"


ToolPattern = Annotated[
    str,
    Field(min_length=1, max_length=256),
    AfterValidator(_pattern),
    Rule("''.matches(self) ? true : true", f"this value is not an RE2 pattern; {PATTERN_CURE}"),
]


class ForbiddenTool(ApiModel):
    """Calls of tools that there may not be, with or without success."""

    tool: ToolPattern
    """RE2 pattern of the whole name, as the agent calls the tool: Bash, WebFetch|web_fetch, mcp__.*"""
    input_matches: Pattern | None = None
    """RE2 pattern that occurs in the call's input, as JSON. Unset: whatever the input is."""


class ExpectedTool(ApiModel):
    """Calls of tools that there must be."""

    tool: ToolPattern
    """RE2 pattern of the whole name, as the agent calls the tool."""
    input_matches: Pattern | None = None
    """RE2 pattern that must occur in the call's input, as JSON."""
    at_least: Annotated[int, Field(ge=1, le=1000)] = 1
    """Fewest such calls."""
    at_most: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Most such calls."""
    succeeded: bool = True
    """Only calls that succeeded count; false: those that failed, too."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.atMost) || self.atMost >= self.atLeast", MOST_BELOW_LEAST),
    )

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.at_most is not None and self.at_most < self.at_least:
            raise ValueError(MOST_BELOW_LEAST)
        return self


class ToolUseCriterion(ApiModel):
    """Which tools the agent used, by its own account in the ledger. It needs an agent that tells of its tools: a class with a
    driver of its own, in mode Structured."""

    called: Annotated[list[ExpectedTool], Field(max_length=16)] = []
    """What must have been called."""
    in_order: bool = False
    """The calls in `called` must have been made in this order; others may lie between them."""
    forbidden: Annotated[list[ForbiddenTool], Field(max_length=16)] = []
    """What may not have been called."""
    max_errors: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Most calls that may have failed without being followed up."""
    follow_up: bool = True
    """A call that failed does not count once a later one like it succeeded: of the same tool, and where that is a command of
    the same program, where it is about a file of the same file. False: every call that failed counts."""


class RanCriterion(ApiModel):
    """The agent executed what it wrote, by its own account in the ledger: each file that it added or changed was run by a
    command after it was last changed. It needs an agent that tells of its tools: a class with a driver of its own, in mode
    Structured."""

    files: Annotated[list[Glob], Field(min_length=1, max_length=16)]
    """Globs of files, such as src/**/*.py. Those of them that the agent added or changed must have been run, and there must be
    one."""
    commands: Annotated[list[ToolPattern], Field(max_length=16)] = []
    """RE2 patterns of commands that run these files without naming them, matched at the beginning of a command's words: pytest,
    npm (run )?test, make check. Empty: a command must name the file, or a file that imports it."""
    succeeded: bool = True
    """Only commands count that ended with exit code 0, so that nothing else decided the line's; false: every one that ran."""


class ResearchCriterion(ApiModel):
    """What the work cites can be read where it says, and says what it is cited for. Pages are fetched through the egress proxy:
    hosts that the agent's class opens, and none other."""

    files: Annotated[list[Glob], Field(max_length=16)] = []
    """Globs of files, in Markdown or plain text, whose citations count."""
    message: bool = False
    """Whether those in what the agent said last count, too."""
    min_citations: Annotated[int, Field(ge=1, le=32)] = 3
    """Fewest different pages that must be cited. More than 32 in all fail."""
    min_resolved_percent: Annotated[int, Field(ge=1, le=100)] = 100
    """Least share of them that can be read: status 200, a title, no page to log in, to pay or to say that there is none."""
    quotes: bool = True
    """Whether text that is quoted beside a citation must occur at its page."""
    fetched: bool = True
    """Whether the agent must itself have fetched each page: by its tools, and by the bytes that the egress proxy counted."""
    timeout: DurationText = "30s"
    """How long each page may take."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (Rule("self.files.size() > 0 || self.message", NOTHING_TO_READ),)

    @model_validator(mode="after")
    def _reads_something(self) -> Self:
        if not self.files and not self.message:
            raise ValueError(NOTHING_TO_READ)
        return self


class JudgeCriterion(ApiModel):
    """A model of another vendor than the agent's looks at the work when all other Hard criteria passed, and may veto. The judges
    are those of the agent's class. What the agent changed, and parts of what it did, are sent to the judge's vendor."""

    question: Annotated[str, Field(min_length=1, max_length=4096)]
    """What it is asked: what would be wrong although every other criterion passed."""
    by: CriterionName | None = None
    """Which of the class's judges. Unset: the first whose vendor is not the agent's."""
    paths: Annotated[list[Glob], Field(max_length=32)] = []
    """Globs of changed files that it is shown; of others it is told the names alone. Empty: all."""
    show_conduct: bool = True
    """Whether it is shown what the agent's tools did, by the agent's own account."""
    max_characters: Annotated[int, Field(ge=1000, le=400_000)] = 120_000
    """Most characters of the change that it is shown. A change that does not fit can fail, but not pass."""
    timeout: DurationText = "2m"
    """How long its answer may take."""


class Criterion(ApiModel):
    """One named condition of success: exactly one of the kinds."""

    name: CriterionName
    """Names the criterion in status and evidence."""
    enforcement: Enforcement = Enforcement.HARD
    """Hard (default) decides the verdict; Advisory is only shown."""
    files: FilesCriterion | None = None
    """Files exist, or do not, with the right content."""
    diff: DiffCriterion | None = None
    """What may be changed."""
    command: CommandCriterion | None = None
    """A command succeeds on the result."""
    tests: TestsCriterion | None = None
    """Named tests pass on the result."""
    lint: LintCriterion | None = None
    """A linter finds no more than it may."""
    secrets: SecretsCriterion | None = None
    """No secret was added."""
    probe: ProbeCriterion | None = None
    """A server that the result starts answers as it should."""
    tool_use: ToolUseCriterion | None = None
    """Which tools the agent used, in which order, and with what success."""
    ran: RanCriterion | None = None
    """The agent executed what it wrote."""
    research: ResearchCriterion | None = None
    """What the work cites can be read where it says, and says what it is cited for."""
    judge: JudgeCriterion | None = None
    """A model of another vendor than the agent's has nothing against the work. It can only veto."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"[{', '.join(f'has(self.{name})' for name in _FIELDS)}].filter(given, given).size() == 1",
            ONE_KIND,
            f"'{ONE_KIND}; this criterion has'"
            + "".join(f" + (has(self.{name}) ? ' {name}' : '')" for name in _FIELDS)
            + f" + ({' || '.join(f'has(self.{name})' for name in _FIELDS)} ? '' : ' none')",
        ),
    )

    @model_validator(mode="after")
    def _exactly_one_kind(self) -> Self:
        kinds = [kind.field for kind in CriterionType if self._part(kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"{ONE_KIND}; this criterion has {' and '.join(kinds) or 'none'}")
        return self

    def _part(self, kind: CriterionType) -> ApiModel | None:
        by_field = {field.alias or name: name for name, field in type(self).model_fields.items()}
        part: ApiModel | None = getattr(self, by_field[kind.field])
        return part

    @property
    def hides(self) -> bool:
        """Whether the agent is told nothing of this criterion."""
        return self.tests is not None and self.tests.hidden is not None

    @property
    def brings(self) -> Brought | None:
        """Where files of its own come from, which are laid over the base while it is decided."""
        return self.tests.hidden if self.tests else self.probe.baselines if self.probe else None

    @property
    def bringing_field(self) -> str:
        """Which field says so, for messages."""
        return "tests.hidden" if self.tests else "probe.baselines"

    @property
    def reads_conduct(self) -> bool:
        """Whether it is decided by what the agent did, besides what it left."""
        reads_output = self.secrets is not None and self.secrets.output
        return reads_output or self.type.reads_conduct

    @property
    def type(self) -> CriterionType:
        """Which of the kinds this criterion is."""
        return next(kind for kind in CriterionType if self._part(kind) is not None)

    @property
    def spec(self) -> ApiModel:
        """What it asks for, in the form of its kind."""
        part = self._part(self.type)
        assert part is not None
        return part
