"""docs/troubleshooting.md has one entry for everything that can be wrong, in the API's own words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from axiom.api.conditions import EXPECTED_REASONS, Reason
from axiom.diagnosing.findings import Fault, meaning_of

PAGE = Path(__file__).parents[3] / "docs" / "troubleshooting.md"
ENTRIES = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
TROUBLES: list[Reason | Fault] = [*(item for item in Reason if item not in EXPECTED_REASONS), *Fault]


def test_every_trouble_has_an_entry_and_every_entry_is_one() -> None:
    assert list(ENTRIES) == [trouble.value for trouble in TROUBLES]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_an_entry_says_what_the_api_says_and_leads_to_a_cure(trouble: Reason | Fault) -> None:
    entry = ENTRIES[trouble.value]
    quoted = re.match(r"> (.*)\n", entry)
    assert quoted, f"{trouble}: the entry begins with its meaning"
    assert quoted[1] == meaning_of(trouble)
    assert re.findall(r"^- \*\*(\w+):\*\* .{10}", entry, re.MULTILINE) == ["Seen", "Look", "Cure"]
