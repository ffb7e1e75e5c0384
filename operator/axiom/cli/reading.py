"""What `axiom ledger` does once its options are read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, TextIO

import typer

from axiom.cli.ledger import Format
from axiom.cli.places import Where
from axiom.evidence.files import told_of
from axiom.evidence.finding import TaskEvidence, find_here
from axiom.evidence.harmless import one_line, plain, shown_payload, visible_json
from axiom.evidence.masking import mask_lines
from axiom.evidence.outcomes import decode_outcome, witnessed
from axiom.evidence.proving import Proof, prove
from axiom.evidence.searching import BadQueryError, Hit, Line, Query, Search, parse_moment, parsed
from axiom.evidence.segments import EvidenceError, StoredLedger

_LONGEST_PAYLOAD = 300
_WHOLE, _NOT_READABLE = 0, 3


@dataclass(frozen=True)
class Asked:
    """Which records, as it was written on the command line."""

    pattern: str = ""
    ignore_case: bool = False
    events: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    first: int = 1
    last: int | None = None

    def query(self) -> Query:
        """Raises BadQueryError."""
        now = datetime.now(UTC)
        return Query(
            self.pattern,
            self.ignore_case,
            frozenset(self.events),
            parse_moment("--since", self.since, now) if self.since else None,
            parse_moment("--until", self.until, now) if self.until else None,
            self.first,
            self.last,
        )


def find(where: Where) -> list[TaskEvidence]:
    """All evidence that is meant; its ledgers cut down to the slot that was asked for. Raises EvidenceError."""
    found = _found(where)
    if where.slot:
        found = [
            TaskEvidence(
                tuple(ledger for ledger in one.ledgers if ledger.name.rpartition("/")[2] == where.slot),
                one.task,
                one.blob,
            )
            for one in found
        ]
    if not any(one.ledgers for one in found):
        what = (
            f"ledger of slot {where.slot!r}" if where.slot else "ledger: no file ends in .jsonl or .jsonl.zst"
        )
        raise EvidenceError(f"{where.word} holds no {what}")
    return found


def _found(where: Where) -> list[TaskEvidence]:
    there = {  # --gateway may come from the environment
        "--namespace": where.places.namespace,
        "--context": where.places.context,
        "--kubeconfig": where.places.kubeconfig,
        "--token-file": where.places.token_file,
        "--gateway-ca": where.places.gateway_ca,
    }
    if not where.places.cluster:
        if idle := [option for option, value in there.items() if value]:
            raise EvidenceError(f"{idle[0]} is for tasks on a cluster; add --cluster")
        return find_here(where.word, where.places.state)
    from axiom.evidence.asking import ClusterOptions, find_on_cluster

    options = ClusterOptions(
        where.places.gateway,
        where.places.namespace,
        where.places.context,
        where.places.kubeconfig,
        where.places.token_file,
        where.places.gateway_ca,
        where.original,
    )
    return [find_on_cluster(where.word, options)]


@contextmanager
def readable() -> Iterator[None]:
    """Ends the program with exit code 3 where evidence cannot be read, or what was asked for means nothing."""
    try:
        yield
    except (EvidenceError, BadQueryError) as error:
        _leave(str(error))
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has what they wanted
        raise typer.Exit(0) from None


def _leave(message: str) -> NoReturn:
    typer.echo(plain(message), err=True)
    raise typer.Exit(_NOT_READABLE)


def verify_ledgers(where: Where, head: str | None, status: Path | None, *, as_json: bool) -> NoReturn:
    """Proves each; ends the program."""
    with readable():
        ledgers = [ledger for one in find(where) for ledger in one.ledgers]
        if head is not None and len(ledgers) > 1:
            raise EvidenceError(
                f"--head is for one ledger, and here are {len(ledgers)}; name one with --slot or by its folder"
            )
        if status:
            _witness(ledgers, status)
        proofs = [prove(ledger, head) for ledger in ledgers]
    if all(proof.lines == 0 and proof.damage for proof in proofs):
        _leave(f"{where.word} cannot be read: {proofs[0].damage[0]}")
    if as_json:
        bodies = [proof.as_json() for proof in proofs]
        whole = all(proof.is_whole for proof in proofs)
        body = bodies[0] if len(bodies) == 1 else {"whole": whole, "ledgers": bodies}
        sys.stdout.write(json.dumps(body) + "\n")
    else:
        for proof in proofs:
            _tell(proof, named=len(proofs) > 1)
    raise typer.Exit(_WHOLE if all(proof.is_whole for proof in proofs) else 1)


def _witness(ledgers: list[StoredLedger], status: Path) -> None:
    try:
        task = decode_outcome(status.read_bytes())
    except (OSError, ValueError) as error:
        raise EvidenceError(f"--status {status}: {error}") from error
    heads = {
        f"{task.uid}/{path.split('/')[-3]}/{path.split('/')[-2]}": reference.head
        for path, reference in witnessed(task).items()
    }
    if len(ledgers) == 1 and ledgers[0].name not in heads and task.status.ledger:
        ledgers[0].head = task.status.ledger.head
    for ledger in ledgers:
        ledger.head = heads.get(ledger.name, ledger.head)


def _tell(proof: Proof, *, named: bool) -> None:
    if named:
        typer.echo(f"{plain(proof.name)}:")
    typer.echo(f"{proof.findings.records} records, head {proof.findings.head}")
    if before := proof.elsewhere.segments:
        typer.echo(
            f"segments 1 to {before}, records 1 to {proof.elsewhere.records}, have left this copy for object storage, its seals.json"
            f" says; what is here was held against record {proof.elsewhere.records}, hash {plain(proof.elsewhere.head)}"
        )
    for item in proof.findings.gaps:
        unit = "records" if item.gap.what == "ledger" else "bytes"
        typer.echo(
            f"gap declared at record {item.seq}: {one_line(item.gap.what, 80)}, {item.gap.size} {unit}:"
            f" {one_line(item.gap.reason, 400)}"
        )
    for damage in proof.damage:
        typer.echo(f"DAMAGED segment {one_line(damage, 300)}")
    for fault in proof.faults:
        typer.echo(f"BROKEN at record {fault.seq} ({fault.fault.value}): {plain(fault.message)}")
    if proof.is_whole:
        what = "every record that is here" if proof.elsewhere.segments else "every record"
        typer.echo(f"whole: {what} follows from the one before")
        if not proof.witnessed:
            typer.echo("the end was not checked: give --head with the hash from the task's status")


def show_records(where: Where, asked: Asked, *, as_json: bool) -> None:
    """Prints what was asked for."""
    with readable():
        search = Search(asked.query())
        for ledger in _each_named(where):
            for hit in search.run(parsed(_lines(ledger, where))):
                _print(hit, as_json=as_json)
            _warn(ledger)


def grep_records(where: Where, asked: Asked, before: int, after: int, *, as_json: bool) -> NoReturn:
    """Prints what matches, with its context; ends the program."""
    found = False
    with readable():
        search = Search(asked.query())
        for ledger in _each_named(where):
            printed = False
            for hit in search.run(parsed(_lines(ledger, where)), before, after):
                if printed and not hit.follows and (before or after) and not as_json:
                    typer.echo("--")
                _print(hit, as_json=as_json, marks_context=bool(before or after))
                found, printed = True, True
            _warn(ledger)
    raise typer.Exit(0 if found else 1)


def _lines(ledger: StoredLedger, where: Where) -> Iterator[bytes]:
    return ledger.lines() if where.original else mask_lines(ledger.lines())


def _each_named(where: Where) -> Iterator[StoredLedger]:
    ledgers = [ledger for one in find(where) for ledger in one.ledgers]
    for ledger in ledgers:
        if len(ledgers) > 1:
            typer.echo(f"== {plain(ledger.name)}", err=True)
        yield ledger


def _warn(ledger: StoredLedger) -> None:
    for damage in ledger.damage:
        typer.echo(f"damaged: {plain(damage)}; `axiom ledger verify` says what is missing", err=True)


def _print(hit: Hit, *, as_json: bool, marks_context: bool = False) -> None:
    """One record for a person's terminal. Files may have been tampered with: nothing of them is shown unescaped."""
    line = hit.line
    if as_json:
        sys.stdout.write(_as_it_is(line, sys.stdout))
        return
    mark = (":" if hit.is_match else "-") if marks_context else ""
    sys.stdout.write(f"{mark}{_shown(line)}\n")


def _as_it_is(line: Line, stream: TextIO) -> str:
    """For a file or a program, to the byte; on a terminal nothing that it would act on."""
    text = line.data.decode(errors="replace").rstrip("\n")
    return f"{visible_json(text) if stream.isatty() else text}\n"


def _shown(line: Line) -> str:
    record = line.record
    if record is None:
        return f"{line.number:>6} not a record: {ascii(line.fault)[1:-1]}"
    time = record.time_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = told_of(record, _LONGEST_PAYLOAD) or shown_payload(record.payload, _LONGEST_PAYLOAD)
    return f"{record.seq:>6} {time} {ascii(record.event)[1:-1]:<18} {told}"


def export_ledgers(where: Where, form: Format, output: Path | None) -> None:
    """Writes what was asked for."""
    with readable():
        found = find(where)
        with _opened(output) as stream:
            if form is Format.MARKDOWN:
                from axiom.cli.reporting import report_of

                for one in found:
                    for block in report_of(one, masks=not where.original):
                        stream.write(block + "\n")
            else:
                _export_lines(found, form, stream, where)


def _export_lines(found: list[TaskEvidence], form: Format, stream: TextIO, where: Where) -> None:
    ledgers = [ledger for one in found for ledger in one.ledgers]
    lines = (line for ledger in ledgers for line in parsed(_lines(ledger, where)))
    if form is Format.JSONL:
        stream.writelines(_as_it_is(line, stream) for line in lines)
    else:
        from axiom.evidence.otel import export

        own = version("axiom")
        task = found[0].task if len(found) == 1 else None
        resource = {"service.name": "axiom", "service.version": own}
        if task:
            resource |= {"axiom.task.name": task.name, "k8s.namespace.name": task.namespace}
        stream.writelines(export(resource, own, lines))
    for ledger in ledgers:
        _warn(ledger)


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    try:
        with output.open("w", encoding="utf-8") as stream:
            yield stream
    except OSError as error:
        raise EvidenceError(f"--output {output} cannot be written: {error.strerror}") from error
