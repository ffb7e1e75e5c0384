"""What `axiom checkpoints TASK --diff N M` does once its options are read."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from axiom.cli.keeping import Place
from axiom.cli.pruning import open_store
from axiom.cli.reading import readable
from axiom.evidence.asking import ClusterOptions, reach
from axiom.evidence.checkpoints import Form, NoCheckpointError, write_difference
from axiom.evidence.harmless import one_line, plain
from axiom.evidence.segments import EvidenceError
from axiom.running.checkpoints import find_all
from axiom.storage.encrypted import seen_by
from axiom.storage.store import StorageError

_LONGEST = 200


def print_difference(
    task: str, numbers: tuple[int, int], place: Place, *, as_patch: bool, as_json: bool, original: bool
) -> NoReturn:
    """Prints it, and ends the program."""
    form = Form.PATCH if as_patch else Form.TABLE
    with readable():
        if place.cluster:
            options = ClusterOptions(
                place.gateway, place.namespace or None, place.context, place.kubeconfig, place.token_file,
                place.gateway_ca, original,
            )  # fmt: skip
            found = reach(task, options).difference(*numbers, form)
        else:
            found = _stored(task, numbers, place, form, masks=not original)
        if as_patch and not sys.stdout.isatty():
            sys.stdout.buffer.write(found)
        elif as_patch:
            sys.stdout.write(plain(found.decode(errors="backslashreplace")))
        elif as_json:
            sys.stdout.write(found.decode())
        else:
            _print_rows([json.loads(line) for line in found.splitlines()])
    raise typer.Exit(0 if found else 1)


def _stored(task: str, numbers: tuple[int, int], place: Place, form: Form, *, masks: bool) -> bytes:
    async def read(target: Path) -> None:
        store = open_store(place.where)
        kept = await find_all(store, task, place.namespace)
        last = kept[-1].manifest.identity.task_id if kept else ""
        runs = {one.manifest.number: one.manifest for one in kept if one.manifest.identity.task_id == last}
        if missing := [str(number) for number in numbers if number not in runs]:
            there = ", ".join(map(str, runs)) or "none"
            raise EvidenceError(f"the last run of {task!r} has no checkpoint {missing[0]}; it has {there}")
        one, other = (runs[number] for number in numbers)
        await write_difference(seen_by(store, one.identity.namespace), one, other, form, target, masks=masks)

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "difference"
        try:
            asyncio.run(read(target))
        except (StorageError, NoCheckpointError) as error:
            raise EvidenceError(str(error)) from error
        return target.read_bytes()


def _print_rows(rows: list[dict[str, Any]]) -> None:
    told = [row for row in rows if row["change"] != "touched"]
    table = Table("change", "path", "what", "size", "mode")
    for row in told:
        sides = [row["before"], row["after"]]
        cells = (
            row["change"], row["path"], ", ".join(row["what"]) or _kind(sides), _both(sides, "size"), _both(sides, "mode"),
        )  # fmt: skip
        table.add_row(*(Text(one_line(cell, _LONGEST), overflow="fold") for cell in cells))
    if told:
        Console().print(table)
    if touched := len(rows) - len(told):
        typer.echo(f"{touched:,} more differ in their times alone", err=True)
    if not rows:
        typer.echo("the workspace is the same", err=True)


def _kind(sides: list[dict[str, Any] | None]) -> str:
    return next(str(side["kind"]) for side in sides if side)


def _both(sides: list[dict[str, Any] | None], field: str) -> str:
    """Both values, or the one that there is."""
    values = [
        f"{side[field]:,}" if field == "size" else str(side[field])
        for side in sides
        if side and field in side
    ]
    return " → ".join(dict.fromkeys(values))
