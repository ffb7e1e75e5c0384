"""`axiom history`: tasks that are complete, also those whose AgentTask was deleted."""

from __future__ import annotations

from typing import Annotated

import typer

from axiom.cli.places import Stored


def history(
    text: Annotated[
        str,
        typer.Argument(
            help="Words that the prompt, the message, the claim or a person's decision must hold.",
            metavar="[TEXT]",
        ),
    ] = "",
    name: Annotated[str, typer.Option("--name", help="The task's name; * stands for anything.")] = "",
    agent_class: Annotated[str, typer.Option("--class", help="Its AgentClass.")] = "",
    verdict: Annotated[str, typer.Option("--verdict", help="Pass, Fail, Inconclusive, or none.")] = "",
    decision: Annotated[
        str,
        typer.Option(
            "--decision", help="What a person decided last (`axiom review`): Accept, Reject, Again, or none."
        ),
    ] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")] = "",
    since: Annotated[
        str, typer.Option("--since", help="Complete not before this time, or this long ago.", metavar="TIME")
    ] = "",
    until: Annotated[
        str, typer.Option("--until", help="Complete not after this time, or this long ago.", metavar="TIME")
    ] = "",
    where: Stored = "",
    limit: Annotated[int, typer.Option("--limit", help="Most rows, newest first.", min=1)] = 50,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the index anew of what is in object storage.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Search the history of tasks: what the verifiers found, and what people decided on it since, with who and why.

    Exit code: 0 found, 1 nothing found, 3 not readable."""
    from axiom.cli.remembering import Wanted, print_history

    wanted = Wanted(text, name, agent_class, verdict, decision, namespace, since, until, limit)
    print_history(where, wanted, rebuild=rebuild, as_json=as_json)
