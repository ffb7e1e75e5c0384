"""docs/criteria.md says of each type what the code does."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from axiom_sandbox.protocol.criteria import Criterion, CriterionType
from axiom_sandbox.verifying.registry import VERIFIERS

PAGE = (Path(__file__).parents[3] / "docs" / "criteria.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE))
LABELS = ("Pass", "Fail", "Inconclusive", "Evidence", "Strength")


def test_every_type_has_a_verifier_and_a_section_in_the_order_of_the_types() -> None:
    assert list(VERIFIERS) == list(CriterionType)
    assert list(SECTIONS) == [
        *(kind.value for kind in CriterionType),
        "Profiles",
        "What the agent claimed",
        "Another type",
        "Another runner",
    ]
    fields = {field.alias or name for name, field in Criterion.model_fields.items()}
    assert {kind.field for kind in CriterionType} == fields - {"name", "enforcement"}


@pytest.mark.parametrize("kind", CriterionType)
def test_a_section_says_what_the_verdicts_mean_and_how_strong_the_evidence_is(kind: CriterionType) -> None:
    labelled = dict(re.findall(r"^- \*\*(\w+):\*\* (.+)$", SECTIONS[kind], re.MULTILINE))
    assert tuple(labelled) == LABELS
    strength = VERIFIERS[kind].strength.value
    assert labelled["Strength"] == f"`{strength}`"
    assert re.search(rf"^\| \[{kind}\]\(#{kind.lower()}\) \| .+ \| `{strength}` \|$", PAGE, re.MULTILINE)
    never = labelled["Inconclusive"] == "never."
    documentation = sys.modules[type(VERIFIERS[kind]).__module__].__doc__ or ""
    assert ("Inconclusive: never." in documentation) is never
    for word in LABELS[:3]:
        assert f"{word}:" in documentation


@pytest.mark.parametrize("kind", CriterionType)
def test_the_example_of_a_section_is_a_criterion_of_its_type(kind: CriterionType) -> None:
    *_, example = re.findall(r"```yaml\n(.*?)```", SECTIONS[kind], re.DOTALL)
    assert Criterion.model_validate(yaml.safe_load(example)).type is kind
