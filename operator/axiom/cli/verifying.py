"""Carries out `axiom verify`: captures the change, has it judged, shows what came of it, leaves with its exit code."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from axiom.api.agentclass import AgentClass, judge_fault
from axiom.api.agenttask import AgentTask, AgentTaskStatus, ImageName
from axiom.api.conditions import ConditionType, Reason
from axiom.api.explaining import Problem, explain
from axiom.api.loading import CriteriaFile, RefusedError, load_classes, load_criteria
from axiom.backends.choosing import choose_clean_room
from axiom.backends.contract import Backend, CannotRunError
from axiom.backends.host import find_launcher
from axiom.backends.names import BackendName
from axiom.cli.here import cancel_on_signals, credential_variable
from axiom.cli.reports import Report, as_json, as_junit, as_sarif
from axiom.cli.showing import (
    COLOURS,
    ExitCode,
    Interruption,
    Progress,
    criteria_table,
    exit_code,
    shown,
)
from axiom.cli.verify import Output, VerifyOrder
from axiom.clocks import SteadyClock
from axiom.evidence.finding import find_here
from axiom.gateway.carrying import Archive
from axiom.gateway.packing import WorkspaceError
from axiom.planning.statuses import has_reason
from axiom.running.hidden_tests import HiddenTestsError, find_hidden, pack_hidden
from axiom.running.local import LocalRun
from axiom.running.places import Place, default_state, run_place, sandboxes_in
from axiom.running.results import collect
from axiom.running.standalone import (
    NAME,
    Change,
    Revision,
    check_candidate,
    judged_alone,
    no_agent,
    parse_base,
    take_change,
    with_helpers,
)
from axiom.storage.store import StorageError
from axiom_sandbox.ledger.records import decode
from axiom_sandbox.protocol.events import CriterionChecked, parse_event
from axiom_sandbox.protocol.quantities import DurationText
from axiom_sandbox.protocol.verdicts import Remark, Verdict

_INTERRUPTED = "interrupted: nothing was decided"


def perform(order: VerifyOrder) -> None:
    """Raises typer.Exit, always."""
    console = Console(stderr=True, highlight=False)
    try:
        report = decide(order, ordered_criteria(order), console)
    except RefusedError as error:
        _leave(order, console, ExitCode.REFUSED, str(error))
    except (CannotRunError, WorkspaceError) as error:
        _leave(order, console, ExitCode.COULD_NOT_RUN, str(error))
    except Interruption as error:
        _leave(order, console, error.code, str(error))
    _print(report, order.output)
    raise typer.Exit(exit_code(report.verdict))


def decide(order: VerifyOrder, criteria: CriteriaFile, console: Console) -> Report:
    """Captures the change and has it judged. Raises RefusedError, CannotRunError, WorkspaceError, Interruption."""
    base = parse_base(order.base)
    check_candidate(order.candidate, criteria.verification)
    hidden = _hidden(order, criteria)
    agent_class, credentials = _helpers(order, criteria)
    find_launcher()
    backend = choose_clean_room(order.backend, criteria.verification.image)
    try:
        return asyncio.run(
            _run(order, base, criteria, hidden, Helpers(agent_class, credentials), backend, console)
        )
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        raise Interruption(error, _INTERRUPTED) from error


def ordered_criteria(order: VerifyOrder) -> CriteriaFile:
    """The file, with the options that take precedence. Raises RefusedError."""
    criteria = load_criteria(order.criteria)
    _check("--deadline", DurationText, order.deadline)
    if order.image is None:
        return criteria
    _check("--image", ImageName, order.image)
    if order.backend is BackendName.BUBBLEWRAP:
        cure = "means nothing to bubblewrap, which shows this machine's own system; leave one of the two out"
        raise RefusedError("axiom verify", [Problem("--image", cure)])
    verification = criteria.verification.model_copy(update={"image": order.image})
    return criteria.model_copy(update={"verification": verification})


def _hidden(order: VerifyOrder, criteria: CriteriaFile) -> Mapping[str, Path]:
    """Where the hidden tests of each criterion lie, beside the criteria. Raises RefusedError."""
    try:
        return find_hidden(criteria.criteria, order.criteria.parent)
    except HiddenTestsError as error:
        raise RefusedError(str(order.criteria), [Problem(error.field, error.cure)]) from error


@dataclass(frozen=True)
class Helpers:
    """Who helps from outside: the judges and destinations of a class, without its agent."""

    agent_class: AgentClass
    credentials: dict[str, str]


def _helpers(order: VerifyOrder, criteria: CriteriaFile) -> tuple[AgentClass, dict[str, str]]:
    """The class of a verification, and the keys of its judges. Raises RefusedError."""
    if order.agent_class is None:
        return no_agent(), {}
    classes = load_classes([order.agent_class])
    if len(classes) != 1:
        text = f"{order.agent_class} holds {len(classes)} AgentClasses, not one; name a file with one"
        raise RefusedError("axiom verify", [Problem("--class", text)])
    if fault := judge_fault(classes[0], criteria.criteria):
        raise RefusedError(str(order.criteria), [Problem("criteria", fault)])
    asks = any(criterion.judge for criterion in criteria.criteria)
    keys = {}
    for judge in classes[0].spec.judges if asks else ():
        variable = credential_variable(judge.credential.name)
        if not (key := os.environ.get(variable)):
            text = f"set the variable {variable} to the key; it stays outside the clean room"
            raise RefusedError(classes[0].name, [Problem(f"spec.judges[{judge.name}]", text)])
        keys[judge.credential.name] = key
    return with_helpers(classes[0]), keys


def _check(option: str, form: Any, value: str) -> None:
    try:
        TypeAdapter(form).validate_python(value)
    except ValidationError as error:
        raise RefusedError("axiom verify", [Problem(option, explain(error)[0].message)]) from error


async def _run(
    order: VerifyOrder,
    base: Path | Revision,
    criteria: CriteriaFile,
    hidden: Mapping[str, Path],
    helpers: Helpers,
    backend: Backend,
    console: Console,
) -> Report:
    cancel_on_signals()
    began, uid = time.monotonic(), str(uuid.uuid4())
    progress = Progress(console, began)
    with run_place(order.state or default_state(), f"{NAME}-{uid[:8]}", progress.say) as place:
        image = criteria.verification.image
        await backend.prepare({image} if image else set(), progress.say)
        try:
            change = await take_change(
                base, order.candidate, criteria.verification, place.store, place.scratch, progress.say
            )
        except StorageError as error:
            raise CannotRunError(f"evidence cannot be stored: {error}") from error
        task = judged_alone(change, criteria, uid, order.deadline, SteadyClock()())
        packed = await asyncio.to_thread(pack_hidden, hidden, place.scratch)
        status = await _judge(task, change, packed, place, helpers, backend, progress)
        seconds = time.monotonic() - began
        result = await collect(
            task, status, place.store, place.store_folder, place.folder, change.base.archive.path, seconds
        )
        last = status.rounds[-1]
        kept = last.verifier_ledger if last.verifier_ledger and last.verifier_ledger.records else None
        ledger = place.store_folder / kept.path if kept else None
        return Report(
            verdict=_verdict(status),
            reason=_reason(status),
            message=status.message,
            results=tuple(last.criteria),
            remarks=await asyncio.to_thread(_remarks, ledger) if ledger else {},
            base=order.base,
            revision=change.base.status.revision,
            candidate=str(order.candidate),
            criteria_file=shown_path(order.criteria),
            changes=change.changes,
            ledger=ledger,
            ledger_records=kept.records if kept else 0,
            ledger_head=kept.head if kept else "",
            folder=place.folder,
            diff=result.diff,
            workspace=result.workspace,
            seconds=seconds,
        )


async def _judge(
    task: AgentTask,
    change: Change,
    hidden: Mapping[str, Archive],
    place: Place,
    helpers: Helpers,
    backend: Backend,
    progress: Progress,
) -> AgentTaskStatus:
    local = LocalRun(
        task=task,
        agent_class=helpers.agent_class,
        base=change.base,
        store=place.store,
        folder=place.scratch,
        make_sandbox=sandboxes_in(backend, place.scratch),
        credentials=helpers.credentials,
        hidden=hidden,
        on_status=lambda status: _tell(status, progress),
    )
    try:
        return await local.run()
    finally:
        await backend.close()


def _tell(status: AgentTaskStatus, progress: Progress) -> None:
    """Nothing but what concerns the verification."""
    for item in status.conditions:
        if item.type is ConditionType.VERIFIED:
            progress.tell_condition(item)


def _verdict(status: AgentTaskStatus) -> Verdict | None:
    """The time that is over was the verification's, and nobody else's: nothing is proved by that."""
    if has_reason(status, ConditionType.COMPLETE, Reason.DEADLINE_EXCEEDED):
        return Verdict.INCONCLUSIVE
    return status.verdict


def _reason(status: AgentTaskStatus) -> str | None:
    return next(
        (item.reason.value for item in status.conditions if item.type is ConditionType.COMPLETE), None
    )


def _remarks(ledger: Path) -> dict[str, tuple[Remark, ...]]:
    """Criterion → what was found at places, from the sealed ledger."""
    found: dict[str, tuple[Remark, ...]] = {}
    [evidence] = find_here(str(ledger))
    for line in chain.from_iterable(stored.lines() for stored in evidence.ledgers):
        record = decode(line)
        if record.event != CriterionChecked.event:
            continue
        event = parse_event(record.event, record.payload)
        if isinstance(event, CriterionChecked):
            found[event.result.name] = event.remarks
    return found


def shown_path(path: Path) -> str:
    """Relative to the present folder where it lies below it: so that code scanning finds the file."""
    whole, here = path.resolve(), Path.cwd()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(path)


def _print(report: Report, output: Output) -> None:
    match output:
        case Output.JSON:
            sys.stdout.write(as_json(report))
        case Output.JUNIT:
            sys.stdout.write(as_junit(report))
        case Output.SARIF:
            sys.stdout.write(as_sarif(report))
        case Output.TABLE:
            _print_table(report)


def _print_table(report: Report) -> None:
    out = Console(highlight=False)
    if report.results:
        out.print(criteria_table(report.results))
    colour = COLOURS[report.verdict] if report.verdict else "red"
    verdict = report.verdict.value if report.verdict else "none"
    out.print(f"verdict  [{colour} bold]{verdict}[/]  {shown(report.message)}", soft_wrap=True)
    for name, value in (("diff", report.diff), ("result", report.workspace), ("ledger", report.ledger)):
        if value:
            out.print(f"{name:8} {shown(str(value))}", soft_wrap=True)


def _leave(order: VerifyOrder, console: Console, code: ExitCode, message: str) -> NoReturn:
    """Ends without a result, and says so in the form that was asked for."""
    console.print(shown(message), style="red", soft_wrap=True)
    report = Report.without_result(
        code.name, message, order.base, str(order.candidate), shown_path(order.criteria)
    )
    if order.output is not Output.TABLE:
        _print(report, order.output)
    raise typer.Exit(code)
