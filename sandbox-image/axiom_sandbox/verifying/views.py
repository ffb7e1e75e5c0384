"""The pictures of a Probe: what is looked at, what it is compared with, and what that amounts to. Pure.

A baseline is a file of the base, or one that the criterion brings along; the candidate's version of it is never read.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from axiom_sandbox.protocol.changes import EntryKind
from axiom_sandbox.protocol.criteria import ProbeCriterion, ProbePicture
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.verifying.judging import Picture, Ran, Subject
from axiom_sandbox.verifying.pictures import Area, PictureError, Pixels, compare, read_png, to_png
from axiom_sandbox.verifying.rooms import Look
from axiom_sandbox.verifying.texts import clean

_BROWSER_SECONDS = 45.0
"""More than a picture's own time: a browser may have to be started first."""
_NO_BASELINE = "Take one with `axiom baseline capture`, look at it, and make it the baseline with `axiom baseline accept`."


@dataclass(frozen=True)
class View:
    """One picture of one run, looked at."""

    evidence: dict[str, Any]
    pictures: tuple[Picture, ...] = ()
    problem: str = ""
    """What is wrong with it."""
    unclear: str = ""
    """Why it could not be compared."""


def look_at(spec: ProbeCriterion, picture: ProbePicture) -> Look:
    """What the browser is told of a picture."""
    seconds = parse_duration(spec.picture_timeout).total_seconds()
    return Look(spec.port, picture.path, picture.width, picture.height, seconds)


def looking_seconds(spec: ProbeCriterion) -> float:
    """For all pictures; a browser that is being started for the first time may take longer."""
    if not spec.pictures:
        return 0.0
    return len(spec.pictures) * (parse_duration(spec.picture_timeout).total_seconds() + _BROWSER_SECONDS)


def find_baseline(spec: ProbeCriterion, picture: ProbePicture, subject: Subject) -> Pixels | str:
    """The picture to compare with, or why there is none and the cure."""
    if subject.hidden and subject.hidden.problem:
        return f"{subject.hidden.problem}. {_NO_BASELINE}"
    path = spec.baseline_of(picture)
    entry = subject.base.tree.entries.get(path)
    whose = "the baselines" if spec.baselines else "the base"
    if entry is None or entry.kind is not EntryKind.FILE:
        return (
            f"There is no file {path} of {whose} to compare the picture {picture.name} with. {_NO_BASELINE}"
        )
    try:
        found = read_png(subject.base.files[path])
    except PictureError as error:
        return f"The file {path} of {whose} {error}. {_NO_BASELINE}"
    return found


def views_of(spec: ProbeCriterion, baselines: Mapping[str, Pixels | str], ran: Ran) -> list[View]:
    """What became of all pictures in one run."""
    return [view(picture, baselines[picture.name], ran, at) for at, picture in enumerate(spec.pictures)]


def view(picture: ProbePicture, baseline: Pixels | str, ran: Ran, at: int) -> View:
    """What became of one picture. Pure."""
    where = f"Picture {picture.name} ({picture.path})"
    if at >= len(ran.outcome.seen):
        return View({"picture": picture.name}, problem=f"{where} could not be taken while the server lived.")
    seen = ran.outcome.seen[at]
    evidence: dict[str, Any] = {
        "picture": picture.name,
        "status": seen.shown.status,
        "settled": seen.shown.settled,
        "browser": clean(seen.shown.browser, 200),
    }
    if seen.shown.error:
        text = f"{where} was not taken: {clean(seen.shown.error, 500)}."
        evidence["error"] = clean(seen.shown.error, 500)
        return View(evidence, problem=text) if seen.shown.refused else View(evidence, unclear=text)
    taken = Pixels(picture.width, picture.height, zlib.decompress(seen.packed))
    files: tuple[Picture, ...] = (_kept(picture, "picture", taken),)
    if isinstance(baseline, str):
        return View(evidence | _digests(files), files, unclear=baseline)
    files = (*files, _kept(picture, "baseline", baseline))
    if (taken.width, taken.height) != (baseline.width, baseline.height):
        text = f"{where} has {taken.size} pixels, and its baseline {baseline.size}."
        return View(evidence | _digests(files), files, problem=text)
    found = compare(
        baseline, taken, [Area(mask.left, mask.top, mask.width, mask.height) for mask in picture.masks]
    )
    files = (*files, _kept(picture, "difference", found.difference))
    evidence |= {"differencePercent": found.percent, "different": found.different, "compared": found.compared}
    evidence |= _digests(files)
    if not found.compared:
        return View(
            evidence, files, unclear=f"{where} is covered by its masks, so nothing of it was compared."
        )
    if found.is_within(picture.max_difference_percent):
        return View(evidence, files)
    most = picture.max_difference_percent
    return View(
        evidence,
        files,
        problem=f"{where} differs from its baseline in {found.percent}% of its pixels; {most}% may.",
    )


def _kept(picture: ProbePicture, kind: str, pixels: Pixels) -> Picture:
    return Picture(f"{picture.name}/{kind}", to_png(pixels), pixels.width, pixels.height)


def _digests(files: Sequence[Picture]) -> dict[str, Any]:
    """By what each is: `picture`, `baseline`, `difference`."""
    return {file.name.rpartition("/")[2] + "Sha256": hashlib.sha256(file.png).hexdigest() for file in files}
