"""Following the file of an agent's session: what is new in it, and nothing that it could be led to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from axiom_sandbox.supervising.session_tail import SessionTail


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "chats" / "2026").mkdir(parents=True)
    return tmp_path / "home"


def tail(home: Path, *patterns: str) -> SessionTail:
    return SessionTail(home, patterns or ("chats/**/s-*.jsonl",), home.parent / "before")


def test_what_a_process_writes_is_read_once_as_it_comes(home: Path) -> None:
    (home / "chats" / "s-old.jsonl").write_text("an earlier session\n")
    following = tail(home)
    assert following.read() == b""
    file = home / "chats" / "2026" / "s-new.jsonl"
    file.write_text("one\nhal")
    assert following.read() == b"one\nhal"
    with file.open("a") as more:
        more.write("f\n")
    assert following.read() == b"f\n"
    assert following.read() == b""


def test_a_session_that_is_gone_on_with_is_read_from_where_it_was_whatever_its_name_becomes(home: Path) -> None:  # fmt: skip
    file = home / "chats" / "s-one.jsonl"
    file.write_text("before\n")
    following = tail(home, "chats/s-*.kept.jsonl", "chats/s-*.jsonl")
    kept = file.rename(home / "chats" / "s-one.kept.jsonl")
    (home / "chats" / "s-empty.jsonl").write_text("an empty one\n")
    with kept.open("a") as more:
        more.write("after\n")
    assert following.read() == b"after\n"


def test_a_supervisor_that_starts_again_reads_all_of_its_process_anew(home: Path) -> None:
    file = home / "chats" / "s-one.jsonl"
    file.write_text("before\n")
    first = tail(home)
    with file.open("a") as more:
        more.write("after\n")
    assert first.read() == tail(home).read() == b"after\n"


def test_no_link_is_followed_and_nothing_but_a_file_is_read(home: Path) -> None:
    secret = home.parent / "s-secret.jsonl"
    secret.write_text("a secret of the supervisor's\n")
    following = tail(home)
    (home / "chats" / "s-link.jsonl").symlink_to(secret)
    (home / "chats" / "s-folder").symlink_to(home.parent)
    os.mkfifo(home / "chats" / "s-pipe.jsonl")
    assert following.read() == b""
    file = home / "chats" / "s-real.jsonl"
    file.write_text("real\n")
    assert following.read() == b"real\n"
    file.unlink()
    file.symlink_to(secret)
    assert following.read() == b""


def test_a_home_that_is_gone_is_nothing_to_read(tmp_path: Path) -> None:
    assert tail(tmp_path / "gone").read() == b""
