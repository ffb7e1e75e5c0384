"""The pictures that Probe criteria of one run compared, as its verifiers' ledgers tell of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from axiom.evidence.finding import TaskEvidence, find_here
from axiom.evidence.harmless import one_line
from axiom.evidence.searching import parsed
from axiom.evidence.segments import EvidenceError
from axiom.storage.keys import blob_key
from axiom_sandbox.protocol.events import CriterionChecked, Screenshot, parse_event
from axiom_sandbox.protocol.pictures import PictureReason

_TAKEN = "picture.png"


@dataclass(frozen=True)
class ProbePicture:
    """One page, as the browser showed it."""

    criterion: str
    picture: str
    digest: str

    @property
    def name(self) -> str:
        """As `--picture` names it."""
        return f"{self.criterion}/{self.picture}"


@dataclass
class ProbePictures:
    """Of one run, the last of each."""

    evidence: TaskEvidence
    taken: dict[str, ProbePicture] = field(default_factory=dict)
    scores: dict[str, str] = field(default_factory=dict)
    """Percent of the pixels that differ from a baseline, where there was one."""


def probe_pictures(word: str, state: Path | None) -> ProbePictures:
    """Those of a run on this machine. Raises EvidenceError."""
    found = find_here(word, state)
    if len(found) != 1:
        raise EvidenceError(f"{word} holds {len(found)} runs; name one of them")
    return pictures_in(found[0])


def pictures_in(evidence: TaskEvidence) -> ProbePictures:
    """Those that the ledgers of this evidence tell of."""
    found = ProbePictures(evidence)
    for event in _events(evidence):
        match event:
            case Screenshot(why=(PictureReason.PROBE,), path=path) if path.endswith(f"/{_TAKEN}"):
                criterion, picture = path.split("/")[:2]
                taken = ProbePicture(criterion, picture, event.digest)
                found.taken[taken.name] = taken
            case CriterionChecked():
                found.scores |= dict(_scores(event.result.name, event.evidence))
    return found


def read_picture(evidence: TaskEvidence, digest: str) -> bytes:
    """A picture's file. Raises EvidenceError."""
    if evidence.blob is None:
        raise EvidenceError("the pictures' store is not known; name the run, or its state folder")
    try:
        data = evidence.blob(blob_key(digest))
    except (EvidenceError, ValueError) as error:
        raise EvidenceError(f"the picture {digest} is gone: {one_line(str(error), 200)}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise EvidenceError(f"the picture {digest} is damaged: it is not the one that was taken")
    return data


def _events(evidence: TaskEvidence) -> Iterator[object]:
    for ledger in evidence.ledgers:
        if not ledger.name.rpartition("/")[2].startswith("verifier"):
            continue
        for line in parsed(ledger.lines()):
            record = line.record
            if record is None or record.event not in (Screenshot.event, CriterionChecked.event):
                continue
            try:
                yield parse_event(record.event, record.payload)
            except ValidationError:
                continue  # of a newer version, or no evidence: `axiom ledger verify` tells


def _scores(criterion: str, evidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    runs = evidence.get("runs")
    for run in runs if isinstance(runs, list) else ():
        for view in run.get("pictures") or () if isinstance(run, dict) else ():
            if "differencePercent" in view:
                yield f"{criterion}/{view['picture']}", one_line(str(view["differencePercent"]), 20)
