"""What `axiom baseline accept` does: pictures of a run become the baselines of its criteria, where those lie."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import typer

from axiom.cli.baseline import Accepting
from axiom.cli.reading import find
from axiom.cli.showing import ExitCode
from axiom.cluster import errors
from axiom.cluster.api import Api
from axiom.cluster.kubeconfig import log_in
from axiom.cluster.resources import CONFIG_MAPS, SECRETS, Resource
from axiom.evidence.finding import TaskEvidence
from axiom.evidence.pictures import ProbePicture, pictures_in, read_picture
from axiom.evidence.segments import EvidenceError
from axiom.running.hidden_tests import local_name
from axiom_sandbox.protocol.criteria import Baselines, Criterion

_USER_AGENT = "axiom-baseline"


@dataclass(frozen=True)
class Place:
    """Where a baseline lies: a file of a folder, or a key of an object."""

    file: Path | None = None
    resource: Resource | None = None
    object: str = ""
    key: str = ""

    @property
    def shown(self) -> str:
        """For a person."""
        return (
            str(self.file) if self.resource is None else f"{self.resource.kind} {self.object}, key {self.key}"
        )


@dataclass(frozen=True)
class Accepted:
    """One picture, and where it goes."""

    picture: ProbePicture
    place: Place


def accept_pictures(accepting: Accepting) -> None:
    """Writes them, and says where."""
    try:
        evidence = _evidence(accepting)
        criteria = evidence.task.criteria if evidence.task else ()
        accepted = places_of(accepting, list(pictures_in(evidence).taken.values()), criteria)
        content = {one.picture.digest: read_picture(evidence, one.picture.digest) for one in accepted}
        for one in accepted:
            if one.place.file:
                one.place.file.parent.mkdir(parents=True, exist_ok=True)
                one.place.file.write_bytes(content[one.picture.digest])
        remote = [(one.place, content[one.picture.digest]) for one in accepted if one.place.resource]
        if remote:
            asyncio.run(write_objects(accepting, remote))
    except (EvidenceError, errors.RefusedError, errors.NotFoundError) as error:
        _end(str(error), ExitCode.REFUSED)
    except OSError as error:
        _end(f"{error.filename} cannot be written: {error.strerror}", ExitCode.REFUSED)
    except (errors.ApiError, errors.LoginError) as error:
        _end(f"the cluster cannot be asked: {error}", ExitCode.COULD_NOT_RUN)
    for one in accepted:
        typer.echo(f"{one.picture.name}: {one.place.shown}")


def _evidence(accepting: Accepting) -> TaskEvidence:
    found = find(accepting.where)
    if len(found) != 1:
        raise EvidenceError(f"{accepting.where.word} holds {len(found)} runs; name one of them")
    if found[0].task is None:
        raise EvidenceError(
            f"{accepting.where.word}: its task is not known; name the run by its name, or wait for its end"
        )
    return found[0]


def places_of(
    accepting: Accepting, taken: Sequence[ProbePicture], criteria: Iterable[Criterion]
) -> list[Accepted]:
    """Where each picture that is meant goes. Raises EvidenceError. Pure."""
    names = {one.name for one in taken}
    if unknown := [name for name in accepting.pictures if name not in names]:
        raise EvidenceError(
            f"--picture {unknown[0]}: the run has no such picture; it has {', '.join(sorted(names)) or 'none'}"
        )
    if not taken:
        raise EvidenceError(f"{accepting.where.word} has no pictures: no Probe of it photographed a page")
    known = {criterion.name: criterion for criterion in criteria}
    chosen = [one for one in taken if not accepting.pictures or one.name in accepting.pictures]
    return [Accepted(one, _place(accepting, one, known.get(one.criterion))) for one in chosen]


def _place(accepting: Accepting, taken: ProbePicture, criterion: Criterion | None) -> Place:
    probe = criterion.probe if criterion else None
    picture = next((one for one in probe.pictures if one.name == taken.picture), None) if probe else None
    if probe is None or picture is None:
        raise EvidenceError(f"{taken.name}: the run's task has no such picture")
    path, source = probe.baseline_of(picture), probe.baselines
    if source is None or (source.folder and not path.startswith(f"{source.folder}/")):
        return Place(file=accepting.workspace / path)
    key = path.removeprefix(f"{source.folder}/") if source.folder else path
    return _brought(accepting, taken, source, key)


def _brought(accepting: Accepting, taken: ProbePicture, source: Baselines, key: str) -> Place:
    if source.archive:
        raise EvidenceError(
            f"{taken.name}: baselines come from the {source.source}; put {key} into it, and upload it again"
        )
    if not accepting.where.places.cluster:
        return Place(file=accepting.beside / local_name(source) / key)
    if "/" in key:
        raise EvidenceError(
            f"{taken.name}: {key} cannot be a key of the {source.source}; take the folder out of `baseline`, or name it in"
            " baselines.folder"
        )
    return Place(None, SECRETS if source.secret else CONFIG_MAPS, local_name(source), key)


async def write_objects(accepting: Accepting, content: Sequence[tuple[Place, bytes]]) -> None:
    """Puts each into its object, which is made where there is none. Raises ApiError, LoginError."""
    places = accepting.where.places
    login = log_in(places.kubeconfig, places.context)
    namespace = places.namespace or login.namespace
    async with Api(_USER_AGENT, login.connect) as api:
        for place, data in content:
            assert place.resource is not None
            field = "data" if place.resource is SECRETS else "binaryData"
            patch = {field: {place.key: base64.b64encode(data).decode()}}
            try:
                await api.merge(place.resource, namespace, place.object, patch)
            except errors.NotFoundError:
                body = {
                    "apiVersion": place.resource.group_version,
                    "kind": place.resource.kind,
                    "metadata": {"name": place.object, "namespace": namespace},
                }
                await api.create(place.resource, namespace, {**body, **patch})


def _end(message: str, code: ExitCode) -> NoReturn:
    print(f"axiom baseline: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(code)
