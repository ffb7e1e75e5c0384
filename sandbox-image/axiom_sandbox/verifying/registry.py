"""Which verifier decides which kind of criterion. A new kind is one module, its spec in
`protocol.criteria`, and one line here: docs/criteria.md."""

from __future__ import annotations

from typing import Any

from axiom_sandbox.protocol.criteria import Criterion, CriterionType
from axiom_sandbox.verifying.command import CommandVerifier
from axiom_sandbox.verifying.diff import DiffVerifier
from axiom_sandbox.verifying.files import FilesVerifier
from axiom_sandbox.verifying.judge import JudgeVerifier
from axiom_sandbox.verifying.judging import Verifier
from axiom_sandbox.verifying.lint import LintVerifier
from axiom_sandbox.verifying.probe import ProbeVerifier
from axiom_sandbox.verifying.ran import RanVerifier
from axiom_sandbox.verifying.research import ResearchVerifier
from axiom_sandbox.verifying.secrets import SecretsVerifier
from axiom_sandbox.verifying.suites.verifier import TestsVerifier
from axiom_sandbox.verifying.tool_use import ToolUseVerifier

VERIFIERS: dict[CriterionType, Verifier[Any]] = {
    CriterionType.FILES: FilesVerifier(),
    CriterionType.DIFF: DiffVerifier(),
    CriterionType.COMMAND: CommandVerifier(),
    CriterionType.TESTS: TestsVerifier(),
    CriterionType.LINT: LintVerifier(),
    CriterionType.SECRETS: SecretsVerifier(),
    CriterionType.PROBE: ProbeVerifier(),
    CriterionType.TOOL_USE: ToolUseVerifier(),
    CriterionType.RAN: RanVerifier(),
    CriterionType.RESEARCH: ResearchVerifier(),
    CriterionType.JUDGE: JudgeVerifier(),
}


def verifier_of(criterion: Criterion) -> tuple[Verifier[Any], Any]:
    """The verifier of a criterion, and the part of the criterion that it reads."""
    return VERIFIERS[criterion.type], criterion.spec
