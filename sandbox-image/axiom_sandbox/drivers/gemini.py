"""Gemini CLI: `gemini --acp`, the Agent Client Protocol over standard input and output.

The messages were recorded from the real program (tests/captures/gemini). It asks for approval only in its mode `default`,
which it is put into where the class does not allow everything; tools that only read are never asked for.

What this agent does not say: that its model lets it wait or does not answer (it is silent then), what a command printed or
its exit code, that a tool was lost with its process, and how much of its input came from a cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from axiom_sandbox.drivers.contract import Command, Place, Step, Turn
from axiom_sandbox.drivers.expanding import MCP_TOKEN, environment, expand, mcp_addresses, variables
from axiom_sandbox.drivers.json_lines import MOST_TEXT, JsonLinesDriver, input_of, text_of
from axiom_sandbox.drivers.json_rpc import JsonRpcDriver
from axiom_sandbox.drivers.statements import command_ran, file_written
from axiom_sandbox.drivers.versions import warning
from axiom_sandbox.protocol.agents import DriverName, Statement, Tokens
from axiom_sandbox.protocol.approvals import Permission
from axiom_sandbox.protocol.channel import AgentProgram, HomeFile
from axiom_sandbox.protocol.events import (
    AgentStarted,
    ApprovalAsked,
    ApprovalGiven,
    AssistantDelta,
    AssistantMessage,
    Event,
    Reasoning,
    SessionOpened,
    ToolCall,
    ToolReturn,
    TurnEnded,
    Usage,
)

_CLIENT = {"name": "axiom", "title": "Axiom", "version": "1"}
_CANNOT = {"fs": {"readTextFile": False, "writeTextFile": False}}
_HANDSHAKE = frozenset({"initialize", "session/new", "session/set_mode", "session/prompt"})
_SETTINGS = {
    "general": {
        "enableAutoUpdate": False,
        "enableAutoUpdateNotification": False,
        "sessionRetention": {"enabled": False},
    },
    "privacy": {"usageStatisticsEnabled": False},
    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
    "telemetry": {"enabled": False},
}
_WRITING = frozenset({"write_file", "replace"})
_CANCELLED = "Command cancelled by user."
_NO_SUBJECT = "****\n"
"""What the program puts before a thought that its vendor gave no subject."""
PRESET = {
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
    "GEMINI_CLI_NO_RELAUNCH": "true",  # would start itself once more, with a larger heap
}
KEEP = """\
for file in "$HOME"/.gemini/tmp/*/chats/session-*.jsonl; do
  case $file in *.kept.jsonl) ;; *) [ -e "$file" ] && mv -n "$file" "${file%.jsonl}.kept.jsonl" ;; esac
done
exec "$@"
"""
"""The record of a session is named by the minute of its beginning and the beginning of its id. In that minute, the program would
begin a new record under the same name before it looks for the one to go on with; and at each start it deletes all records whose
names end like that of one in which nothing was said, as every process that goes on leaves one."""


class GeminiWords(JsonLinesDriver):
    """What is the same in messages and on its terminal."""

    name = DriverName.GEMINI

    def home_files(self) -> tuple[HomeFile, ...]:
        """No questions at the first run, no telemetry, no updates."""
        headers = {"Authorization": f"Bearer ${{{MCP_TOKEN}}}"}
        servers = {
            name: {"httpUrl": url, "headers": headers}
            for name, url in mcp_addresses(self.place, self.program).items()
        }
        settings = {**_SETTINGS, **({"mcpServers": servers} if servers else {})}
        return (HomeFile(path=".gemini/settings.json", content=json.dumps(settings, indent=2) + "\n"),)

    def statements_of(self, call: ToolCall, result: ToolReturn) -> tuple[Statement, ...]:
        """Files that were written, commands that were run."""
        if "command" in call.input:
            return (command_ran(str(call.input["command"]), result.ok),)
        path = call.input.get("path") or call.input.get("file_path")
        if call.tool in _WRITING and path:
            return (file_written(str(path), self.place.workspace, result.ok),)
        return ()


class GeminiDriver(GeminiWords, JsonRpcDriver):
    """Gemini CLI in structured mode."""

    marks = {"jsonrpc": "2.0"}

    def __init__(self, program: AgentProgram, place: Place) -> None:
        super().__init__(program, place)
        self._speech = ""
        """What the model is saying, as far as it was emitted in pieces."""

    # --- its process ------------------------------------------------------------------------------------------

    def command(self, turn: Turn) -> Command:
        """The class's command as an ACP agent. With a session, a shell comes before it."""
        known = variables(self.place)
        program = (*self.program.command, "--acp")
        before = ("sh", "-c", KEEP, "sh") if turn.resume and turn.session else ()
        return Command(
            argv=(*before, *(expand(argument, known) for argument in program)),
            shown_argv=program,
            env=environment(self.place, self.program, **PRESET),
            pipe_in=True,
            pipe_out=True,
        )

    def open(self, turn: Turn) -> Iterable[Event]:
        """Shakes hands; the session and the prompt follow."""
        self._speech = ""
        self.call("initialize", protocolVersion=1, clientInfo=_CLIENT, clientCapabilities=_CANNOT)
        return ()

    # --- what it is told --------------------------------------------------------------------------------------

    def interrupt(self) -> Step:
        """Its turn ends, cancelled."""
        self.notify("session/cancel", sessionId=self.memory.session)
        return self.step(())

    def decided(self, question: ApprovalAsked, allowed: bool) -> dict[str, Any]:
        """One of the options that this program always offers."""
        return {"outcome": {"outcome": "selected", "optionId": "proceed_once" if allowed else "cancel"}}

    def after_answer(self, question: ApprovalAsked, given: ApprovalGiven) -> Iterable[Event]:
        """The program never says what became of a tool that was denied."""
        if given.permission is Permission.DENY and question.call in self.memory.calls:
            yield ToolReturn(
                round=given.round, id=question.call, tool=question.tool, ok=False, text=given.message
            )

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
        where = {"cwd": self.place.workspace, "mcpServers": []}
        match method:
            case "initialize":
                version = str((result.get("agentInfo") or {}).get("version") or "")
                if self.turn.resume and self.turn.session:
                    self.call("session/load", version, sessionId=self.turn.session, **where)
                else:
                    self.call("session/new", version, **where)
                return ()
            case "session/new" | "session/load":
                session = str(result.get("sessionId") or self.turn.session)
                asks = self.program.approvals.default is not Permission.ALLOW or self.program.approvals.rules
                mode = "default" if asks else "yolo"
                note = f"{note}#{session}"
                self.call("session/set_mode", note, sessionId=session, modeId=mode)
                return ()
            case "session/set_mode":  # behind it, what is said of a session is not its past any more
                version, _, session = note.partition("#")
                opened = SessionOpened(
                    round=self.memory.round,
                    session=session,
                    version=version,
                    warning=warning(self.name, version),
                )
                prompt = [{"type": "text", "text": self.turn.prompt}]
                self.call("session/prompt", sessionId=session, prompt=prompt)
                return [opened]
            case "session/prompt":
                return self._ended(result)
            case _:
                return None

    def failed(self, method: str, error: dict[str, Any]) -> Iterable[Event] | None:
        """The turn has failed, or has not begun."""
        self.session_refused = self.session_refused or method == "session/load"
        if method not in _HANDSHAKE:
            return None
        data = error.get("data")
        details = data.get("details") if isinstance(data, dict) else None
        text = "\n".join(str(part) for part in (error.get("message"), details) if part)
        reason = "error" if method == "session/prompt" else f"{method} refused"
        return self._turn_over(False, reason, text or text_of(error))

    def noticed(self, method: str, params: dict[str, Any]) -> Iterable[Event] | None:
        """One kind of notice: the session goes on."""
        if method != "session/update":
            return None
        if self.memory.activity is None:
            return ()  # the session's past is told again
        update = params["update"]
        match update["sessionUpdate"]:
            case "agent_message_chunk":
                return self.delta(_text(update["content"]))
            case "agent_thought_chunk":
                thought = _text(update["content"]).removeprefix(_NO_SUBJECT)
                return self._then(Reasoning(round=self.memory.round, text=text_of(thought)))
            case "tool_call" | "tool_call_update":
                return self._tool(update)
            case "plan":
                return self._then(AssistantMessage(round=self.memory.round, text=text_of(update["entries"])))
            case "user_message_chunk" | "available_commands_update" | "current_mode_update":
                return ()
            case _:
                return None

    def asked(self, question: str, method: str, params: dict[str, Any]) -> Iterable[Event] | None:
        """May a tool run?"""
        if method != "session/request_permission":
            return None
        call = self._call(params["toolCall"])
        asked = ApprovalAsked(
            round=self.memory.round, id=question, tool=call.tool, input=call.input, call=call.id
        )
        return self._then(*(() if call.id in self.memory.calls else (call,)), asked)

    def _tool(self, update: dict[str, Any]) -> Iterable[Event]:
        call = self._call(update)
        known = call.id in self.memory.calls
        status = update.get("status")
        if status not in ("completed", "failed"):
            return () if known else self._then(call)
        text = _result(update)
        returned = ToolReturn(
            round=self.memory.round,
            id=call.id,
            tool=call.tool,
            ok=status == "completed" and text != _CANCELLED,
            text=text,
        )
        return self._then(*(() if known else (call,)), returned)

    def _call(self, about: dict[str, Any]) -> ToolCall:
        """The program names no tool; its ids begin with the name. Nor does it give the input, but what it would show of it."""
        identifier = str(about["toolCallId"])
        name, found, _ = identifier.partition("__")
        given: dict[str, Any] = {"title": about.get("title") or ""}
        if about.get("kind") == "execute":
            given = {"command": given["title"]}
        for content in about.get("content") or ():
            if content.get("type") == "diff":
                given |= {"path": content["path"], "content": content.get("newText") or ""}
        places = [str(place["path"]) for place in about.get("locations") or ()]
        if places and "path" not in given:
            given["path"] = places[0]
        tool = name if found else str(about.get("kind") or "tool")
        return ToolCall(round=self.memory.round, id=identifier, tool=tool, input=input_of(given))

    def _then(self, *events: Event) -> Iterable[Event]:
        """What the model was saying is whole before anything else happens."""
        speech = self._speech + self._delta
        if speech:
            yield AssistantMessage(round=self.memory.round, text=text_of(speech))
        yield from events

    def _ended(self, result: dict[str, Any]) -> Iterable[Event]:
        reason = str(result["stopReason"])
        text = (self._speech + self._delta)[-MOST_TEXT:]
        counted = ((result.get("_meta") or {}).get("quota") or {}).get("token_count")
        yield from self._turn_over(reason == "end_turn", reason, text, counted)

    def _turn_over(
        self, ok: bool, reason: str, text: str, counted: dict[str, Any] | None = None
    ) -> Iterable[Event]:
        number = self.memory.round
        yield from self._then()
        if counted is not None:
            turn = Tokens(input=counted["input_tokens"], output=counted["output_tokens"])
            yield Usage(round=number, turn=turn, total=self.memory.total + turn)
        for call in tuple(self.memory.calls.values()):
            yield ToolReturn(round=number, id=call.id, tool=call.tool, ok=False, text=reason)
        yield TurnEnded(round=number, ok=ok, reason=reason, text=text_of(text))


def _text(content: dict[str, Any]) -> str:
    return str(content["text"]) if content["type"] == "text" else f"[{content['type']}]"


def _result(update: dict[str, Any]) -> str:
    parts = []
    for content in update.get("content") or ():
        if content.get("type") == "content":
            parts.append(_text(content["content"]))
        elif content.get("type") == "diff":
            parts.append(str(content["path"]))
    return text_of("\n".join(parts))
