"""`axiom ledger`: read sealed ledgers, and prove that nothing in them was changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from axiom_sandbox.protocol.events import Gap

ledger_app = typer.Typer(help="Read and check ledgers.", no_args_is_help=True)

_LONGEST_PAYLOAD = 300

LedgerPath = Annotated[
    Path, typer.Argument(help="Folder of a ledger's segments, or one file.", metavar="LEDGER")
]


@ledger_app.command()
def verify(
    path: LedgerPath,
    head: Annotated[
        str | None, typer.Option(help="Hash of the last record, as the task's status has it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Prove the chain, from the first record to the head. Exit code 0 whole, 1 broken, 3 not readable."""
    # Imported where it is used, here and below: nobody who runs a task waits for it.
    from axiom_sandbox.ledger.checking import verify as verify_chain

    findings = verify_chain(_lines(path), head)
    if as_json:
        body = {
            "whole": findings.intact,
            "records": findings.records,
            "head": findings.head,
            "broken": asdict(findings.broken) if findings.broken else None,
            "gaps": [{"seq": item.seq, **item.gap.model_dump(mode="json")} for item in findings.gaps],
        }
        sys.stdout.write(json.dumps(body) + "\n")
    else:
        typer.echo(f"{findings.records} records, head {findings.head}")
        for item in findings.gaps:
            typer.echo(
                f"gap declared at record {item.seq}: {item.gap.what}, {item.gap.size} {_unit(item.gap)}: {item.gap.reason}"
            )
        if findings.broken:
            typer.echo(
                f"BROKEN at record {findings.broken.seq} ({findings.broken.fault.value}): {findings.broken.message}"
            )
        else:
            typer.echo("whole: every record follows from the one before")
            if head is None:
                typer.echo("the end was not checked: give --head with the hash from the task's status")
    raise typer.Exit(0 if findings.intact else 1)


@ledger_app.command()
def show(
    path: LedgerPath,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they are stored.")] = False,
) -> None:
    """Print a ledger's records, oldest first."""
    for number, line in enumerate(_lines(path), 1):
        if as_json:
            sys.stdout.write(line.decode(errors="replace").rstrip("\n") + "\n")
        else:
            sys.stdout.write(_shown(number, line) + "\n")


def _shown(number: int, line: bytes) -> str:
    """One record for a person's terminal. Files may have been tampered with: nothing of them is shown unescaped."""
    from axiom_sandbox.ledger.errors import MalformedRecordError
    from axiom_sandbox.ledger.records import decode

    try:
        record = decode(line)
    except MalformedRecordError as error:
        return f"{number:>6} not a record: {ascii(str(error))[1:-1]}"
    payload = json.dumps(record.payload, ensure_ascii=True)
    shown = payload if len(payload) <= _LONGEST_PAYLOAD else payload[:_LONGEST_PAYLOAD] + "…"
    time = record.time_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{record.seq:>6} {time} {ascii(record.event)[1:-1]:<18} {shown}"


def _unit(gap: Gap) -> str:
    return "records" if gap.what == "ledger" else "bytes"


def _lines(path: Path) -> Iterator[bytes]:
    from axiom.running.ledgers import NoLedgerError, lines_of

    try:
        yield from lines_of(path)
    except NoLedgerError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(3) from error
