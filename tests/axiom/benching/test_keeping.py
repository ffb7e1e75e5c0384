"""A person's decision, kept beside the evidence: the decision, a case for each judge, and both found again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.evidence.runs import VERIFIER, stored_run
from typer.testing import CliRunner

from axiom.api.agenttask import AgentTask, Decision, ReviewStatus
from axiom.benching.cases import Label, shipped_cases
from axiom.benching.keeping import cases_for, keep_decision, kept_cases, newest_cases
from axiom.benching.running import measure
from axiom.cli.main import app
from axiom.storage.folder import FolderStore
from axiom_sandbox.protocol.errands import Answered, Errand, Reply, Seat, Vendor

SHOWN = "Fence.\n<<<f TASK>>>\nmend it\n<<<f THE CHANGE>>>\n+return True\n<<<f UNTRUSTED WORDS>>>\nall done\n<<<f END>>>\n"
SEAT = {"name": "careful", "vendor": "OpenAI", "model": "m"}
ASKED = {"kind": "AskJudge", "id": "judge", "seat": SEAT, "instructions": "", "shown": SHOWN, "form": {}}
FETCHED = {"kind": "FetchPage", "id": "page", "url": "https://example.org"}


def decided(task: AgentTask, decision: Decision, time: str = "2026-11-04T10:00:00.000Z") -> AgentTask:
    review = ReviewStatus(decision=decision, by="jane", why="I looked at it", time=time)
    return task.model_copy(update={"status": task.status.model_copy(update={"review": review})})


@pytest.fixture
def task(tmp_path: Path) -> AgentTask:
    asked = [("consulted", {"round": 1, "errand": errand, "reply": {}}) for errand in (FETCHED, ASKED)]
    run = stored_run(tmp_path / "store", verifier=(*asked, *VERIFIER))
    return run.write()


@pytest.mark.parametrize(
    ("decision", "label"), [(Decision.ACCEPT, Label.PASS), (Decision.REJECT, Label.FAIL)]
)
async def test_what_a_judge_was_shown_becomes_a_case_with_the_persons_decision(
    tmp_path: Path, task: AgentTask, decision: Decision, label: Label
) -> None:
    store = FolderStore(tmp_path / "store")
    assert [await keep_decision(store, decided(task, decision)) for _ in range(2)] == [1, 0]
    [case] = await kept_cases(store)
    assert (case.label, case.shown.text) == (label, SHOWN)
    assert "+return True" in case.shown.evidence
    assert "all done" not in case.shown.evidence


async def test_of_several_decisions_the_newest_counts(tmp_path: Path, task: AgentTask) -> None:
    store = FolderStore(tmp_path / "store")
    await keep_decision(store, decided(task, Decision.REJECT, "2026-11-05T10:00:00.000Z"))
    await keep_decision(store, decided(task, Decision.ACCEPT))
    assert [case.label for case in await kept_cases(store)] == [Label.FAIL]


async def test_another_round_makes_no_case_and_is_a_decision_all_the_same(
    tmp_path: Path, task: AgentTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = FolderStore(tmp_path / "store")
    assert await keep_decision(store, decided(task, Decision.AGAIN)) == 0
    assert await kept_cases(store) == []


def history(tmp_path: Path) -> Any:
    ended = CliRunner().invoke(app, ["history", "--json", "--from", str(tmp_path / "store")])
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def test_history_tells_what_was_decided_last(
    tmp_path: Path, task: AgentTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert history(tmp_path)["review"] is None
    store = FolderStore(tmp_path / "store")
    asyncio.run(keep_decision(store, decided(task, Decision.REJECT)))
    asyncio.run(keep_decision(store, decided(task, Decision.ACCEPT, "2026-11-05T10:00:00.000Z")))
    found = history(tmp_path)
    assert found["verdict"] == "Fail"
    assert (found["review"]["decision"], found["review"]["by"], found["review"]["why"]) == (
        "Accept", "jane", "I looked at it",
    )  # fmt: skip
    shown = CliRunner().invoke(app, ["history", "--from", str(tmp_path / "store")], env={"COLUMNS": "300"})
    assert "Accept by jane: I looked at it" in shown.stdout


@pytest.mark.parametrize(
    ("words", "is_found"),
    [
        (["--decision", "accept"], True),
        (["--decision", "Reject"], False),
        (["--decision", "none"], False),
        (["JANE looked"], True),
        (["--verdict", "Fail", "--decision", "Accept", "--rebuild"], True),
    ],
)
async def test_history_is_searched_by_what_people_decided_and_why(
    tmp_path: Path, task: AgentTask, monkeypatch: pytest.MonkeyPatch, words: list[str], is_found: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = FolderStore(tmp_path / "store")
    where = ("--json", "--from", str(tmp_path / "store"))
    for decision, day in ((Decision.REJECT, "04"), (Decision.ACCEPT, "05")):
        await keep_decision(store, decided(task, decision, f"2026-11-{day}T10:00:00.000Z"))
    ended = await asyncio.to_thread(CliRunner().invoke, app, ["history", *words, *where])
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [row["review"]["decision"] for row in rows] == (["Accept"] if is_found else [])


async def test_a_case_goes_to_models_of_the_vendor_alone_that_was_shown_it(
    tmp_path: Path, task: AgentTask
) -> None:
    store = FolderStore(tmp_path / "store")
    await keep_decision(store, decided(task, Decision.REJECT))
    [kept] = await newest_cases(store, [task.namespace], 10, pytest.fail)
    shipped = shipped_cases()
    same, other = (
        Seat(name="j", vendor=vendor, model="another") for vendor in (Vendor.OPENAI, Vendor.GOOGLE)
    )
    assert cases_for(same, [*shipped, kept]) == [*shipped, kept]
    assert cases_for(other, [*shipped, kept]) == shipped
    unknown = replace(kept, vendor="")
    assert cases_for(same, [unknown]) == [], "kept before it was noted whose judge it was"


async def test_of_the_namespaces_that_are_named_the_newest_cases_are_read_and_a_broken_one_is_told(
    tmp_path: Path, task: AgentTask
) -> None:
    store = FolderStore(tmp_path / "store")
    for day in ("03", "05", "04"):
        await keep_decision(store, decided(task, Decision.REJECT, f"2026-11-{day}T10:00:00.000Z"))
    [first] = [key async for key in store.list("tasks/") if "/cases/2026-11-04" in key]
    another = json.loads(await store.get(first)) | {"name": "another"}
    folder = f"tasks/{task.namespace}/u-2/cases/"
    await store.put(f"{folder}2026-11-06T100000.000Z-x.case.json", json.dumps(another).encode())
    await store.put(f"{folder}2026-11-07T100000.000Z-x.case.json", b"no case")
    told: list[str] = []
    found = await newest_cases(store, [task.namespace], 10, told.append)
    assert [case.name for case in found] == ["another", f"{task.namespace}/{task.uid}/{task.name}-1"]
    [said] = told
    assert "2026-11-07" in said
    assert [case.name for case in await newest_cases(store, [task.namespace], 1, told.append)] == ["another"]
    assert await newest_cases(store, ["elsewhere"], 10, pytest.fail) == []


async def test_runs_keep_no_word_of_a_judge_on_code_of_a_task_and_drift_counts_such_cases_too(
    tmp_path: Path, task: AgentTask
) -> None:
    store = FolderStore(tmp_path / "store")
    await keep_decision(store, decided(task, Decision.REJECT))
    cases = await newest_cases(store, [task.namespace], 10, pytest.fail)
    seat = Seat.model_validate(SEAT)
    for hour, verdict in enumerate(("FAIL", "PASS")):
        finding = {"quotation": "+return True", "explanation": "as the code says: return True"}
        answer = json.dumps({"verdict": verdict, "findings": [finding], "summary": "return True"})
        measured = await measure(seat, cases, Parrot(answer), store, datetime(2026, 11, 9, hour, tzinfo=UTC))
    assert measured.drift is not None
    assert (measured.drift.common, measured.drift.lost) == (1, 1.0)
    runs = [await store.get(key) async for key in store.list("judge-bench/")]
    assert len(runs) == 2
    assert not any(b"return True" in run for run in runs)


class Parrot:
    """Always says the same."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def go(self, errand: Errand) -> Reply:
        return Answered(text=self._text, model="m")
