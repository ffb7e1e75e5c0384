"""What a person may do to an agent at work: their wish, and the command that it is in the sandbox's present state. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from axiom_sandbox.protocol.approvals import Decision, Permission
from axiom_sandbox.protocol.channel import (
    AnswerApproval,
    Command,
    InterruptAgent,
    Phase,
    Question,
    SandboxState,
    TellAgent,
)
from axiom_sandbox.protocol.checks import form
from axiom_sandbox.protocol.model import ApiModel

Text = Annotated[str, Field(max_length=16384), form(r"\S", "holds no text; say something")]


class CannotInterveneError(Exception):
    """There is nothing to intervene in. The message says why, and what is there instead."""


class Approve(ApiModel):
    """Allows or denies a tool that the agent asks for."""

    action: Literal["Approve"] = "Approve"
    question: Annotated[str, Field(max_length=256)] = ""
    """Its id; empty: the one that is open."""
    deny: bool = False
    for_session: bool = False
    """Allow, too, whatever else is asked about this tool for the same reason."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """What the agent is told besides."""


class Tell(ApiModel):
    """Says something to the agent while it works."""

    action: Literal["Tell"] = "Tell"
    text: Text


class Interrupt(ApiModel):
    """The agent leaves what it is doing, and its turn ends."""

    action: Literal["Interrupt"] = "Interrupt"


Wish = Annotated[Approve | Tell | Interrupt, Field(discriminator="action")]
WISHES: TypeAdapter[Approve | Tell | Interrupt] = TypeAdapter(Wish)


def command_of(wish: Wish, state: SandboxState, by: str) -> tuple[Command, str]:
    """The command that a wish comes to now, and what it does, for whoever wished. Raises CannotInterveneError."""
    if state.phase is not Phase.RUNNING:
        raise CannotInterveneError(f"no agent is at work: its sandbox is in phase {state.phase}")
    match wish:
        case Tell(text=text):
            return TellAgent(text=text, by=by), "told"
        case Interrupt():
            return InterruptAgent(by=by), "asked to leave what it is doing"
        case Approve():
            question = _meant(wish, state.questions)
            permission = Permission.DENY if wish.deny else Permission.ALLOW
            decision = Decision(
                permission=permission,
                by=by,
                message=wish.message,
                for_session=wish.for_session and not wish.deny,
            )
            done = "denied" if wish.deny else "allowed for the session" if wish.for_session else "allowed"
            return AnswerApproval(question=question.id, decision=decision), f"{done}: {_shown(question)}"


def _meant(wish: Approve, questions: tuple[Question, ...]) -> Question:
    if not questions:
        raise CannotInterveneError(
            "the agent asks for nothing now; it was answered, withdrawn, or its limit is over"
        )
    meant = [one for one in questions if wish.question in ("", one.id)]
    if len(meant) == 1:
        return meant[0]
    listed = "".join(f"\n  {one.id}  {_shown(one)}" for one in questions)
    if not meant:
        raise CannotInterveneError(f"it does not ask {wish.question!r}; what it asks:{listed}")
    raise CannotInterveneError(f"it asks for several things; name one with --question:{listed}")


def _shown(question: Question) -> str:
    return f"{question.tool} ({question.summary})"
