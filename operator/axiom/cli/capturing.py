"""What `axiom baseline capture` does: the pictures of a work, taken in the clean room, beside what they differ by."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from axiom.api.explaining import Problem
from axiom.api.loading import CriteriaFile, RefusedError
from axiom.backends.contract import CannotRunError
from axiom.cli.baseline import Taking
from axiom.cli.showing import ExitCode, Interruption
from axiom.cli.verify import Output, VerifyOrder
from axiom.cli.verifying import decide, ordered_criteria
from axiom.evidence.pictures import ProbePictures, probe_pictures, read_picture
from axiom.evidence.segments import EvidenceError
from axiom.gateway.packing import WorkspaceError
from axiom.running.places import default_state
from axiom_sandbox.protocol.changes import CandidateSource
from axiom_sandbox.protocol.criteria import Enforcement

_DEADLINE = "1h"


def capture_pictures(taking: Taking) -> NoReturn:
    """Raises typer.Exit, always."""
    console = Console(stderr=True, highlight=False)
    try:
        code = _capture(taking, console)
    except RefusedError as error:
        _leave(console, ExitCode.REFUSED, str(error))
    except (CannotRunError, WorkspaceError, EvidenceError, OSError) as error:
        _leave(console, ExitCode.COULD_NOT_RUN, str(error))
    except Interruption as error:
        _leave(console, error.code, str(error))
    raise typer.Exit(code)


def _capture(taking: Taking, console: Console) -> ExitCode:
    state = taking.state or default_state()
    order = VerifyOrder(
        base=str(taking.candidate),
        candidate=taking.candidate,
        criteria=taking.criteria,
        output=Output.TABLE,
        backend=taking.backend,
        image=taking.image,
        deadline=_DEADLINE,
        state=state,
        agent_class=None,
    )
    criteria = with_pictures(ordered_criteria(order), str(taking.criteria))
    report = decide(order, criteria, console)
    if report.folder is None or report.ledger is None:
        raise CannotRunError(report.message or "the clean room left nothing")
    shown = probe_pictures(report.folder.name, state)
    into = taking.into or report.folder / "pictures"
    wanted = [
        (criterion.name, picture)
        for criterion in criteria.criteria
        for picture in (criterion.probe.pictures if criterion.probe else ())
    ]
    missing = [(name, picture) for name, picture in wanted if f"{name}/{picture.name}" not in shown.taken]
    for found in shown.taken.values():
        target = into / f"{found.criterion}-{found.picture}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read_picture(shown.evidence, found.digest))
        typer.echo(f"{found.name}: {target}{_compared(shown, found.name)}")
    for result in report.results:
        if any(name == result.name for name, _ in missing):
            typer.echo(f"{result.name}: {result.message}", err=True)
    if missing:
        return ExitCode.INCONCLUSIVE
    typer.echo(f"If they are right: axiom baseline accept {report.folder.name} --state {state}")
    return ExitCode.PASS


def with_pictures(criteria: CriteriaFile, file: str) -> CriteriaFile:
    """The Probe criteria that have pictures, alone. Raises RefusedError. Pure."""
    found = [
        criterion.model_copy(update={"enforcement": Enforcement.HARD})
        for criterion in criteria.criteria
        if criterion.probe and criterion.probe.pictures
    ]
    if not found:
        problem = Problem(
            "criteria", "no Probe has pictures; add probe.pictures to the one whose pages you mean"
        )
        raise RefusedError(file, [problem])
    verification = criteria.verification.model_copy(update={"candidate": CandidateSource.WORKSPACE})
    return criteria.model_copy(update={"criteria": found, "verification": verification})


def _compared(shown: ProbePictures, name: str) -> str:
    score = shown.scores.get(name)
    return (
        f"  (differs from its baseline in {score}% of its pixels)" if score else "  (it has no baseline yet)"
    )


def _leave(console: Console, code: ExitCode, message: str) -> NoReturn:
    console.print(escape(message), style="red", soft_wrap=True)
    raise typer.Exit(code)
