"""Drivers whose agent speaks JSON-RPC in both directions, one message a line.

A request of ours carries in its id what its answer will be needed for: the method, and a note behind `#`. So nothing has to
be remembered between a request and its answer, and a driver that was made anew in between goes on.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from axiom_sandbox.drivers.contract import Place, Step, Turn
from axiom_sandbox.drivers.json_lines import JsonLinesDriver
from axiom_sandbox.protocol.approvals import Decision, Permission
from axiom_sandbox.protocol.channel import AgentProgram
from axiom_sandbox.protocol.events import ApprovalAsked, ApprovalGiven, Event

_METHOD_NOT_FOUND = -32601


class JsonRpcDriver(JsonLinesDriver):
    """A subclass says what answers, notices and requests of the agent mean."""

    marks: ClassVar[dict[str, str]] = {}
    """What each message carries besides: `{"jsonrpc": "2.0"}`, where the agent asks for it."""

    def __init__(self, program: AgentProgram, place: Place) -> None:
        super().__init__(program, place)
        self.turn = Turn(0, "")
        self.session_refused = False
        """The agent does not know the session any more: its process is let go, and the next begins a new one."""

    @abstractmethod
    def answered(self, method: str, note: str, result: dict[str, Any]) -> Iterable[Event] | None:
        """What a request of ours came to; None: it is not known."""

    @abstractmethod
    def failed(self, method: str, error: dict[str, Any]) -> Iterable[Event] | None:
        """A request of ours was refused; None: that changes nothing, and is kept whole."""

    @abstractmethod
    def noticed(self, method: str, params: dict[str, Any]) -> Iterable[Event] | None:
        """The agent says something that it wants no answer to; None: it is not known."""

    @abstractmethod
    def asked(self, question: str, method: str, params: dict[str, Any]) -> Iterable[Event] | None:
        """The agent asks something; None: it is not known, and is refused."""

    @abstractmethod
    def decided(self, question: ApprovalAsked, allowed: bool) -> dict[str, Any]:
        """The agent's word for the answer to a question of its own."""

    # --- saying -----------------------------------------------------------------------------------------------

    def call(self, method: str, note: str = "", **params: Any) -> None:
        """Sends a request."""
        self.say({**self.marks, "id": f"{method}#{note}", "method": method, "params": params})

    def notify(self, method: str, **params: Any) -> None:
        """Says something that wants no answer."""
        self.say({**self.marks, "method": method, **({"params": params} if params else {})})

    def respond(self, question: str, result: dict[str, Any]) -> None:
        """Answers a request of the agent."""
        self.say({**self.marks, "id": json.loads(question), "result": result})

    # --- the contract -----------------------------------------------------------------------------------------

    def begin(self, turn: Turn) -> Step:
        """Remembers the turn: its prompt is given at the end of the handshake."""
        self.turn, self.session_refused = turn, False
        return super().begin(turn)

    def parse(self, data: bytes) -> Step:
        """Line by line; then the end, if the session is not to be had."""
        return super().parse(data) + Step(close=self.session_refused)

    def resume(self, turn: Turn) -> None:
        """The handshake may not have come to its end."""
        self.turn = turn
        super().resume(turn)

    def answer(self, question: str, decision: Decision) -> Step:
        """Allows or denies a use of a tool."""
        asked, given = self.given(question, decision)
        self.respond(question, self.decided(asked, given.permission is Permission.ALLOW))
        return self.step((given, *self.after_answer(asked, given)))

    def after_answer(self, question: ApprovalAsked, given: ApprovalGiven) -> Iterable[Event]:
        """What follows from an answer, where the agent itself does not say so."""
        return ()

    def receive(self, message: dict[str, Any]) -> Iterable[Event] | None:
        """An answer, a notice or a question."""
        method, params = message.get("method"), message.get("params") or {}
        if "id" not in message:
            return None if method is None else self.noticed(method, params)
        if method is None:
            request, _, note = str(message["id"]).partition("#")
            if "error" in message:
                return self.failed(request, message["error"])
            return self.answered(request, note, message["result"])
        question = json.dumps(message["id"])
        events = self.asked(question, method, params)
        if events is None:
            error = {"code": _METHOD_NOT_FOUND, "message": f"{method} is not supported"}
            self.say({**self.marks, "id": message["id"], "error": error})
        return events

    def kind_of(self, message: dict[str, Any]) -> str:
        """The method, or the request that was answered."""
        return str(message.get("method") or message.get("id") or "")[:128]


def whole_number(value: object) -> int | None:
    """A number of the agent's that ought to be whole."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
