"""Gemini CLI: `gemini --acp`, the Agent Client Protocol over standard input and output.

The messages were recorded from the real program (tests/captures/gemini). It asks for approval only in its mode `default`,
which it is put into where the class does not allow everything; tools that only read are never asked for.

What this agent does not say: that its model lets it wait or does not answer (it is silent then), what a command printed or
its exit code, that a tool was lost with its process, and how much of its input came from a cache.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from axiom_sandbox.drivers.acp import AcpDriver, result_of
from axiom_sandbox.drivers.contract import Command, Turn
from axiom_sandbox.drivers.expanding import MCP_TOKEN, environment, expand, mcp_addresses, variables
from axiom_sandbox.drivers.json_lines import JsonLinesDriver, input_of
from axiom_sandbox.drivers.statements import command_ran, file_written
from axiom_sandbox.protocol.agents import DriverName, Fill, Statement, Tokens
from axiom_sandbox.protocol.approvals import Permission
from axiom_sandbox.protocol.channel import ContextAct, HomeFile
from axiom_sandbox.protocol.events import (
    ApprovalAsked,
    ApprovalGiven,
    ContextFilled,
    Event,
    ModelCall,
    ToolCall,
    ToolReturn,
    Usage,
)

_SETTINGS = {
    "general": {
        "enableAutoUpdate": False,
        "enableAutoUpdateNotification": False,
        "sessionRetention": {"enabled": False},
    },
    "privacy": {"usageStatisticsEnabled": False},
    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
    "telemetry": {"enabled": False},
    # how long a tool may be silent is the class's affair; it would end one after five minutes
    "tools": {"shell": {"inactivityTimeout": 86400}},
}
WINDOW = 1_048_576
"""Tokens: what the program takes every Gemini model to hold."""
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
    compacts_by_itself = True
    forgets_interrupted = True

    def home_files(self) -> tuple[HomeFile, ...]:
        """No questions at the first run, no telemetry, no updates."""
        headers = {"Authorization": f"Bearer ${{{MCP_TOKEN}}}"}
        servers = {
            name: {"httpUrl": url, "headers": headers}
            for name, url in mcp_addresses(self.place, self.program).items()
        }
        settings = {**_SETTINGS, **({"mcpServers": servers} if servers else {})}
        if (policy := self.program.context) and policy.act is ContextAct.COMPACT:
            settings["model"] = {"compressionThreshold": policy.percent / 100}
        return (HomeFile(path=".gemini/settings.json", content=json.dumps(settings, indent=2) + "\n"),)

    def statements_of(self, call: ToolCall, result: ToolReturn) -> tuple[Statement, ...]:
        """Files that were written, commands that were run."""
        if "command" in call.input:
            return (command_ran(str(call.input["command"]), result.ok),)
        path = call.input.get("path") or call.input.get("file_path")
        if call.tool in _WRITING and path:
            return (file_written(str(path), self.place.workspace, result.ok),)
        return ()


class GeminiDriver(GeminiWords, AcpDriver):
    """Gemini CLI in structured mode."""

    broken_off = re.compile(
        r"^terminated$|fetch failed|other side closed|socket hang up|premature close|ECONNRESET",
        re.IGNORECASE,
    )

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

    # --- what it is told --------------------------------------------------------------------------------------

    def entered(self, version: str, session: str) -> Iterable[Event]:
        """Its mode comes first; behind the answer, what is said of the session is not its past any more."""
        asks = self.program.approvals.default is not Permission.ALLOW or self.program.approvals.rules
        mode = "default" if asks else "yolo"
        self.call("session/set_mode", f"{version}#{session}", sessionId=session, modeId=mode)
        return ()

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

    def answered(self, method: str, note: str, result: dict[str, Any]) -> Iterable[Event] | None:
        """The mode is a step of the handshake."""
        if method != "session/set_mode":
            return super().answered(method, note, result)
        version, _, session = note.partition("#")
        return super().entered(version, session)

    def thought(self, text: str) -> Iterable[Event]:
        """Without what stands before one that has no subject."""
        return super().thought(text.removeprefix(_NO_SUBJECT))

    def tool(self, update: dict[str, Any]) -> Iterable[Event]:
        """Calls and returns."""
        call = self.called(update)
        known = call.id in self.memory.calls
        status = update.get("status")
        if status not in ("completed", "failed"):
            return () if known else self.then(call)
        text = result_of(update)
        returned = ToolReturn(
            round=self.memory.round,
            id=call.id,
            tool=call.tool,
            ok=status == "completed" and text != _CANCELLED,
            text=text,
        )
        return self.then(*(() if known else (call,)), returned)

    def called(self, about: dict[str, Any]) -> ToolCall:
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

    def counted(self, result: dict[str, Any]) -> Iterable[Event]:
        """Tokens of this turn."""
        counted = ((result.get("_meta") or {}).get("quota") or {}).get("token_count")
        if counted is not None:
            number, turn = (
                self.memory.round,
                Tokens(input=counted["input_tokens"], output=counted["output_tokens"]),
            )
            yield ModelCall(round=number, tokens=turn)
            if not self.memory.has_acted:  # one call of the model: of several it tells the sum alone
                yield ContextFilled(round=number, fill=Fill(used=turn.input, window=WINDOW))
            yield Usage(round=self.memory.round, turn=turn, total=self.memory.total + turn)
