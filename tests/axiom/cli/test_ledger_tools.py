"""`axiom ledger` on whole stores: proofs against the heads in the outcome, searching, and exports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.evidence.runs import AGENT, UID, stored_run
from typer.testing import CliRunner

from axiom.cli.main import app
from axiom_sandbox.ledger import Elsewhere, decode
from axiom_sandbox.ledger.files import decompress, split
from axiom_sandbox.ledger.seals import Seals

HOSTILE = "\x1b]0;owned\x07 `x` ```\n<script>alert(1)</script> [click](javascript:x) | a | b |\n# Verdict: Pass \u202e"


def axiom(*words: object) -> Any:
    return CliRunner().invoke(app, ["ledger", *map(str, words)], env={"COLUMNS": "200"})


def test_every_ledger_of_a_store_is_proved_against_the_head_in_its_outcome(tmp_path: Path) -> None:
    stored_run(tmp_path)
    ended = axiom("verify", tmp_path, "--json")
    assert ended.exit_code == 0
    body = json.loads(ended.stdout)
    assert [(one["ledger"], one["whole"], one["witnessed"]) for one in body["ledgers"]] == [
        (f"{UID}/1/agent", True, True),
        (f"{UID}/1/verifier-1-1", True, True),
    ]


def test_a_segment_that_is_missing_is_named_by_its_records(tmp_path: Path) -> None:
    run = stored_run(tmp_path)
    (run.folder() / "000002.jsonl.zst").unlink()
    ended = axiom("verify", run.folder())
    assert ended.exit_code == 1
    assert "BROKEN at record 3 (Removed): records 3 to 4 missing before record 5" in ended.stdout


def test_the_end_that_is_cut_off_is_found_without_a_head_given(tmp_path: Path) -> None:
    run = stored_run(tmp_path)
    (run.folder() / "000003.jsonl.zst").unlink()
    for word in (run.folder(), tmp_path):
        ended = axiom("verify", word)
        assert ended.exit_code == 1
        assert "Truncated" in ended.stdout


def test_a_bit_that_flipped_in_a_compressed_segment_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    run = stored_run(tmp_path)
    segment = run.folder() / "000002.jsonl.zst"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.chmod(0o644)
    segment.write_bytes(data)
    ended = axiom("verify", run.folder(), "--json")
    assert ended.exit_code == 1
    body = json.loads(ended.stdout)
    assert body["damage"][0].startswith("000002.jsonl.zst: ")
    assert not body["whole"]


def test_the_status_of_kubectl_is_a_witness(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "store")
    task = json.loads((tmp_path / f"store/tasks/ns/{UID}/outcome.json").read_text())
    task["metadata"] |= {"managedFields": [], "resourceVersion": "7", "annotations": {}}
    (tmp_path / "task.json").write_text(json.dumps(task))
    (tmp_path / f"store/tasks/ns/{UID}/outcome.json").unlink()
    assert axiom("verify", run.folder(), "--status", tmp_path / "task.json").exit_code == 0
    task["status"]["ledger"]["head"] = "0" * 63 + "1"
    (tmp_path / "task.json").write_text(json.dumps(task))
    assert axiom("verify", run.folder(), "--status", tmp_path / "task.json").exit_code == 1


def sandbox_copy(folder: Path) -> tuple[Path, str]:
    """A sandbox's own ledger, of the segments of which the first is in object storage alone; and its head."""
    run = stored_run(folder / "store")
    ledger, segments = folder / "copy" / "ledger", folder / "copy" / "ledger" / "segments"
    segments.mkdir(parents=True)
    first, *others = sorted(run.folder().glob("*.zst"))
    for segment in others:
        (segments / segment.name).write_bytes(segment.read_bytes())
    last = decode(split(decompress(first.read_bytes()))[-1])
    Seals(frozenset({2, 3}), closed=True, elsewhere=Elsewhere(1, last.seq, last.hash)).store(ledger)
    return ledger, decode(split(decompress(others[-1].read_bytes()))[-1]).hash


@pytest.mark.parametrize("part", ["ledger", "ledger/segments", ""])
def test_a_sandboxs_copy_says_what_has_left_it_instead_of_calling_it_missing(
    tmp_path: Path, part: str
) -> None:
    ledger, head = sandbox_copy(tmp_path)
    ended = axiom("verify", ledger.parent / part, "--head", head)
    assert ended.exit_code == 0, ended.stdout
    assert "segments 1 to 1, records 1 to 2, have left this copy for object storage" in ended.stdout
    assert "whole: every record that is here follows from the one before" in ended.stdout
    body = json.loads(axiom("verify", ledger.parent / part, "--json").stdout)
    assert (body["elsewhere"]["segments"], body["elsewhere"]["records"], body["records"]) == (1, 2, 5)


def test_a_sandboxs_copy_must_follow_from_what_has_left_it(tmp_path: Path) -> None:
    ledger, head = sandbox_copy(tmp_path)
    whole = Seals.load(ledger)
    replace(whole, elsewhere=replace(whole.elsewhere, head="1" * 64)).store(ledger)
    assert axiom("verify", ledger, "--head", head).exit_code == 1
    whole.store(ledger)
    (ledger / "segments" / "000002.jsonl.zst").unlink()
    ended = axiom("verify", ledger, "--head", head)
    assert ended.exit_code == 1
    assert "records 3 to 4 missing" in ended.stdout
    (ledger / "seals.json").write_text("{}")
    ended = axiom("verify", ledger)
    assert ended.exit_code == 3
    assert "where this ledger begins is not known" in ended.stderr


def test_a_segment_of_a_copy_whose_removal_was_broken_off_is_no_part_of_it(tmp_path: Path) -> None:
    ledger, head = sandbox_copy(tmp_path)
    first = next((tmp_path / "store").rglob("000001.jsonl.zst"))
    (ledger / "segments" / "000001.jsonl.zst").write_bytes(first.read_bytes())
    for word in (ledger, ledger.parent):
        assert axiom("verify", word, "--head", head).exit_code == 0


def test_one_ledger_of_several_is_chosen_by_its_slot(tmp_path: Path) -> None:
    stored_run(tmp_path)
    ended = axiom("show", tmp_path, "--slot", "verifier-1-1")
    assert [line.split()[2] for line in ended.stdout.splitlines()] == ["criteria_check", "verdict", "closed"]
    ended = axiom("verify", tmp_path, "--slot", "pusher")
    assert ended.exit_code == 3
    assert "'pusher'" in ended.stderr


def seqs(ended: Any) -> list[int]:
    return [json.loads(line)["seq"] for line in ended.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["pass"], [1, 3]),
        (["-i", "ALL TESTS"], [3]),
        (["exitCode=0$"], [3]),
        (["^claim$"], [3]),
        ([".", "--event", "terminal", "--event", "closed"], [2, 5]),
        ([".", "--since", "2026-11-21T10:00:04Z"], [4, 5]),
        ([".", "--until", "2026-11-21T10:00:02+00:00"], [1, 2]),
        (["^claim$", "-C", "1"], [2, 3, 4]),
        (["^claim$", "-A", "2"], [3, 4, 5]),
        (["^(claim|captured)$", "-B", "1"], [2, 3, 4]),
        (["nothing says this"], []),
    ],
)
def test_grep(tmp_path: Path, words: list[str], found: list[int]) -> None:
    run = stored_run(tmp_path)
    ended = axiom("grep", *words, run.folder(), "--json")
    assert seqs(ended) == found
    assert ended.exit_code == (0 if found else 1)


@pytest.mark.parametrize("words", [["("], ["x", "--since", "yesterday"]])
def test_a_question_that_means_nothing_is_refused_with_the_cure(tmp_path: Path, words: list[str]) -> None:
    run = stored_run(tmp_path)
    ended = axiom("grep", words[0], run.folder(), *words[1:])
    if words[0] == "(":
        assert "is not RE2" in ended.stderr
    else:
        assert "write a time such as" in ended.stderr
    assert ended.exit_code == 3


def test_opentelemetry_logs_have_the_published_shape(tmp_path: Path) -> None:
    stored_run(tmp_path)
    body = json.loads(axiom("export", tmp_path, "--format", "otel").stdout)
    (resource,) = body["resourceLogs"]
    assert {"key": "service.name", "value": {"stringValue": "axiom"}} in resource["resource"]["attributes"]
    (scope,) = resource["scopeLogs"]
    first = scope["logRecords"][0]
    assert first["timeUnixNano"] == "1795255201000000000"
    assert (first["severityNumber"], first["eventName"]) == (9, "axiom.user_msg")
    assert first["body"]["kvlistValue"]["values"][0] == {"key": "round", "value": {"intValue": "1"}}
    assert {"key": "axiom.ledger.seq", "value": {"intValue": "1"}} in first["attributes"]
    assert len(scope["logRecords"]) == 8


def test_jsonl_is_the_ledger_byte_for_byte(tmp_path: Path) -> None:
    run = stored_run(tmp_path)
    target = tmp_path / "out.jsonl"
    assert axiom("export", run.folder(), "-o", target).exit_code == 0
    assert axiom("verify", target).exit_code == 0
    assert len(target.read_bytes().splitlines()) == len(AGENT)


def test_a_report_tells_a_reviewer_what_was_asked_said_found_changed_and_spent(tmp_path: Path) -> None:
    stored_run(tmp_path)
    page = axiom("export", tmp_path, "--format", "markdown").stdout
    for wanted in (
        "# `fix-leap-year`: Fail",
        "Make it pass.",
        "The agent claims `Done`, exit code `0`:",
        "All tests pass!",
        "| `tests` | `Tests` | `Hard` | `Fail` | `test_1900 failed` |",
        "1 files, 2 lines added, 1 deleted.",
        "| `src/leap.py` | 2 | 1 |",
        "$0.41: 3 calls of a model",
        "claimed and what was found disagree",
        "| whole |",
    ):
        assert wanted in page, wanted


def test_what_a_hostile_agent_wrote_is_harmless_in_every_form(tmp_path: Path) -> None:
    events = [
        ("user_msg", {"round": 1, "text": HOSTILE}),
        ("claim", {"round": 1, "claim": {"says": HOSTILE, "exitCode": HOSTILE, "text": HOSTILE}}),
        ("gap", {"what": HOSTILE, "start": 0, "end": 0, "size": 0, "reason": HOSTILE}),
        (HOSTILE, {HOSTILE: HOSTILE}),
    ]
    check = {"name": HOSTILE, "type": HOSTILE, "enforcement": "", "verdict": HOSTILE, "message": HOSTILE}
    verifier = [
        ("criteria_check", {"round": 1, "result": check, "evidence": {}}),
        ("verdict", {"round": 1, "verdict": HOSTILE}),
    ]
    patch = f"diff --git a/{HOSTILE!r} b/{HOSTILE!r}\n@@ -0,0 +1 @@\n+{HOSTILE}\n".encode()
    stored_run(tmp_path, agent=events, verifier=verifier, prompt=HOSTILE, patch=patch)
    page = axiom("export", tmp_path, "--format", "markdown").stdout
    for output in (
        page,
        axiom("show", tmp_path).stdout,
        axiom("grep", ".", tmp_path).stdout,
        axiom("verify", tmp_path).stdout,
    ):
        assert not set(output) & set("\x1b\x07\u202e")
    outside = _outside_code(page)
    assert "<script" not in outside
    assert "javascript" not in outside
    assert "# Verdict: Pass" not in outside


def _outside_code(page: str) -> str:
    """What a Markdown renderer interprets: not in fenced blocks, nor in code spans."""
    kept, fence = [], ""
    for line in page.splitlines():
        if fence:
            fence = "" if line == fence else fence
        elif line.startswith("```"):
            fence = line.removesuffix("text")
        else:
            kept.append(_without_spans(line))
    assert not fence, "a block is not closed"
    return "\n".join(kept)


def _without_spans(line: str) -> str:
    out, at = "", 0
    while at < len(line):
        if line[at] != "`":
            out, at = out + line[at], at + 1
            continue
        end = at
        while end < len(line) and line[end] == "`":
            end += 1
        run = line[at:end]
        close = end
        while True:
            close = line.find(run, close)
            assert close >= 0, f"a code span is not closed: {line}"
            after = close
            while after < len(line) and line[after] == "`":
                after += 1
            if after - close == len(run):
                break
            close = after
        at = after
    return out
