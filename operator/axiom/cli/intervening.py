"""Carries out what a person wishes for a task whose agent works: here, or through the gateway of its cluster."""

from __future__ import annotations

import uuid

import typer

from axiom.cli.places import Places
from axiom.evidence.harmless import plain
from axiom.evidence.segments import EvidenceError
from axiom.planning.intervening import CannotInterveneError, Wish
from axiom.running.intervening import intervene_here
from axiom.running.places import default_state

_NOT_DONE = 3


def carry_out(task: str, places: Places, wish: Wish) -> None:
    """Says what was done. Raises typer.Exit where it was not."""
    try:
        done = _on_cluster(task, places, wish) if places.cluster else _here(task, places, wish)
    except (CannotInterveneError, EvidenceError) as error:
        typer.echo(plain(str(error)), err=True)
        raise typer.Exit(_NOT_DONE) from error
    typer.echo(plain(done))


def _here(task: str, places: Places, wish: Wish) -> str:
    given = {
        "--namespace": places.namespace,
        "--context": places.context,
        "--kubeconfig": places.kubeconfig,
        "--token-file": places.token_file,
        "--gateway-ca": places.gateway_ca,
    }
    if idle := [option for option, value in given.items() if value]:
        raise CannotInterveneError(f"{idle[0]} is for tasks on a cluster; add --cluster")
    return intervene_here(task, wish, places.state or default_state())


def _on_cluster(task: str, places: Places, wish: Wish) -> str:
    from axiom.evidence.asking import ClusterOptions, reach

    options = ClusterOptions(
        places.gateway,
        places.namespace,
        places.context,
        places.kubeconfig,
        places.token_file,
        places.gateway_ca,
    )
    return reach(task, options).post("interventions", wish.model_dump_json(by_alias=True), uuid.uuid4().hex)
