"""A few of the cheats and honest solutions, the same ones each time. `make cheats` has them all."""

import pytest
from tests.cheats.catalogue import CHEATS
from tests.cheats.honest import FORMS
from tests.cheats.running import Case, Tally, cheats, decide_all, honest, particular, sample
from tests.cheats.tasks import TASKS

SEED = 7


@pytest.mark.sandbox
@pytest.mark.parametrize(
    "cases", [sample([*cheats()], 1, SEED), sample([*honest()], 1, SEED)], ids=["cheats", "honest"]
)
async def test_a_sample_is_decided_rightly(cases: list[Case]) -> None:
    tally = await decide_all(cases, "Auto", at_once=1)
    assert tally.wrong == []
    assert sum(tally.verdicts.values()) == len(cases)


def test_the_corpus_is_as_large_as_is_claimed() -> None:
    cheating, right = [*cheats()], [*honest()]
    assert sum(map(len, CHEATS.values())) >= 60
    assert len(TASKS) >= 3
    assert len(right) >= 180
    assert len(FORMS) * len(TASKS) + len(TASKS) == len(right)
    assert len({case.title for case in (*cheating, *right)}) == len(cheating) + len(right)
    others = [*particular()]
    assert len({case.title for case in others}) == len(others) >= 50


def test_every_case_leaves_the_base_changed_or_says_that_nothing_was_done() -> None:
    for case in (*cheats(), *honest(), *particular()):
        changes = {path: text for path, text in case.files.items() if case.task.base.get(path) != text}
        assert changes or case.name == "nothing at all", case.title


def test_the_table_names_what_was_decided_wrongly() -> None:
    from collections import Counter

    from axiom_sandbox.protocol.verdicts import Verdict

    tally = Tally(
        Counter({("honest", "Process", Verdict.PASS): 3, ("test files", "InProcess", Verdict.FAIL): 2}), []
    )
    assert "None was decided wrongly." in tally.table()
    assert tally.table().splitlines()[1].split() == ["honest", "3", "3", "0", "0", "3"]
    tally.wrong.append("  test files: edited [leap]: Pass")
    assert tally.table().endswith("Decided wrongly:\n  test files: edited [leap]: Pass")
