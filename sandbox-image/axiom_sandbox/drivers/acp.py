"""Agents that speak the Agent Client Protocol over standard input and output: what is the same for all of them.

An agent's own module says how its process is started and what its tools, answers and counters look like.
https://agentclientprotocol.com
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from axiom_sandbox.drivers.contract import Place, Step, Turn, UnsupportedError
from axiom_sandbox.drivers.json_lines import MOST_TEXT, text_of
from axiom_sandbox.drivers.json_rpc import JsonRpcDriver
from axiom_sandbox.drivers.versions import warning
from axiom_sandbox.protocol.channel import AgentProgram
from axiom_sandbox.protocol.events import (
    AgentStarted,
    ApiRetried,
    ApprovalAsked,
    AssistantDelta,
    AssistantMessage,
    Event,
    Reasoning,
    SessionOpened,
    ToolCall,
    ToolReturn,
    TurnEnded,
)

_CLIENT = {"name": "axiom", "title": "Axiom", "version": "1"}
_CANNOT = {"fs": {"readTextFile": False, "writeTextFile": False}}
_MOST_BREAKS = 3
"""So often in one process a turn whose answer broke off goes on."""
_GO_ON = "The connection to the model broke off in the middle of your answer. Go on where you stopped. You were asked:\n\n"
"""All that it was told follows: an agent may forget what was said in a turn that failed."""
_HANDSHAKE = frozenset(
    {"initialize", "session/new", "session/load", "session/resume", "session/set_mode", "session/prompt"}
)


class AcpDriver(JsonRpcDriver):
    """A driver of one such agent."""

    marks = {"jsonrpc": "2.0"}
    going_on: ClassVar[str] = "session/load"
    """The request that goes on with a session."""
    broken_off: ClassVar[re.Pattern[str] | None] = None
    """How the agent says that its model hung up on it, where it does not try again by itself; anywhere in the error."""

    def __init__(self, program: AgentProgram, place: Place) -> None:
        super().__init__(program, place)
        self._speech = ""
        """What the model is saying, as far as it was emitted in pieces."""
        self._breaks = 0
        self._heard: list[str] = []
        """What it was told in mid-turn. The protocol takes a prompt only between two answers: how many of these the agent was
        given by then stands in the note of the prompt's request."""

    @abstractmethod
    def tool(self, update: dict[str, Any]) -> Iterable[Event]:
        """What a `tool_call` or `tool_call_update` comes to."""

    @abstractmethod
    def called(self, about: dict[str, Any]) -> ToolCall:
        """The call that a question for approval is about."""

    @abstractmethod
    def counted(self, result: dict[str, Any]) -> Iterable[Event]:
        """What the answer to a prompt says of tokens."""

    def servers(self) -> list[dict[str, Any]]:
        """MCP servers that the session is to use, where the agent does not learn of them in another way."""
        return []

    def entered(self, version: str, session: str) -> Iterable[Event]:
        """The session is there: it is told the prompt."""
        number = self.memory.round
        self._prompt(session, self.turn.prompt, given=0)
        return [
            SessionOpened(round=number, session=session, version=version, warning=warning(self.name, version))
        ]

    # --- what it is told --------------------------------------------------------------------------------------

    def open(self, turn: Turn) -> Iterable[Event]:
        """Shakes hands; the session and the prompt follow."""
        self._speech, self._heard = "", list(turn.heard)
        self.call("initialize", protocolVersion=1, clientInfo=_CLIENT, clientCapabilities=_CANNOT)
        return ()

    def send(self, text: str) -> Step:
        """It is told when its answer to what it was told before is over: the turn goes on with that."""
        if self.memory.activity is None or self.memory.outcome:
            raise UnsupportedError(f"a {self.name} agent can be told something only while its turn goes on")
        self._heard.append(text)
        return Step()

    def interrupt(self) -> Step:
        """Its turn ends, cancelled."""
        self.notify("session/cancel", sessionId=self.memory.session)
        return self.step(())

    # --- what it says -----------------------------------------------------------------------------------------

    def recall(self, events: Iterable[Event]) -> None:
        """Learns, too, what the model is saying."""
        for event in events:
            match event:
                case AssistantDelta(text=text, reasoning=False):
                    self._speech = (self._speech + text)[:MOST_TEXT]
                case AssistantMessage() | TurnEnded() | SessionOpened() | AgentStarted():
                    self._speech = ""
                case _:
                    pass
            super().recall((event,))

    def answered(self, method: str, note: str, result: dict[str, Any]) -> Iterable[Event] | None:
        """The handshake, step by step, and the turn's end. The note is the program's version."""
        match method:
            case "initialize":
                version = str((result.get("agentInfo") or {}).get("version") or "")
                where = {"cwd": self.place.workspace, "mcpServers": self.servers()}
                if self.turn.resume and self.turn.session:
                    self.call(self.going_on, version, sessionId=self.turn.session, **where)
                else:
                    self.call("session/new", version, **where)
                return ()
            case "session/new" | "session/load" | "session/resume":
                return self.entered(note, str(result.get("sessionId") or self.turn.session))
            case "session/prompt":
                return self._answer_ended(result, given=int(note or 0))
            case _:
                return None

    def failed(self, method: str, error: dict[str, Any]) -> Iterable[Event] | None:
        """The turn has failed, or has not begun. One whose model hung up goes on a few times, asked in the same session."""
        self.session_refused = self.session_refused or method == self.going_on
        if method not in _HANDSHAKE - {self.going_on}:
            return None
        data = error.get("data")
        details = data.get("details") if isinstance(data, dict) else None
        text = "\n".join(str(part) for part in (error.get("message"), details) if part)
        if method == "session/prompt" and self._breaks < _MOST_BREAKS and self._says_it_broke_off(text):
            return self._gone_on(text)
        reason = "error" if method == "session/prompt" else f"{method} refused"
        return self.turn_over(False, reason, text or text_of(error))

    def noticed(self, method: str, params: dict[str, Any]) -> Iterable[Event] | None:
        """One kind of notice: the session goes on."""
        if method != "session/update":
            return None
        if self.memory.activity is None:
            return ()  # the session's past is told again
        update = params["update"]
        match update["sessionUpdate"]:
            case "agent_message_chunk":
                return self.delta(text_in(update["content"]))
            case "agent_thought_chunk":
                return self.thought(text_in(update["content"]))
            case "tool_call" | "tool_call_update":
                return self.tool(update)
            case "plan":
                return self.then(AssistantMessage(round=self.memory.round, text=text_of(update["entries"])))
            case "user_message_chunk" | "available_commands_update" | "current_mode_update":
                return ()
            case _:
                return None

    def thought(self, text: str) -> Iterable[Event]:
        """What the model thinks."""
        return self.then(Reasoning(round=self.memory.round, text=text_of(text)))

    def asked(self, question: str, method: str, params: dict[str, Any]) -> Iterable[Event] | None:
        """May a tool run?"""
        if method != "session/request_permission":
            return None
        call = self.called(params["toolCall"])
        asked = ApprovalAsked(
            round=self.memory.round, id=question, tool=call.tool, input=call.input, call=call.id
        )
        return self.then(*(() if call.id in self.memory.calls else (call,)), asked)

    def then(self, *events: Event) -> Iterable[Event]:
        """What the model was saying is whole before anything else happens."""
        if speech := self.unsaid:
            yield AssistantMessage(round=self.memory.round, text=text_of(speech))
        yield from events

    @property
    def unsaid(self) -> str:
        """What the model has said, and no event has whole."""
        return self._speech + ("" if self._reasoning else self._delta)

    def turn_over(self, ok: bool, reason: str, text: str, *counted: Event) -> Iterable[Event]:
        """The turn has ended, and with it whatever ran."""
        yield from self.then(*counted)
        for call in tuple(self.memory.calls.values()):
            yield ToolReturn(round=self.memory.round, id=call.id, tool=call.tool, ok=False, text=reason)
        yield TurnEnded(round=self.memory.round, ok=ok, reason=reason, text=text_of(text))

    def _says_it_broke_off(self, text: str) -> bool:
        return self.broken_off is not None and self.broken_off.search(text) is not None

    def _prompt(self, session: str, text: str, given: int) -> None:
        prompt = [{"type": "text", "text": text}]
        self.call("session/prompt", str(given or ""), sessionId=session, prompt=prompt)

    def _gone_on(self, text: str) -> Iterable[Event]:
        self._breaks += 1
        said = "\n\n".join((_GO_ON + self.turn.prompt, *self._heard))
        self._prompt(self.memory.session, said, given=len(self._heard))
        retried = ApiRetried(
            round=self.memory.round, number=self._breaks, delay_ms=None, status=None, text=text_of(text)
        )
        return self.then(retried)

    def _answer_ended(self, result: dict[str, Any], given: int) -> Iterable[Event]:
        """The turn is over, unless somebody said something meanwhile."""
        reason = str(result["stopReason"])
        if reason == "end_turn" and self._heard[given:]:
            self._prompt(self.memory.session, "\n\n".join(self._heard[given:]), given=len(self._heard))
            return self.then(*self.counted(result))
        text = self.unsaid[-MOST_TEXT:]
        return self.turn_over(reason == "end_turn", reason, text, *self.counted(result))


def text_in(content: dict[str, Any]) -> str:
    """The text of a block of content; of another kind its name."""
    return str(content["text"]) if content["type"] == "text" else f"[{content['type']}]"


def result_of(update: dict[str, Any]) -> str:
    """What a tool came to, as text."""
    parts = []
    for content in update.get("content") or ():
        if content.get("type") == "content":
            parts.append(text_in(content["content"]))
        elif content.get("type") == "diff":
            parts.append(str(content["path"]))
    return text_of("\n".join(parts))
