"""What `axiom replay --screenshots` does: a run's pictures as files, each once, and a list of when each was shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer
from pydantic import ValidationError

from axiom.cli.places import Where
from axiom.cli.reading import find, readable
from axiom.evidence.finding import TaskEvidence
from axiom.evidence.harmless import one_line
from axiom.evidence.searching import parsed
from axiom.evidence.segments import EvidenceError
from axiom.storage.keys import blob_key
from axiom_sandbox.ledger.records import Record
from axiom_sandbox.protocol.events import Screenshot

_SUFFIXES = {"image/webp": "webp", "image/png": "png", "image/jpeg": "jpg", "image/gif": "gif"}


@dataclass(frozen=True)
class _Shot:
    """One event."""

    attempt: str
    slot: str
    record: Record
    event: Screenshot

    @property
    def name(self) -> str:
        suffix = _SUFFIXES.get(self.event.media_type, "bin")
        whose = "" if self.slot == "agent" else f"{self.slot}-"
        return f"{self.attempt}-{whose}{self.record.seq:06}-{self.event.why[0] if self.event.why else 'picture'}.{suffix}"


def write_screenshots(where: Where, folder: Path) -> None:
    """Writes the pictures of a run, and lists them."""
    with readable():
        found = find(where)
        if len(found) != 1:
            raise EvidenceError(f"{where.word} holds {len(found)} runs; name one of them")
        shots = list(_shots(found[0]))
        if not shots:
            raise EvidenceError(
                f"{where.word} has no screenshots: none were taken (screenshots of its class), or nothing was shown"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write_all(found[0], shots, folder, where)
        except OSError as error:
            raise EvidenceError(f"--screenshots {folder} cannot be written: {error.strerror}") from error


def _shots(evidence: TaskEvidence) -> Iterator[_Shot]:
    for ledger in evidence.ledgers:
        _, attempt, slot = (*ledger.name.rsplit("/", 2), "", "")[:3]
        if slot != "agent" and not slot.startswith("verifier"):
            continue
        for line in parsed(ledger.lines()):
            if line.record is None or line.record.event != Screenshot.event:
                continue
            try:
                yield _Shot(attempt, slot, line.record, Screenshot.model_validate(line.record.payload))
            except ValidationError:
                continue  # of a newer version, or no evidence: `axiom ledger verify` tells


def _write_all(evidence: TaskEvidence, shots: list[_Shot], folder: Path, where: Where) -> None:
    written: dict[str, str] = {}
    for shot in shots:
        digest = shot.event.digest
        if digest not in written:
            written[digest] = _write(evidence, shot, folder, where)
        typer.echo(_line(shot, written[digest]))


def _write(evidence: TaskEvidence, shot: _Shot, folder: Path, where: Where) -> str:
    """The file's name, or why there is none."""
    if shot.event.path and not where.original:
        return "not masked: add --original"
    if evidence.blob is None:
        return "its store is not known"
    try:
        data = evidence.blob(blob_key(shot.event.digest))
    except (EvidenceError, ValueError) as error:
        return f"gone: {one_line(str(error), 200)}"
    if hashlib.sha256(data).hexdigest() != shot.event.digest:
        return "DAMAGED: it is not the picture that was taken"
    (folder / shot.name).write_bytes(data)
    return shot.name


def _line(shot: _Shot, written: str) -> str:
    event, time = shot.event, shot.record.time_utc.isoformat(timespec="seconds").replace("+00:00", "Z")
    size = f"{event.width}x{event.height}"
    path = f"  {one_line(event.path, 80)}" if event.path else ""
    return f"{shot.record.seq:>6} {time} {','.join(event.why):<16} {size:<10} {written}{path}"
