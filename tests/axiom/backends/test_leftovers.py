"""What belongs to a process that is gone is told from what belongs to one that lives."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from axiom.backends.leftovers import claim, note_elsewhere, remove_leftovers
from axiom.backends.owners import Owner


def gone() -> Owner:
    """A process that was there a moment ago."""
    code = "from axiom.backends.owners import Owner; print(Owner.current())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    owner = Owner.parse(ended.stdout.strip())
    assert owner is not None
    return owner


def test_an_owner_is_read_back_as_it_was_written() -> None:
    assert Owner.parse(str(Owner.current())) == Owner.current()
    assert Owner.parse("") is None
    assert Owner.parse("a/b/c/d") is None


def test_this_process_lives_and_one_that_ended_is_gone() -> None:
    assert not Owner.current().is_gone()
    assert gone().is_gone()


def test_a_process_that_got_the_pid_of_another_is_not_it() -> None:
    assert replace(Owner.current(), started=Owner.current().started - 1).is_gone()


def test_everything_of_an_earlier_boot_is_gone() -> None:
    assert replace(Owner.current(), boot="another").is_gone()


def test_of_another_pid_namespace_nothing_is_known() -> None:
    assert not replace(gone(), namespace="1").is_gone()


def make_run(runs: Path, elsewhere: Path) -> Path:
    scratch = runs / "t-1" / "scratch"
    box = scratch / "1-agent"
    (box / "workspace" / "closed").mkdir(parents=True)
    (box / "workspace" / "closed").chmod(0)
    elsewhere.mkdir()
    note_elsewhere(box, elsewhere)
    return scratch


def test_a_living_run_keeps_everything(tmp_path: Path) -> None:
    elsewhere = tmp_path / "axiom-one"
    scratch = make_run(tmp_path / "runs", elsewhere)
    claim(scratch)
    assert remove_leftovers(tmp_path / "runs") == []
    assert elsewhere.exists()
    assert scratch.exists()


def test_a_run_that_is_just_beginning_has_no_owner_yet_and_is_left_alone(tmp_path: Path) -> None:
    scratch = make_run(tmp_path / "runs", tmp_path / "axiom-one")
    assert remove_leftovers(tmp_path / "runs") == []
    assert scratch.exists()


def test_a_dead_run_goes_with_what_it_made_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "axiom-one"
    scratch = make_run(tmp_path / "runs", elsewhere)
    (scratch / "owner").write_text(str(gone()))
    assert remove_leftovers(tmp_path / "runs") == [scratch.parent]
    assert not scratch.parent.exists()
    assert not elsewhere.exists()


def test_results_of_a_dead_run_stay(tmp_path: Path) -> None:
    scratch = make_run(tmp_path / "runs", tmp_path / "axiom-one")
    (scratch / "owner").write_text(str(gone()))
    (scratch.parent / "diff.patch").touch()
    remove_leftovers(tmp_path / "runs")
    assert [path.name for path in scratch.parent.iterdir()] == ["diff.patch"]


@pytest.mark.parametrize("name", ["home", "axio"])
def test_only_what_has_our_name_is_removed_elsewhere(tmp_path: Path, name: str) -> None:
    scratch = make_run(tmp_path / "runs", tmp_path / name)
    (scratch / "owner").write_text(str(gone()))
    remove_leftovers(tmp_path / "runs")
    assert (tmp_path / name).exists()
