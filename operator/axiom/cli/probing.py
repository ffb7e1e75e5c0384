"""What `axiom probe` does once its options are read."""

from __future__ import annotations

import asyncio
import tempfile
from enum import IntEnum
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.table import Table

from axiom.api.agentclass import AgentClassSpec
from axiom.api.explaining import Problem
from axiom.api.loading import RefusedError, load_class
from axiom.backends.choosing import choose_backend
from axiom.backends.contract import CannotRunError
from axiom.backends.host import find_launcher
from axiom.backends.leftovers import PREFIX, claim, remove_scratch
from axiom.backends.names import BackendName
from axiom.cli.probe import ProbeOrder
from axiom.cli.showing import print_json, shown
from axiom.probing.explaining import explain
from axiom.probing.report import Report


class ProbeExit(IntEnum):
    """What the exit code of `axiom probe` means."""

    HELD = 0
    FAILED = 1
    REFUSED = 3
    COULD_NOT_RUN = 4


def perform_probe(order: ProbeOrder) -> NoReturn:
    """Prints what is found, and ends the program with the exit code."""
    console = Console(stderr=True, highlight=False)
    try:
        _check(order)
        report = _on_cluster(order, console) if order.cluster else _here(order, console)
    except RefusedError as error:
        _leave(console, order.as_json, ProbeExit.REFUSED, str(error))
    except CannotRunError as error:
        _leave(console, order.as_json, ProbeExit.COULD_NOT_RUN, str(error))
    if order.as_json:
        print_json(report.as_json())
    else:
        _print(report)
    raise typer.Exit(ProbeExit.HELD if report.passed else ProbeExit.FAILED)


def _check(order: ProbeOrder) -> None:
    if order.cluster:
        if order.agent_class is None:
            raise RefusedError(
                "axiom probe", [Problem("--class", "is needed with --cluster; name an AgentClass")]
            )
        if order.backend is not BackendName.AUTO:
            raise RefusedError(
                "axiom probe", [Problem("--backend", "is for this machine; leave --cluster out")]
            )
        return
    there = {"--context": order.context, "--kubeconfig": order.kubeconfig, "--namespace": order.namespace}
    if problems := [
        Problem(option, "is for a cluster; add --cluster") for option, value in there.items() if value
    ]:
        raise RefusedError("axiom probe", problems)


def _here(order: ProbeOrder, console: Console) -> Report:
    from axiom.probing.here import probe_here

    agent_class = (
        load_class(Path(order.agent_class)).spec
        if order.agent_class
        else AgentClassSpec(command=["/bin/true", "$(AXIOM_PROMPT)"])
    )
    find_launcher()
    backend = choose_backend(order.backend, agent_class)
    scratch = Path(tempfile.mkdtemp(prefix=PREFIX)) / "scratch"
    try:
        box = scratch / "box"
        box.mkdir(parents=True)
        claim(scratch)
        return asyncio.run(probe_here(agent_class, backend, box, console.print))
    finally:
        remove_scratch(scratch)


def _on_cluster(order: ProbeOrder, console: Console) -> Report:
    from axiom.cluster.api import Api
    from axiom.cluster.errors import LoginError
    from axiom.cluster.kubeconfig import log_in
    from axiom.probing.on_cluster import ClusterProbe

    try:
        login = log_in(order.kubeconfig, order.context)
    except LoginError as error:
        raise CannotRunError(str(error)) from error

    async def run() -> Report:
        async with Api("axiom-probe", login.connect) as api:
            name, namespace = order.agent_class or "", order.namespace or login.namespace
            return await ClusterProbe(api, name, namespace, console.print).run()

    return asyncio.run(run())


def _print(report: Report) -> None:
    out = Console(highlight=False)
    if report.assertions:
        out.print(_table(report))
    for item in report.assertions:
        if not item.ok:
            told = explain(item)
            out.print(f"[red]✗ {item.name}[/]: {told.meaning}\n    cure: {shown(told.cure)}", soft_wrap=True)
    out.print()
    for layer in report.layers:
        mark = "[green]✓[/]" if layer.held == layer.tried else "[red]✗[/]"
        out.print(f"{mark} {layer.name}: {layer.held} of {layer.tried} assertions held")
    if report.missing:
        out.print(f"[yellow]missing[/]: {', '.join(report.missing)}; an agent starts without", soft_wrap=True)
    said = "an agent may start" if report.passed else "no agent starts here"
    took = f", {report.took_ms} ms" if report.took_ms else ""
    out.print(f"\n{shown(report.where)}: {said}{took}", soft_wrap=True)


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for column in ("Layer and assertion", "Tried", "Found"):
        table.add_column(column, overflow="fold")
    for item in report.assertions:
        mark = "[green]✓[/]" if item.ok else "[red]✗[/]"
        table.add_row(mark, item.name, shown(explain(item).tried), shown(item.detail))
    return table


def _leave(console: Console, as_json: bool, code: ProbeExit, message: str) -> NoReturn:
    console.print(shown(message), style="red", soft_wrap=True)
    if as_json:
        print_json({"error": {"message": message}})
    raise typer.Exit(code)
