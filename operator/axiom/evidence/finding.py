"""Where a person's word for evidence leads: a path on this machine, `s3://…`, a local run's name, a task on a cluster."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from axiom.evidence.outcomes import decode_outcome, witnessed
from axiom.evidence.segments import EvidenceError, Segment, StoredLedger
from axiom.running.places import default_state
from axiom_sandbox.ledger.checking import ALL_HERE, Elsewhere
from axiom_sandbox.ledger.errors import LedgerCorruptError
from axiom_sandbox.ledger.seals import SEALS_FILE, Seals

if TYPE_CHECKING:
    from axiom.api.agenttask import AgentTask
    from axiom.storage.store import ObjectStore

_SEGMENT = re.compile(r"(?P<ledger>.*/)(?:ledger|segments)/(?P<number>\d{6,})\.jsonl(?:\.zst)?")
_OUTCOME = re.compile(r"tasks/[^/]+/[^/]+/outcome\.json")
_ADDRESS = re.compile(r"tasks/(?P<namespace>[^/]+)/(?P<uid>[^/]+)/attempts/(?P<attempt>\d+)/(?P<slot>[^/]+)")


@dataclass(frozen=True)
class TaskEvidence:
    """Everything of one task that can be read."""

    ledgers: tuple[StoredLedger, ...]
    task: AgentTask | None = None
    """The task with its outcome, where that is known."""
    blob: Callable[[str], bytes] | None = None
    """Reads an object by its key. Raises EvidenceError."""

    def ledger(self, slot: str) -> StoredLedger | None:
        """The last attempt's ledger of a slot."""
        found = [ledger for ledger in self.ledgers if ledger.name.rpartition("/")[2] == slot]
        return found[-1] if found else None


def find_here(word: str, state: Path | None = None) -> list[TaskEvidence]:
    """Evidence by a path, an `s3://` address, or the name or UID of a local run. Raises EvidenceError."""
    if word.startswith("s3://"):
        return in_bucket(word)
    path = Path(word)
    if path.exists():
        return _on_disk(path)
    if "/" not in word and not word.endswith((".jsonl", ".zst")):
        found = [one for one in _in_folder(state or default_state()) if _is_named(one, word)]
        if found:
            return found[-1:]
        where = state or default_state()
        raise EvidenceError(
            f"there is no file or folder {word!r}, and {where} knows no run of this name; name a path,"
            " another --state, or add --cluster for a task on a cluster"
        )
    raise EvidenceError(f"{word} does not exist; name a ledger's folder, one of its files, or a state folder")


def _is_named(evidence: TaskEvidence, word: str) -> bool:
    task = evidence.task
    return task is not None and (
        task.name == word or task.uid == word or f"{task.name}-{task.uid[:8]}" == word
    )


def _on_disk(path: Path) -> list[TaskEvidence]:
    if path.is_file():
        return [TaskEvidence((StoredLedger(path.name, partial(_read_files, [path])),))]
    direct = sorted(path.glob("*.jsonl*")) or sorted((path / "segments").glob("*.jsonl*"))
    if direct:
        elsewhere = _elsewhere_of(direct[0].parent.parent / SEALS_FILE)
        direct = [file for file in direct if _number(file.name) > elsewhere.segments]
        ledger = StoredLedger(_name_of(path), partial(_read_files, _without_doubles(direct)))
        ledger.elsewhere = elsewhere
        return [TaskEvidence((_witness_beside(path, ledger),))]
    if (path / "result.json").is_file() and path.parent.name == "runs":
        found = _in_folder(path.parent.parent)
        return [one for one in found if one.task and path.name == f"{one.task.name}-{one.task.uid[:8]}"]
    return _in_folder(path)


def _name_of(folder: Path) -> str:
    found = _ADDRESS.search(folder.resolve().as_posix())
    return f"{found['uid']}/{found['attempt']}/{found['slot']}" if found else str(folder)


def _witness_beside(folder: Path, ledger: StoredLedger) -> StoredLedger:
    """The head out of the task's outcome, for a folder inside a store."""
    found = _ADDRESS.search(folder.resolve().as_posix())
    if found:
        root = Path(folder.resolve().as_posix()[: found.start()])
        outcome = root / f"tasks/{found['namespace']}/{found['uid']}/outcome.json"
        if outcome.is_file() and (reference := _heads(outcome.read_bytes()).get(f"{found[0]}/ledger")):
            ledger.head = reference
    return ledger


def _elsewhere_of(seals: Path) -> Elsewhere:
    """What a sandbox's own ledger says has left it; segments that are still there then were about to be removed."""
    try:
        return _elsewhere(seals.read_bytes(), str(seals)) if seals.is_file() else ALL_HERE
    except OSError as error:
        raise EvidenceError(f"{seals} cannot be read: {error.strerror}") from error


def _elsewhere(seals: bytes, name: str) -> Elsewhere:
    try:
        return Seals.parse(seals).elsewhere
    except LedgerCorruptError as error:
        raise EvidenceError(f"{name} {error}; so where this ledger begins is not known") from error


def _number(name: str) -> int:
    """Of a segment by the name of its file; those that are named otherwise come behind all."""
    number = name.partition(".")[0]
    return int(number) if number.isdecimal() else sys.maxsize


def _heads(outcome: bytes) -> dict[str, str]:
    try:
        return {path: reference.head for path, reference in witnessed(decode_outcome(outcome)).items()}
    except ValueError as error:
        raise EvidenceError(f"outcome.json: {error}") from error


def _in_folder(folder: Path) -> list[TaskEvidence]:
    root = folder / "store" if (folder / "store").is_dir() else folder
    keys = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())

    def read(key: str) -> bytes:
        try:
            return (root / key).read_bytes()
        except OSError as error:
            raise EvidenceError(f"{root / key} cannot be read: {error.strerror}") from error

    return sorted(
        _arranged(keys, lambda _: read),
        key=lambda one: (one.task.status.completion_time or "") if one.task else "",
    )


def in_bucket(address: str) -> list[TaskEvidence]:
    """`s3://bucket/prefix`: server and keys by AXIOM_S3_ENDPOINT, AXIOM_S3_CREDENTIALS. Raises EvidenceError."""
    from axiom.environment import SettingsError
    from axiom.gateway.settings import open_bucket
    from axiom.storage.store import StorageError

    parts = urlsplit(address)
    try:
        store = open_bucket({**os.environ, "AXIOM_S3_BUCKET": parts.netloc})
    except (SettingsError, StorageError, ValueError) as error:
        raise EvidenceError(f"{address}: {error}") from error
    return in_store(store, parts.path.lstrip("/"), address)


def in_store(store: ObjectStore, prefix: str, address: str) -> list[TaskEvidence]:
    """Everything below a prefix of object storage. Raises EvidenceError."""
    from axiom.storage.encrypted import seen_by
    from axiom.storage.store import StorageError

    async def keys() -> list[str]:
        return [key async for key in store.list(prefix)]

    def reading(namespace: str) -> Callable[[str], bytes]:
        def read(key: str) -> bytes:
            try:
                return asyncio.run(seen_by(store, namespace).get(key))
            except StorageError as error:
                raise EvidenceError(str(error)) from error

        return read

    try:
        found = asyncio.run(keys())
    except StorageError as error:
        raise EvidenceError(f"{address}: {error}") from error
    if prefix and not any(_OUTCOME.fullmatch(key) for key in found) and (task := _ADDRESS.match(prefix)):
        found.append(f"tasks/{task['namespace']}/{task['uid']}/outcome.json")
    return _arranged(found, reading)


def _arranged(keys: list[str], reading: Callable[[str], Callable[[str], bytes]]) -> list[TaskEvidence]:
    """Keys of a store → tasks with their ledgers. `reading` gives what reads objects for the tasks of a namespace."""
    read = reading("")
    ledgers: dict[str, list[str]] = {}
    left: dict[str, Elsewhere] = {}
    for key in keys:
        folder, _, name = key.rpartition("/")
        if name == SEALS_FILE:
            left[folder] = _elsewhere(read(key), key)
    for key in keys:
        found = _SEGMENT.fullmatch(f"/{key}")
        if found and int(found["number"]) > left.get(found["ledger"].strip("/"), ALL_HERE).segments:
            ledgers.setdefault(found["ledger"].strip("/"), []).append(key)
    tasks: dict[str, AgentTask | None] = {}
    for ledger in ledgers:
        tasks.setdefault(_owner(ledger), None)
    for key in keys:
        if _OUTCOME.fullmatch(key):
            try:
                tasks[key.rpartition("/")[0]] = decode_outcome(read(key))
            except (ValueError, EvidenceError):
                continue  # its ledgers are read without a witness, and say so
    return [
        _evidence(owner, task, ledgers, left, reading(_namespace(owner)))
        for owner, task in sorted(tasks.items())
    ]


def _evidence(
    owner: str,
    task: AgentTask | None,
    ledgers: dict[str, list[str]],
    left: dict[str, Elsewhere],
    read: Callable[[str], bytes],
) -> TaskEvidence:
    heads = {path: reference.head for path, reference in witnessed(task).items()} if task else {}
    own = sorted((name for name in ledgers if _owner(name) == owner), key=_order)
    stored = tuple(
        StoredLedger(
            _shown(name),
            partial(_read_keys, ledgers[name], read),
            heads.get(f"{name}/ledger"),
            elsewhere=left.get(name, ALL_HERE),
        )
        for name in own
    )
    return TaskEvidence(stored, task, read)


def _namespace(owner: str) -> str:
    return owner.split("/")[1] if owner.startswith("tasks/") else ""


def _owner(ledger: str) -> str:
    found = _ADDRESS.fullmatch(ledger)
    return f"tasks/{found['namespace']}/{found['uid']}" if found else ledger


def _order(ledger: str) -> tuple[int, list[int | str]]:
    found = _ADDRESS.fullmatch(ledger)
    if not found:
        return 0, [ledger]
    return int(found["attempt"]), [
        int(part) if part.isdecimal() else part for part in found["slot"].split("-")
    ]


def _shown(ledger: str) -> str:
    found = _ADDRESS.fullmatch(ledger)
    return f"{found['uid']}/{found['attempt']}/{found['slot']}" if found else ledger


def _without_doubles(files: list[Path]) -> list[Path]:
    """Where a segment lies there raw and cut, the cut one is whole."""
    names = {file.name for file in files}
    return [file for file in files if file.suffix == ".zst" or f"{file.name}.zst" not in names]


def _read_files(files: list[Path]) -> Iterator[Segment]:
    for file in files:
        try:
            yield Segment(file.name, file.read_bytes())
        except OSError as error:
            raise EvidenceError(f"{file} cannot be read: {error.strerror}") from error


def _read_keys(keys: list[str], read: Callable[[str], bytes]) -> Iterator[Segment]:
    for key in keys:
        yield Segment(key, read(key))
