"""Gemini CLI on its terminal: titles and dialogs on the screen, the rest from the record of its chat.

Read from screens and records of the real program (tests/captures/gemini). Its title says what it does: ◇ Ready, ✦ Working, ✋
Action Required. The record tells of a tool when it is over, so what is asked about is read off the dialog: the tool's display
name, and what the box shows of its input. It asks where the class has rules; tools that only read are never asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from axiom_sandbox.drivers.contract import Command, Place, Turn
from axiom_sandbox.drivers.expanding import environment, expand, variables
from axiom_sandbox.drivers.gemini import KEEP, PRESET, WINDOW, GeminiWords
from axiom_sandbox.drivers.json_lines import input_of, text_of
from axiom_sandbox.drivers.screen import Dialog, Face, ScreenDriver, Shown, choices_at_the_end
from axiom_sandbox.drivers.versions import warning
from axiom_sandbox.protocol.agents import Activity, Fill, Signal, Tokens
from axiom_sandbox.protocol.approvals import Permission
from axiom_sandbox.protocol.channel import AgentProgram
from axiom_sandbox.protocol.events import (
    AssistantMessage,
    ContextFilled,
    Event,
    ModelCall,
    Reasoning,
    SessionOpened,
    ToolCall,
    ToolReturn,
    Usage,
)
from axiom_sandbox.terminal.screens import View

_READY, _WORKING, _ASKING = "◇", "✦", "✋"
_TOOLS = {
    "Shell": "run_shell_command",
    "WriteFile": "write_file",
    "Edit": "replace",
    "Replace": "replace",
    "ReadFile": "read_file",
    "ReadFolder": "list_directory",
    "WebFetch": "web_fetch",
    "GoogleSearch": "google_web_search",
    "SaveMemory": "save_memory",
}
"""Tools by the names that it displays."""
_BOX = re.compile(r"^[\s│╭╰─╮╯▀▄]*(.*?)[\s│╮╯─▀▄]*$")
_HEAD = re.compile(r"^\s*│?\s*\?\s+(\S+)\s*(.*?)\s*│?\s*$")
_RUNNING = re.compile(r"^\s*│?\s*⊷\s+(\S+)")
_BUSY = re.compile(r"esc to cancel")
_TROUBLE = re.compile(r"(?:Trying to reach|Retrying|attempt \d+|rate limit|quota).*", re.IGNORECASE)
_VERSION = re.compile(r"Gemini CLI v(\d[\w.-]*)")
_RULE = re.compile(r"^[─━▀▄]{20,}$")
_SILENT = frozenset(
    {"info", "warning", "about", "help", "stats", "model_stats", "tool_stats", "quit", "compression"}
)


class GeminiTerminalDriver(GeminiWords, ScreenDriver):
    """Gemini CLI in mode Terminal."""

    folds_in = False
    escape = (
        b"\x1b"  # it asks for the keyboard protocol that would write it otherwise, and does not understand it
    )
    calls_come_first = False
    over_seconds = 3.0
    rest_seconds = 20.0

    def __init__(self, program: AgentProgram, place: Place) -> None:
        super().__init__(program, place)
        self._session = self._version = ""
        self._told: dict[str, bool] = {}
        """Messages of the record by id; whether their tools were told, too."""

    # --- its process ------------------------------------------------------------------------------------------

    def command(self, turn: Turn) -> Command:
        """The class's command, which asks if there is anything to ask for. With a session, a shell comes before it."""
        approvals, known = self.program.approvals, variables(self.place)
        asks = approvals.rules or approvals.default is not Permission.ALLOW
        session = ("--resume" if turn.resume else "--session-id", turn.session) if turn.session else ()
        program = (*self.program.command, "--approval-mode", "default" if asks else "yolo", *session)
        before = ("sh", "-c", KEEP, "sh") if turn.resume and turn.session else ()
        return Command(
            argv=(*before, *(expand(argument, known) for argument in program)),
            shown_argv=program,
            env=environment(self.place, self.program, **PRESET),
        )

    def record_files(self, turn: Turn) -> tuple[str, ...]:
        """One by its minute. One that is gone on with was renamed, and each process begins another that it leaves empty."""
        every = ".gemini/tmp/*/chats/session-*.jsonl"
        return (every.replace(".jsonl", ".kept.jsonl"), every) if turn.resume and turn.session else (every,)

    def open(self, turn: Turn) -> Iterable[Event]:
        """As every agent on its terminal. The record that is gone on with is not announced again."""
        self._told.clear()
        self._session = turn.session if turn.resume else ""
        return super().open(turn)

    # --- what it shows ----------------------------------------------------------------------------------------

    def glance(self, view: View) -> None:
        """Its version stands above the first prompt, and nowhere else."""
        if not self._version:
            found = (match for line in view.lines if (match := _VERSION.search(line)))
            self._version = next((match[1] for match in found), "")

    def read(self, view: View) -> Shown:
        """By its title, and the dialog that stands at the end."""
        glyph, typed = view.title.strip()[:1], _input(view.lines)
        dialog = _dialog(view.lines)
        if dialog:
            return Shown(Face.DIALOG, Signal.SCREEN, dialog, detail=dialog.tool)
        if glyph == _ASKING:
            return Shown(Face.DIALOG, Signal.TERMINAL_TITLE, detail="a question that is not known")
        if glyph == _WORKING:
            tools = [match[1] for line in view.lines if (match := _RUNNING.match(line))]
            trouble = next((line.strip() for line in reversed(view.lines) if _TROUBLE.search(line)), "")
            limited = "limit" in trouble.lower() or "quota" in trouble.lower()
            return Shown(
                Face.WORKING,
                Signal.TERMINAL_TITLE,
                input=typed or "",
                tool=_TOOLS.get(tools[-1], tools[-1]) if tools else "",
                trouble=(Activity.RATE_LIMITED if limited else Activity.API_UNREACHABLE) if trouble else None,
                detail=trouble,
            )
        if glyph != _READY or typed is None:
            return Shown(Face.UNKNOWN, Signal.SCREEN)
        return Shown(Face.READY, Signal.TERMINAL_TITLE, input=typed)

    def busy_line(self, line: str) -> bool:
        """Its spinner."""
        return bool(_BUSY.search(line))

    # --- what it writes into its record -----------------------------------------------------------------------

    def receive(self, message: dict[str, Any]) -> Iterable[Event] | None:
        """Messages; a record is written again, whole, when something of it has changed."""
        if "sessionId" in message:
            self._session = str(message["sessionId"])
            return ()
        kind = message.get("type")
        if "$set" in message or "$rewindTo" in message:
            return ()
        if kind == "user":
            return self._opened()
        if kind == "gemini":
            return [*self._opened(), *self._spoke(message)]
        if kind == "error":
            self.said_over(failed=str(message.get("content") or "error"))
            return ()
        return () if kind in _SILENT else None

    def _opened(self) -> tuple[Event, ...]:
        """Its version it says on the screen alone, so a session is announced with the first message."""
        memory = self.memory
        if memory.opened or not self._session:
            return ()
        version = self._version or memory.version
        return (
            SessionOpened(
                round=memory.round,
                session=self._session,
                version=version,
                warning=warning(self.name, version),
            ),
        )

    def _spoke(self, message: dict[str, Any]) -> Iterable[Event]:
        number, key = self.memory.round, str(message["id"])
        content, counted = message.get("content"), message.get("tokens")
        if not isinstance(content, str) or not isinstance(counted, dict):
            return  # a part of the conversation that is written down once more
        if key not in self._told:
            self._told[key] = False
            for thought in message.get("thoughts") or ():
                text = f"{thought.get('subject') or ''}\n{thought.get('description') or ''}".strip()
                yield Reasoning(round=number, text=text_of(text))
            self._said_over = bool(content.strip())  # without words it is about to use a tool
            if content:
                yield AssistantMessage(round=number, text=text_of(content))
            turn = Tokens(
                input=max(int(counted.get("input") or 0) - int(counted.get("cached") or 0), 0),
                cached_input=int(counted.get("cached") or 0),
                output=int(counted.get("output") or 0) + int(counted.get("thoughts") or 0),
                reasoning=int(counted.get("thoughts") or 0),
            )
            if turn != Tokens():
                yield ModelCall(round=number, tokens=turn)
                yield ContextFilled(
                    round=number, fill=Fill(used=turn.input + turn.cached_input, window=WINDOW)
                )
                yield Usage(round=number, turn=turn, total=self.memory.total + turn)
        if not self._told[key] and message.get("toolCalls"):
            self._told[key] = True
            for call in message["toolCalls"]:
                yield from self._tool(call)

    def _tool(self, call: dict[str, Any]) -> Iterable[Event]:
        number, call_id, name = self.memory.round, str(call["id"]), str(call["name"])
        yield ToolCall(round=number, id=call_id, tool=name, input=input_of(call.get("args") or {}))
        status = str(call.get("status") or "")
        yield ToolReturn(
            round=number, id=call_id, tool=name, ok=status == "success", text=text_of(_output(call) or status)
        )


def _output(call: dict[str, Any]) -> str:
    parts = []
    for part in call.get("result") or ():
        response = (part.get("functionResponse") or {}).get("response") if isinstance(part, dict) else None
        if isinstance(response, dict):
            parts.append(str(response.get("output") or response.get("error") or ""))
    return "\n".join(parts)


def _dialog(lines: tuple[str, ...]) -> Dialog | None:
    found = choices_at_the_end(lines)
    if found is None:
        return None
    first, labels, chosen = found
    top, head = next(
        ((index, match) for index in range(first - 1, -1, -1) if (match := _HEAD.match(lines[index]))),
        (0, None),
    )
    if head is None:
        return None
    body = (_inner(line) for line in lines[top + 1 : first])
    return Dialog(
        tool=_TOOLS.get(head[1], head[1]),
        texts=tuple(text for text in (head[2], *body) if text),
        choices=labels,
        chosen=chosen,
        yes=next((index for index, label in enumerate(labels) if label.startswith("Allow once")), None),
        no=next((index for index, label in enumerate(labels) if label.startswith("No")), None),
    )


def _inner(line: str) -> str:
    match = _BOX.match(line)
    return match[1].strip("│ ") if match else line.strip()


def _input(lines: tuple[str, ...]) -> str | None:
    """What stands behind the prompt sign at the end; None: there is none."""
    starts = [index for index, line in enumerate(lines) if re.match(r"^\s*[>*!] ", line + " ")]
    if not starts:
        return None
    typed = [lines[starts[-1]].strip()[1:].strip()]
    for line in lines[starts[-1] + 1 :]:
        if not line.strip() or _RULE.match(line.strip()) or not line.startswith("   "):
            break
        typed.append(line.strip())
    text = "\n".join(typed).strip()
    return "" if text.startswith("Type your message") else text
