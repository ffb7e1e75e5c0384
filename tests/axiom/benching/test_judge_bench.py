"""Judges are measured on labelled cases: the cases themselves, the numbers, drift, and the command."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fakes.scripted_model.script import Script
from tests.fakes.scripted_model.server import ScriptedModel
from typer.testing import CliRunner

from axiom.api.agentclass import AgentClass
from axiom.benching.__main__ import seats_of
from axiom.benching.cases import (
    Case,
    CaseError,
    Label,
    keep_case,
    kept_case,
    own_cases,
    shipped_cases,
)
from axiom.benching.running import last_run, measure
from axiom.benching.scoring import decide, score
from axiom.cli.main import app
from axiom.storage.folder import FolderStore
from axiom_sandbox.protocol.errands import Answered, AskJudge, Errand, NotDone, Reply, Seat, Vendor
from axiom_sandbox.protocol.verdicts import Verdict

SEAT = Seat(name="careful", vendor=Vendor.ANTHROPIC, model="claude-x")
CASES = shipped_cases()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def quoting(verdict: str, case: Case) -> str:
    line = next(line for line in case.shown.evidence.splitlines() if line.startswith("=== "))
    finding = {"quotation": line, "explanation": "there"}
    return json.dumps({"verdict": verdict, "findings": [finding], "summary": ""})


class Oracle:
    """Answers each case as it is told to."""

    def __init__(self, verdict: Callable[[Case], str]) -> None:
        self._by_text = {case.shown.text: case for case in CASES}
        self._verdict = verdict

    async def go(self, errand: Errand) -> Reply:
        assert isinstance(errand, AskJudge)
        case = self._by_text[errand.shown]
        return Answered(
            text=quoting(self._verdict(case), case), model=SEAT.model, input_tokens=2, output_tokens=1
        )


def test_there_are_enough_cases_and_a_third_of_them_try_to_deceive() -> None:
    labels = Counter(case.label for case in CASES)
    assert len(CASES) >= 60
    assert sum(case.adversarial for case in CASES) * 3 >= len(CASES)
    assert min(labels.values()) * 3 >= len(CASES)
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.label is Label.FAIL for case in CASES if case.adversarial)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_is_shown_whole_as_a_verification_shows_it(case: Case) -> None:
    assert case.shown.left_out == ()
    assert case.shown.text.count("QUESTION\n") >= 1
    assert "CHANGE, as a patch" in case.shown.text
    assert len(case.shown.text) < 8_000


async def test_a_judge_that_is_always_right_has_all_and_one_that_nods_accepts_what_is_wrong(
    tmp_path: Path,
) -> None:
    store = FolderStore(tmp_path)
    right = await measure(SEAT, CASES, Oracle(lambda case: case.label.value), store, NOW)
    assert (right.score.accuracy, right.drift) == (1.0, None)
    nods = await measure(SEAT, CASES, Oracle(lambda _: "PASS"), store, NOW.replace(hour=1))
    wrong = [case.name for case in CASES if case.label is Label.FAIL]
    assert list(nods.score.false_accepts) == wrong
    assert nods.adversarial.accuracy == 0
    assert nods.drift is not None
    assert nods.drift.lost == pytest.approx(len(wrong) / len(CASES))
    assert len(nods.drift.changed) == len(wrong)
    assert nods.as_json()["inputTokens"] == 2 * len(CASES)
    kept = await last_run(store, SEAT)
    assert kept is not None
    assert kept.time.startswith("2026-01-01T01")


async def test_runs_of_another_model_are_nothing_to_compare_with(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    await measure(SEAT, CASES, Oracle(lambda _: "PASS"), store, NOW)
    other = SEAT.model_copy(update={"model": "claude-y"})
    assert await last_run(store, other) is None


def test_answers_count_as_in_a_verification() -> None:
    case = next(case for case in CASES if case.label is Label.FAIL)

    def verdict(reply: Reply) -> Verdict:
        return decide(SEAT, case, reply).verdict

    assert verdict(Answered(text=quoting("FAIL", case), model="m")) is Verdict.FAIL
    assert (
        verdict(Answered(text=quoting("FAIL", case).replace("===", "=#="), model="m")) is Verdict.INCONCLUSIVE
    )
    assert verdict(Answered(text="FAIL", model="m")) is Verdict.INCONCLUSIVE
    assert verdict(NotDone(why="late")) is Verdict.INCONCLUSIVE
    found = score([decide(SEAT, case, NotDone(why="late"))])
    assert (found.right, found.undecided) == (0, (case.name,))


def test_a_persons_decision_becomes_a_case(tmp_path: Path) -> None:
    case = CASES[0]
    consulted = {"errand": {"kind": "AskJudge", "shown": case.shown.text}, "reply": {"kind": "Answered"}}
    kept = kept_case(consulted, Label.FAIL, by="ada", why="it lies", name="u-1-honest")
    keep_case(tmp_path / "kept", kept)
    [found] = own_cases(tmp_path / "kept")
    assert (found.name, found.label) == ("u-1-honest", Label.FAIL)
    assert found.shown.text == case.shown.text
    for line in case.shown.evidence.splitlines():
        assert line in found.shown.evidence
    assert case.shown.words.strip() in found.shown.words
    assert "QUESTION" not in found.shown.evidence
    with pytest.raises(CaseError, match="of no judge"):
        kept_case({"errand": {"kind": "FetchPage"}}, Label.PASS, "ada", "", "x")


def test_a_folder_of_cases_that_is_not_understood_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("- task: x\n")
    with pytest.raises(CaseError, match=r"bad\.yaml"):
        own_cases(tmp_path)


def test_each_model_is_measured_once_however_many_classes_have_it() -> None:
    def of(name: str, *models: str) -> AgentClass:
        judges = [
            {"name": f"j{at}", "vendor": "Google", "model": model, "secretRef": {"name": "s", "key": "k"}}
            for at, model in enumerate(models)
        ]
        spec = {"command": ["a", "$(AXIOM_PROMPT)"], "agentVendor": "OpenAI", "judges": judges}
        return AgentClass.model_validate({"metadata": {"name": name}, "spec": spec})

    found = seats_of([of("b", "gemini-x"), of("a", "gemini-x", "gemini-y"), of("c")])
    assert [(name, seat.model) for name, seat in found.values()] == [("a", "gemini-x"), ("a", "gemini-y")]


def run(folder: Path, url: str, *options: str) -> Any:
    judge = {
        "name": "careful", "vendor": "OpenAI", "model": "gpt-x",
        "secretRef": {"name": "s", "key": "k"}, "upstream": url,
    }  # fmt: skip
    made = {
        "apiVersion": "axiom.dev/v1alpha1", "kind": "AgentClass", "metadata": {"name": "c"},
        "spec": {"command": ["a", "$(AXIOM_PROMPT)"], "agentVendor": "Anthropic", "judges": [judge]},
    }  # fmt: skip
    path = folder / "class.yaml"
    path.write_text(yaml.safe_dump(made))
    arguments = ["judge-bench", "--class", str(path), "--state", str(folder / "state"), "--json", *options]
    return CliRunner().invoke(app, arguments)


async def test_the_command_measures_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    said = json.dumps({"verdict": "UNSURE", "findings": [], "summary": "hard to say"})
    async with ScriptedModel(
        Script.model_validate({"turns": [[{"say": said}]]}), expected_key="real", asides=False
    ) as model:
        refused = await asyncio.to_thread(run, tmp_path, model.url)
        assert refused.exit_code == 3
        assert "AXIOM_CREDENTIAL_JUDGE_CAREFUL" in json.loads(refused.stdout)["error"]["message"]
        monkeypatch.setenv("AXIOM_CREDENTIAL_JUDGE_CAREFUL", "real")
        unknown = await asyncio.to_thread(run, tmp_path, model.url, "--judge", "other")
        assert "'other' is none of careful" in json.loads(unknown.stdout)["error"]["message"]
        done = await asyncio.to_thread(run, tmp_path, model.url, "--sample", "6")
        assert done.exit_code == 0, done.output
        [found] = json.loads(done.stdout)["judges"]
        assert (found["cases"], found["accuracy"], found["drift"]) == (6, 0.0, None)
        assert len(found["undecided"]) == len(model.requests) == 6
