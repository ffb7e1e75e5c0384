"""`axiom approve`, `axiom tell`, `axiom interrupt`: a person steps into a task while its agent works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from axiom.cli.places import Places, reads_evidence

if TYPE_CHECKING:
    from axiom.planning.intervening import Wish

Task = Annotated[
    str,
    typer.Argument(
        help="The task of an `axiom run` that is under way on this machine; with --cluster an AgentTask.",
        metavar="TASK",
    ),
]


@reads_evidence()
def approve(
    task: Task,
    deny: Annotated[bool, typer.Option("--deny", help="Deny it instead.")] = False,
    for_session: Annotated[
        bool,
        typer.Option(
            "--for-session",
            help="Allow this tool for as long as the sandbox lives, where the same rule asks for it.",
        ),
    ] = False,
    message: Annotated[
        str, typer.Option("--message", "-m", help="What the agent is told besides.", metavar="TEXT")
    ] = "",
    question: Annotated[
        str, typer.Option("--question", help="Which one, where several are open.", metavar="ID")
    ] = "",
    *,
    places: Places,
) -> None:
    """Allow or deny the tool that a task's agent asks for. Exit code 3: there is nothing to answer, or you may not."""
    from axiom.planning.intervening import Approve

    if deny and for_session:
        raise typer.BadParameter("--for-session allows; leave it out, or leave --deny out")
    wish = Approve(question=question, deny=deny, for_session=for_session, message=message)
    _do(task, places, wish)


@reads_evidence()
def tell(
    task: Task,
    text: Annotated[str, typer.Argument(help="What the agent is told.", metavar="TEXT")],
    *,
    places: Places,
) -> None:
    """Tell a task's agent something while it works; its result then counts as assisted."""
    from axiom.planning.intervening import Tell

    if not text.strip():
        raise typer.BadParameter("TEXT is empty; say something")
    _do(task, places, Tell(text=text))


@reads_evidence()
def interrupt(task: Task, *, places: Places) -> None:
    """Have a task's agent leave what it is doing: its turn ends, and what it has done so far is verified."""
    from axiom.planning.intervening import Interrupt

    _do(task, places, Interrupt())


def _do(task: str, places: Places, wish: Wish) -> None:
    # Only now: nobody who asks for help waits for what this needs.
    from axiom.cli.intervening import carry_out

    carry_out(task, places, wish)
