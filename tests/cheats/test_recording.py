"""What the suite decided is added up part by part."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.cheats.recording import Counts, counts, record, recorded
from tests.cheats.running import HONEST, Tally

from axiom_sandbox.protocol.verdicts import Verdict


def test_a_cheat_counts_as_accepted_by_a_pass_alone_an_honest_case_as_rejected_by_anything_else() -> None:
    verdicts = Counter(
        {
            ("runner hooks", "Process", Verdict.PASS): 1,
            ("runner hooks", "InProcess", Verdict.FAIL): 4,
            ("timing", "Process", Verdict.INCONCLUSIVE): 2,
            (HONEST, "Process", Verdict.PASS): 10,
            (HONEST, "InProcess", Verdict.INCONCLUSIVE): 3,
        }
    )
    assert counts(Tally(verdicts, []), 1.6) == Counts(cheats=7, accepted=1, honest=13, rejected=3, seconds=2)


def test_parts_stand_beside_each_other_and_another_division_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "cheats.json"
    first, second = Counts(1, 0, 1, 0, 1), Counts(2, 0, 2, 0, 2)
    record("go", "2/12", second, path)
    record("go", "1/12", first, path)
    record("node", "1/1", first, path)
    assert recorded(path) == {"go": {"1/12": first, "2/12": second}, "node": {"1/1": first}}
    record("go", "1/3", first, path)
    assert recorded(path)["go"] == {"1/3": first}
