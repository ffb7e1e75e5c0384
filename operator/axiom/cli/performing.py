"""Carries out `axiom run`: here or on a cluster; shows the outcome and leaves with its exit code."""

from __future__ import annotations

import typer
from rich.console import Console

from axiom.api.explaining import Problem
from axiom.api.loading import RefusedError
from axiom.backends.contract import CannotRunError
from axiom.backends.names import BackendName
from axiom.cli.run import Order
from axiom.cli.showing import ExitCode, Interruption, exit_code, leave, print_result
from axiom.gateway.packing import WorkspaceError
from axiom.running.results import Result


def perform(order: Order) -> None:
    """Raises typer.Exit, always."""
    console = Console(stderr=True, highlight=False)
    try:
        _check(order)
        result = _run(order, console)
    except RefusedError as error:
        leave(console, order.as_json, ExitCode.REFUSED, str(error))
    except (CannotRunError, WorkspaceError) as error:
        leave(console, order.as_json, ExitCode.COULD_NOT_RUN, str(error))
    except Interruption as error:
        leave(console, order.as_json, error.code, str(error))
    print_result(result, order.as_json)
    raise typer.Exit(exit_code(result.status.verdict))


def _run(order: Order, console: Console) -> Result:
    # One of the two: each needs libraries that take their time to load.
    if order.cluster:
        from axiom.cli.on_cluster import run_on_cluster

        return run_on_cluster(order, console)
    from axiom.cli.here import run_here

    return run_here(order, console)


def _check(order: Order) -> None:
    """Refuses options that would do nothing."""
    here = {
        "--class": order.agent_class,
        "--state": order.state,
        "--backend": order.backend is not BackendName.AUTO,
    }
    there = {
        "--context": order.context,
        "--kubeconfig": order.kubeconfig,
        "--namespace": order.namespace,
    }
    idle, why = (
        (here, "is for runs on this machine; leave it out, or leave --cluster out")
        if order.cluster
        else (there, "is for runs on a cluster; add --cluster")
    )
    if problems := [Problem(option, why) for option, value in idle.items() if value]:
        raise RefusedError("axiom run", problems)
