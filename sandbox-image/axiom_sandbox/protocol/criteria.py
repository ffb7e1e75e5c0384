"""The criteria for success that a task carries: what each asks for. How each is decided is in `axiom_sandbox.verifying`."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Self

import re2
from pydantic import AfterValidator, Field, model_validator

from axiom_sandbox.protocol.model import ApiModel
from axiom_sandbox.protocol.quantities import DurationText


def _relative_path(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "" in parts or "\0" in path:
        raise ValueError(f"{path!r} must be a path inside the workspace, without a leading / and without ..")
    return path


def _pattern(text: str) -> str:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(text, options)
    except re2.error as error:
        raise ValueError(f"{text!r} is not an RE2 pattern: {error}") from error
    return text


def _test_id(text: str) -> str:
    if (
        not re.fullmatch(r"[^\s:][^:]*\.py(::[^\s].*)?", text)
        or text.startswith(("-", "/"))
        or ".." in text.split("/")
    ):
        raise ValueError(
            f"{text!r} is not a test id; write it as pytest does, such as tests/test_leap.py::test_1900"
        )
    return text


RelativePath = Annotated[
    str,
    AfterValidator(_relative_path),
    Field(min_length=1, max_length=1024, json_schema_extra={"x-axiom-format": "relative-path"}),
]
Glob = Annotated[str, Field(min_length=1, max_length=256)]
Pattern = Annotated[str, AfterValidator(_pattern), Field(min_length=1, max_length=1024)]
TestId = Annotated[
    str,
    AfterValidator(_test_id),
    Field(min_length=1, max_length=512, json_schema_extra={"x-axiom-format": "test-id"}),
]
Argument = Annotated[str, Field(max_length=4096)]


class Enforcement(StrEnum):
    """What a criterion's failure means for the verdict."""

    HARD = "Hard"
    """The task fails with it."""
    ADVISORY = "Advisory"
    """Shown, and nothing more."""


class CriterionType(StrEnum):
    """The kinds of criteria."""

    FILES = "Files"
    DIFF = "Diff"
    COMMAND = "Command"
    TESTS = "Tests"


class Runner(StrEnum):
    """Programs that run tests."""

    PYTEST = "Pytest"


class FileExpectation(ApiModel):
    """What must be true of one path in the workspace once the agent has stopped."""

    path: RelativePath
    """Path inside the workspace."""
    absent: bool = False
    """The path must not exist; the other fields do not go with it."""
    matches: Pattern | None = None
    """RE2 pattern that must occur somewhere in the file."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest of the whole file, in hexadecimal."""
    min_bytes: Annotated[int, Field(ge=0)] | None = None
    """Smallest allowed size in bytes."""
    max_bytes: Annotated[int, Field(ge=0)] | None = None
    """Largest allowed size in bytes."""

    @model_validator(mode="after")
    def _absent_stands_alone(self) -> Self:
        if self.absent and (
            self.matches or self.sha256 or self.min_bytes is not None or self.max_bytes is not None
        ):
            raise ValueError(
                "absent does not go together with matches, sha256, minBytes or maxBytes; remove them"
            )
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
    max_files: Annotated[int, Field(ge=1)] | None = None
    """Most paths that may change."""
    max_bytes: Annotated[int, Field(ge=1)] | None = None
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


class TestsCriterion(ApiModel):
    """Named tests, taken from the base and not from the agent, that must pass on the agent's result."""

    __test__: ClassVar[bool] = False  # pytest: not a test class

    runner: Runner = Runner.PYTEST
    """The program that runs them."""
    fail_to_pass: Annotated[list[TestId], Field(max_length=256)] = []
    """Ids that fail on the base (checked, else the task proves nothing) and must pass."""
    pass_to_pass: Annotated[list[TestId], Field(max_length=1024)] = []
    """Ids that pass on the base and must still pass."""
    timeout: DurationText = "5m"
    """How long one run of all of them may take."""

    @model_validator(mode="after")
    def _some_test(self) -> Self:
        if not self.fail_to_pass and not self.pass_to_pass:
            raise ValueError("no test is named; give at least one id in failToPass or passToPass")
        if both := set(self.fail_to_pass) & set(self.pass_to_pass):
            raise ValueError(
                f"{min(both)!r} is in both failToPass and passToPass; a test cannot be in both"
            )
        return self


class Criterion(ApiModel):
    """One named condition of success: exactly one of the kinds."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
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

    @model_validator(mode="after")
    def _exactly_one_kind(self) -> Self:
        kinds = [
            kind.value.lower() for kind in CriterionType if getattr(self, kind.value.lower()) is not None
        ]
        if len(kinds) != 1:
            given = f"has {' and '.join(kinds)}" if kinds else "has none"
            raise ValueError(
                f"exactly one of files, diff, command and tests must be given; this criterion {given}"
            )
        return self

    @property
    def type(self) -> CriterionType:
        """Which of the kinds this criterion is."""
        return next(kind for kind in CriterionType if getattr(self, kind.value.lower()) is not None)
