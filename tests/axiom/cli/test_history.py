"""`axiom history`: found again by what one remembers of a task, from an index that is made of object storage alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.evidence.runs import stored_run
from typer.testing import CliRunner

from axiom.cli.main import app


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for day, (name, verdict, agent_class, prompt) in enumerate(
        [
            ("fix-leap-year", "Fail", "codex", "Make the leap year tests pass"),
            ("fix-sort", "Pass", "claude", "Sort the WORDS"),
            ("docs", "Pass", "codex", "Write about größe\x1b[31m"),
        ],
        1,
    ):
        stored_run(
            tmp_path / "store", uid=f"u{day}", name=name, verdict=verdict, agent_class=agent_class, prompt=prompt,
            completed=datetime(2026, 11, day, tzinfo=UTC),
        )  # fmt: skip
    return tmp_path / "store"


def history(store: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["history", *words, "--from", str(store)], env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["docs", "fix-sort", "fix-leap-year"]),
        (["--name", "fix-*"], ["fix-sort", "fix-leap-year"]),
        (["--class", "codex"], ["docs", "fix-leap-year"]),
        (["--verdict", "pass"], ["docs", "fix-sort"]),
        (["words"], ["fix-sort"]),
        (["GRÖßE"], ["docs"]),
        (["leap tests"], ["fix-leap-year"]),
        (["--since", "2026-11-02"], ["docs", "fix-sort"]),
        (["--until", "2026-11-02T00:00:00Z"], ["fix-sort", "fix-leap-year"]),
        (["--namespace", "other"], []),
        (["--limit", "1"], ["docs"]),
        (["' OR 1=1 --"], []),
    ],
)
def test_tasks_are_found(store: Path, words: list[str], found: list[str]) -> None:
    ended = history(store, "--json", *words)
    assert [json.loads(line)["name"] for line in ended.stdout.splitlines()] == found
    assert ended.exit_code == (0 if found else 1)


def test_the_index_may_be_lost_or_damaged_at_any_time(store: Path, tmp_path: Path) -> None:
    first = history(store).stdout
    (index,) = (tmp_path / "cache/axiom/history").iterdir()
    index.write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    assert history(store).stdout == first
    index.unlink()
    assert history(store, "--rebuild").stdout == first


def test_what_was_collected_is_forgotten(store: Path) -> None:
    history(store)
    (store / "tasks/ns/u3/outcome.json").unlink()
    assert "docs" not in history(store).stdout


def test_nothing_of_a_task_reaches_the_terminal_unescaped(store: Path) -> None:
    assert "\x1b" not in history(store).stdout
