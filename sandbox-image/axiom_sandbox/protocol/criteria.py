"""The criteria for success that a task carries: what each asks for. How each is decided is in `axiom_sandbox.verifying`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Self

import re2
from pydantic import AfterValidator, Field, model_validator

from axiom_sandbox.protocol.checks import Check, Rule, form
from axiom_sandbox.protocol.model import ApiModel
from axiom_sandbox.protocol.quantities import DurationText

ABSENT_ALONE = "absent does not go together with matches, sha256, minBytes or maxBytes; remove them"
ONE_HIDDEN = "exactly one of configMap, secret and archive must be given"
NO_TEST = "no test is named; give at least one id in failToPass or passToPass"
ONE_KIND = "exactly one of files, diff, command and tests must be given"
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


def _is_test_id(text: str) -> bool:
    file = text.split("::")[0]
    return file.endswith(".py") and not file.startswith(("-", "/", " ", "../")) and "/../" not in text


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
# The API server estimates a rule's cost from the bounds alone: 16 criteria × 1024 ids × 480 characters is as much as
# it allows for this one. No regular expression, for the same reason.
TestId = Annotated[
    str,
    Field(min_length=1, max_length=480),
    Check(
        holds=_is_test_id,
        cel="self.split('::')[0].endsWith('.py') && !self.startsWith('-') && !self.startsWith('/')"
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


class Runner(StrEnum):
    """Programs that run tests."""

    PYTEST = "Pytest"
    """pytest, as the image has it."""


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


class HiddenTests(ApiModel):
    """Where tests come from that the agent never sees. The verifier's trusted side alone gets them; they lie in the clean
    room for this criterion's runs and nowhere else. With `axiom run`: a folder, or an archive, of the same name beside the
    task's file, for each of the sources."""

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
    hidden: HiddenTests | None = None
    """Tests that are no part of the workspace: they are laid over the base and over the result while this criterion is
    decided. The agent is told nothing of such a criterion before, and afterwards only which of its ids passed."""
    min_coverage_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """Least share of all lines of Python that have code, outside tests, which these tests must run. Measured by us in the
    process that runs the code, so the result's strength is InProcess."""
    min_changed_coverage_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """The same of the lines that the agent added or changed."""
    timeout: DurationText = "5m"
    """How long one run of all of them may take."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.failToPass.size() + self.passToPass.size() > 0", NO_TEST),
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
        if both := set(self.fail_to_pass) & set(self.pass_to_pass):
            raise ValueError(f"{min(both)!r} is in both failToPass and passToPass; take it out of one")
        return self


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

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.files), has(self.diff), has(self.command), has(self.tests)].filter(given, given).size() == 1",
            ONE_KIND,
            f"'{ONE_KIND}; this criterion has'"
            " + (has(self.files) ? ' files' : '') + (has(self.diff) ? ' diff' : '')"
            " + (has(self.command) ? ' command' : '') + (has(self.tests) ? ' tests' : '')"
            " + (has(self.files) || has(self.diff) || has(self.command) || has(self.tests) ? '' : ' none')",
        ),
    )

    @model_validator(mode="after")
    def _exactly_one_kind(self) -> Self:
        kinds = [
            kind.value.lower() for kind in CriterionType if getattr(self, kind.value.lower()) is not None
        ]
        if len(kinds) != 1:
            raise ValueError(f"{ONE_KIND}; this criterion has {' and '.join(kinds) or 'none'}")
        return self

    @property
    def hides(self) -> bool:
        """Whether the agent is told nothing of this criterion."""
        return self.tests is not None and self.tests.hidden is not None

    @property
    def type(self) -> CriterionType:
        """Which of the kinds this criterion is."""
        return next(kind for kind in CriterionType if getattr(self, kind.value.lower()) is not None)
