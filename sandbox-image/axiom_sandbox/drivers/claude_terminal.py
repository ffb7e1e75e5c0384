"""Claude Code on its terminal: titles and dialogs on the screen, the rest from the file of its session.

Read from screens and session files of the real program (tests/captures/claude). It works on the second screen, keeps a title
that begins with ✳ at rest and with a turning circle at work, and asks in a box at the screen's end. A No may be amended by
what it should do instead; without that a No ends the turn.

What this mode leaves out: the permission dialog is the program's own, so tools that it holds for harmless, or that settings in
the workspace allow, are not asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from axiom_sandbox.drivers.claude import ClaudeWords, turn_tokens
from axiom_sandbox.drivers.contract import Command, Place, Step, Turn
from axiom_sandbox.drivers.screen import Dialog, Face, ScreenDriver, Shown, choices_at_the_end, squeezed
from axiom_sandbox.drivers.versions import warning
from axiom_sandbox.protocol.agents import Activity, Fill, Signal, Tokens
from axiom_sandbox.protocol.channel import AgentProgram, HomeFile
from axiom_sandbox.protocol.events import (
    ApiRetried,
    Compacted,
    ContextFilled,
    Event,
    ModelCall,
    SessionOpened,
    ToolCall,
    Usage,
)
from axiom_sandbox.terminal.screens import View

_OPTIONS = ("--permission-mode", "default", "--disallowedTools", "AskUserQuestion")
_AT_REST = "✳"
_AT_WORK = "◐◓◑◒"
_RULE = re.compile(r"^[─━]{20,}$")
_TOOLS = {
    "bash command": "Bash",
    "create file": "Write",
    "overwrite file": "Write",
    "edit file": "Edit",
    "edit notebook": "NotebookEdit",
    "read file": "Read",
    "fetch": "WebFetch",
    "web search": "WebSearch",
}
"""Tools by the headings of their dialogs."""
_WRITING = frozenset({"Write", "Edit", "MultiEdit", "NotebookEdit"})
_TIP = re.compile(r"^Tip:")
_BUSY = re.compile(r"^\s*[·✢✳✶✻✽*] \S.*…|esc to interrupt|^\s*⎿\s+Tip:")
_BLINKING = re.compile(r"^[●⏺] ", re.MULTILINE)
"""Before a tool that runs, and for as long as its model is waited for."""
_RETRY = re.compile(r"API Error.*?(\d{3})?.*Retrying in", re.DOTALL)
_INTERRUPTED = "[Request interrupted by user"
_SILENT = frozenset(
    {
        *("agent-name", "ai-title", "api-request", "api-request-blob", "api-request-shape", "atis-latch"),
        *("attachment", "cost-state", "custom-title", "file-history-delta", "file-history-snapshot"),
        *("last-prompt", "mode", "permission-mode", "pr-link", "progress", "queue-operation", "summary"),
        *("tag", "tools-used"),
    }
)
_SILENT_SYSTEM = frozenset({"informational", "local_command", "stop_hook_summary", "away_summary"})


class ClaudeTerminalDriver(ClaudeWords, ScreenDriver):
    """Claude Code in mode Terminal."""

    amends = True
    compacts = True
    compaction = "/compact"

    def __init__(self, program: AgentProgram, place: Place) -> None:
        super().__init__(program, place)
        self._message = ""
        self._message_tokens = Tokens()

    # --- its process ------------------------------------------------------------------------------------------

    def command(self, turn: Turn) -> Command:
        """The class's command; the terminal is its standard input and output."""
        return self.started(turn, *_OPTIONS)

    def home_files(self) -> tuple[HomeFile, ...]:
        """No questions at the first run: on themes, on trust in the workspace, on the key."""
        settings = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "customApiKeyResponses": {"approved": [self.place.token[-20:]], "rejected": []},
            "projects": {
                self.place.workspace: {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
            },
        }
        return (HomeFile(path=".claude.json", content=json.dumps(settings, indent=2) + "\n"),)

    def record_files(self, turn: Turn) -> tuple[str, ...]:
        """One file for each session."""
        return (f".claude/projects/*/{turn.session or '*'}.jsonl",)

    def open(self, turn: Turn) -> Iterable[Event]:
        """As every agent on its terminal."""
        self._message, self._message_tokens = "", Tokens()
        return super().open(turn)

    # --- what it shows ----------------------------------------------------------------------------------------

    def read(self, view: View) -> Shown:
        """A dialog if there is one, else what the title says."""
        dialog = _dialog(view.lines)
        glyph = view.title.strip()[:1]
        if dialog:
            return Shown(Face.DIALOG, Signal.SCREEN, dialog, detail=dialog.tool)
        boxed = _input(view.lines)
        if glyph and glyph in _AT_WORK:
            trouble, detail = _trouble(view.lines)
            return Shown(
                Face.WORKING, Signal.TERMINAL_TITLE, input=boxed or "", trouble=trouble, detail=detail
            )
        if boxed is None or glyph != _AT_REST:
            return Shown(Face.UNKNOWN, Signal.SCREEN)
        return Shown(Face.READY, Signal.TERMINAL_TITLE, input=boxed)

    def concerns(self, call: ToolCall, dialog: Dialog) -> bool:
        """The same tool, and its command or path is what the dialog shows."""
        if call.tool != dialog.tool and not (call.tool in _WRITING and dialog.tool in _WRITING):
            return False
        shown = squeezed("".join(dialog.texts))
        given = call.input.get("command") or call.input.get("file_path") or call.input.get("notebook_path")
        if not isinstance(given, str) or not given:
            return True
        if call.tool in _WRITING:
            return squeezed(given.rsplit("/", 1)[-1]) in shown
        return squeezed(given)[:60] in shown

    def busy_line(self, line: str) -> bool:
        """Its spinner, with time and tokens."""
        return bool(_BUSY.search(line))

    def content(self, view: View) -> str:
        """Without the mark that blinks before a tool."""
        return _BLINKING.sub("  ", super().content(view))

    # --- what it writes into its session ----------------------------------------------------------------------

    def receive(self, message: dict[str, Any]) -> Iterable[Event] | None:
        """By type."""
        kind = message["type"]
        if message.get("isSidechain"):
            return ()
        if kind in ("user", "assistant", "system") and not self.memory.opened:
            return [self._opened(message), *(self._known(kind, message) or ())]
        return self._known(kind, message)

    def _opened(self, message: dict[str, Any]) -> Event:
        version = str(message.get("version") or "")
        return SessionOpened(
            round=self.memory.round,
            session=str(message["sessionId"]),
            version=version,
            warning=warning(self.name, version),
        )

    def _known(self, kind: str, message: dict[str, Any]) -> Iterable[Event] | None:
        match kind:
            case "assistant":
                return self._spoke(message)
            case "user":
                return self._came_back(message)
            case "system":
                return self._system(message)
            case _:
                return () if kind in _SILENT else None

    def _spoke(self, message: dict[str, Any]) -> Iterable[Event]:
        inner = message["message"]
        events = [self.said(block, message) for block in inner["content"]]
        if message.get("isApiErrorMessage"):
            self.said_over(failed="\n".join(getattr(event, "text", "") for event in events))
            return events
        used = self._counted(str(inner.get("id") or ""))
        self._message_tokens = turn_tokens(inner["usage"])
        return [*used, *events]

    def _counted(self, message: str) -> tuple[Event, ...]:
        """The tokens of the answer before, once another begins: each of its blocks repeats them."""
        if message == self._message:
            return ()
        tokens, before = self._message_tokens, self._message
        self._message, self._message_tokens = message, Tokens()
        if not before or tokens == Tokens():
            return ()
        number, used = self.memory.round, tokens.input + tokens.cached_input + tokens.cache_write
        return (
            ModelCall(round=number, tokens=tokens),
            ContextFilled(round=number, fill=Fill(used=used)),
            Usage(round=number, turn=tokens, total=self.memory.total + tokens),
        )

    def _came_back(self, message: dict[str, Any]) -> Iterable[Event]:
        content = message["message"]["content"]
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        if any(str(block.get("text") or "").startswith(_INTERRUPTED) for block in blocks):
            self.said_over(interrupted=True)
        return [self.returned(block) for block in blocks if block["type"] == "tool_result"]

    def _system(self, message: dict[str, Any]) -> Iterable[Event] | None:
        match message["subtype"]:
            case "turn_duration":
                self.said_over()
                return self._counted("")
            case "api_error":
                status = (message.get("error") or {}).get("status")
                return [
                    ApiRetried(
                        round=self.memory.round,
                        number=int(message.get("retryAttempt") or 1),
                        delay_ms=round(message["retryInMs"]) if message.get("retryInMs") else None,
                        status=int(status) if isinstance(status, int) else None,
                    )
                ]
            case "compact_boundary":
                about = message["compactMetadata"]
                return [
                    Compacted(
                        round=self.memory.round,
                        trigger=str(about["trigger"]),
                        tokens_before=about.get("preTokens"),
                    )
                ]
            case subtype:
                return () if subtype in _SILENT_SYSTEM else None

    def ended(self) -> Step:
        """With the tokens of the last answer."""
        return self.step(self._counted("")) + super().ended()


def _dialog(lines: tuple[str, ...]) -> Dialog | None:
    found = choices_at_the_end(lines)
    if found is None:
        return None
    first, labels, chosen = found
    yes = next(
        (index for index, label in enumerate(labels) if label.strip() in ("Yes", "Yes, proceed")), None
    )
    no = next((index for index, label in enumerate(labels) if re.match(r"No\b", label)), None)
    if yes is None and no is None:
        return None
    top = next((index for index in range(first, -1, -1) if _RULE.match(lines[index].strip())), -1)
    body = [
        line.strip() for line in lines[top + 1 : first] if line.strip() and not set(line.strip()) <= {"╌"}
    ]
    body = [line for line in body if not _TIP.match(line)]
    heading = body[0] if body else ""
    return Dialog(
        tool=_TOOLS.get(heading.lower(), heading[:80] or "unknown"),
        texts=tuple(body[1:]),
        choices=labels,
        chosen=chosen,
        yes=yes,
        no=no,
    )


def _input(lines: tuple[str, ...]) -> str | None:
    """What stands in the box at the end; None: there is none."""
    rules = [index for index, line in enumerate(lines) if _RULE.match(line.strip())]
    if len(rules) < 2 or not lines[rules[-2] + 1].startswith("❯"):
        return None
    return "\n".join(line[2:] for line in lines[rules[-2] + 1 : rules[-1]]).strip()


def _trouble(lines: tuple[str, ...]) -> tuple[Activity | None, str]:
    """What it says while it tries again."""
    for line in reversed(lines):
        if "Retrying in" in line or "retrying in" in line.lower():
            limited = "429" in line or "rate limit" in line.lower() or "529" in line
            return (Activity.RATE_LIMITED if limited else Activity.API_UNREACHABLE), line.strip()
    return None, ""
