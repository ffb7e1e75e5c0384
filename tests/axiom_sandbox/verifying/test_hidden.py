"""Tests that the agent never sees: where they come from, what they prove, and what is told of them."""

import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.axiom_sandbox.verifying.projects import BUGGY, LEAP, RIGHT, Bench, put
from tests.axiom_sandbox.verifying.test_evasions import EVASIONS

from axiom_sandbox.protocol.changes import Entry, EntryKind
from axiom_sandbox.protocol.channel import Verification
from axiom_sandbox.protocol.criteria import HiddenTests
from axiom_sandbox.protocol.events import CriterionChecked, ProcessRan
from axiom_sandbox.protocol.verdicts import Verdict
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.trees import Tree
from axiom_sandbox.verifying.feedback import feedback
from axiom_sandbox.verifying.hiding import overlaid, take_hidden

pytestmark = pytest.mark.sandbox

SECRET_INPUT = 2100
HIDDEN = f"""\
import pytest
from leap import is_leap
from answers import EXPECTED

@pytest.mark.parametrize("year", [{SECRET_INPUT}, 2200])
def test_centuries(year): assert is_leap(year) is EXPECTED[year]
def test_2400(): assert is_leap(2400) is True
"""
FILES = {"test_centuries.py": HIDDEN, "answers.py": f"EXPECTED = {{{SECRET_INPUT}: False, 2200: False}}\n"}
CRITERION = {
    "name": "unseen",
    "tests": {
        "failToPass": ["tests/unseen/test_centuries.py::test_centuries"],
        "passToPass": ["tests/unseen/test_centuries.py::test_2400"],
        "hidden": {"secret": {"name": "leap-unseen"}, "folder": "tests/unseen"},
        "isolation": "InProcess",
    },
}


@pytest.fixture
def hide(bench: Bench, tmp_path: Path) -> Path:
    folder = tmp_path / "leap-unseen"
    put(FILES)(folder)
    bench.hidden = {"unseen": folder}
    return folder


async def verify(bench: Bench, files: Mapping[str, str | None]) -> Verification:
    return await bench.verify(LEAP, put(files), CRITERION)


async def test_an_honest_fix_passes_tests_that_nobody_showed_it(bench: Bench, hide: Path) -> None:
    found = await verify(bench, {"src/leap.py": RIGHT})
    assert found.verdict is Verdict.PASS, found.results[0].message


async def test_made_up_answers_do_not_pass(bench: Bench, hide: Path) -> None:
    made_up = EVASIONS["made-up answers for the inputs that the tests use"]
    assert (await verify(bench, made_up)).verdict is Verdict.FAIL


async def test_what_is_told_is_pass_or_fail_for_each_id_and_nothing_more(bench: Bench, hide: Path) -> None:
    found = await verify(
        bench, {"src/leap.py": BUGGY + "\nprint(open(__import__('glob').glob('tests/unseen/*')[0]).read())\n"}
    )
    (result,) = found.results
    assert result.message == "tests/unseen/test_centuries.py::test_centuries failed."
    said = feedback(found, 1) + "".join(event.model_dump_json() for event in bench.events)
    assert str(SECRET_INPUT) not in said
    assert "EXPECTED" not in said
    assert all(event.output_tail == "" for event in bench.events if isinstance(event, ProcessRan))


@pytest.mark.cheats
async def test_the_digest_of_the_hidden_tests_is_part_of_the_evidence(bench: Bench, hide: Path) -> None:
    digests = []
    for _ in range(2):
        await (verify(bench, {"src/leap.py": RIGHT}) if not digests else bench.again(CRITERION))
        checked = [event for event in bench.events if isinstance(event, CriterionChecked)][-1]
        digests.append(checked.evidence["hidden"]["digest"])
        (hide / "answers.py").write_text("EXPECTED = {2100: False, 2200: 0 > 1}\n")
    assert digests[0] != digests[1]
    assert len(digests[0]) == 64


@pytest.mark.cheats
async def test_files_of_the_agent_where_hidden_ones_lie_are_not_used(bench: Bench, hide: Path) -> None:
    guess = {"src/leap.py": BUGGY, "tests/unseen/answers.py": "EXPECTED = {2100: True, 2200: True}\n"}
    found = await verify(bench, guess)
    assert found.verdict is Verdict.FAIL
    assert "answers" not in found.results[0].message


async def test_hidden_tests_are_there_for_their_own_criterion_alone(bench: Bench, hide: Path) -> None:
    looking = {"name": "look", "command": {"argv": ["ls", "-R", "."], "outputExcludes": ["unseen"]}}
    found = await bench.verify(LEAP, put({"src/leap.py": RIGHT}), CRITERION, looking)
    assert found.verdict is Verdict.PASS, found.results


@pytest.mark.cheats
async def test_hidden_tests_that_pass_on_the_base_prove_nothing(bench: Bench, hide: Path) -> None:
    (hide / "test_centuries.py").write_text("def test_centuries(): pass\ndef test_2400(): pass\n")
    found = await verify(bench, {"src/leap.py": RIGHT})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "passes on the unchanged base" in found.results[0].message


async def test_hidden_tests_that_did_not_arrive_are_named(bench: Bench) -> None:
    found = await verify(bench, {"src/leap.py": RIGHT})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.results[0].message == (
        "criteria[unseen].tests.hidden: secret 'leap-unseen': was not brought into the verifier's sandbox"
    )


async def test_ids_that_neither_side_has_are_named(bench: Bench, hide: Path) -> None:
    (hide / "test_centuries.py").rename(hide / "test_other.py")
    found = await verify(bench, {"src/leap.py": RIGHT})
    assert found.results[0].message.startswith(
        "Neither the base workspace nor the hidden tests have tests/unseen"
    )


def test_a_mounted_volume_is_read_as_the_kubelet_lays_it_out(tmp_path: Path) -> None:
    put({"mount/..2026/test_a.py": "A", "mount/..2026/b": "B"})(tmp_path)
    mount = tmp_path / "mount"
    (mount / "..data").symlink_to("..2026")
    for key in ("test_a.py", "b"):
        (mount / key).symlink_to(f"..data/{key}")
    found = take_hidden(HiddenTests(config_map={"name": "c"}, folder="t"), mount, tmp_path / "taken")
    assert dict(found) == {"t/test_a.py": b"A", "t/b": b"B"}


def test_an_archive_may_be_any_tar_and_must_have_its_digest(tmp_path: Path) -> None:
    put({"given/tests/test_a.py": "A"})(tmp_path)
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "given", ".")
    wanted = {"key": "a.tar.gz"}
    found = take_hidden(HiddenTests.model_validate({"archive": wanted}), archive, tmp_path / "taken")
    assert dict(found) == {"tests/test_a.py": b"A"}
    pinned = HiddenTests.model_validate({"archive": wanted | {"digest": "0" * 64}})
    with pytest.raises(SnapshotError, match="correct one of them"):
        take_hidden(pinned, archive, tmp_path / "other")


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SnapshotError, match="put the files there, each under a key"):
        take_hidden(HiddenTests(secret={"name": "s"}), tmp_path / "empty", tmp_path / "taken")


def test_what_stands_in_the_way_of_hidden_files_is_gone() -> None:
    def tree(*paths: str) -> Tree:
        return Tree({path: Entry(path=path, kind=EntryKind.FILE, digest=path) for path in paths})

    found = overlaid(tree("a", "b/c", "d/e"), tree("a/x", "b", "new"))
    assert set(found.entries) == {"a/x", "b", "d/e", "new"}
