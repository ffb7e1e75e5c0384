"""Codex on its terminal: titles and dialogs on the screen, the rest from the record of its session.

Read from screens and records of the real program (tests/captures/codex). Its title turns while it works and says `Action
Required` while it asks. With rules, the workspace is declared untrusted to it: then it asks before each change of files and
before each command that it does not know for harmless, takes no configuration from the workspace, and says so once at its
start, on a screen that is left by Enter. Its own sandbox is off, as the sandbox around it is the boundary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from axiom_sandbox.drivers.codex import QUIET, CodexWords, fill_of, tokens
from axiom_sandbox.drivers.contract import Command, Turn
from axiom_sandbox.drivers.expanding import environment, expand, variables
from axiom_sandbox.drivers.json_lines import input_of, text_of
from axiom_sandbox.drivers.screen import (
    ENTER,
    Dialog,
    Face,
    ScreenDriver,
    Shown,
    choices_at_the_end,
    squeezed,
)
from axiom_sandbox.drivers.versions import warning
from axiom_sandbox.protocol.agents import Activity, Signal, Tokens
from axiom_sandbox.protocol.approvals import Permission
from axiom_sandbox.protocol.events import (
    ApiRetried,
    AssistantMessage,
    Compacted,
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

_SPINNER = re.compile(r"^[⠀-⣿] ")
_BUSY = re.compile(r"esc to interrupt|^\s*[•◦] Working")
_TROUBLE = re.compile(
    r"Reconnecting\.*\s*\d+/\d+.*|stream (?:error|disconnected).*|429 Too Many.*", re.IGNORECASE
)
_COMMANDS = frozenset({"exec_command", "shell", "local_shell", "container.exec", "shell_command"})
_EXIT = re.compile(r"(?:Process exited with code|Exit code:?)\s+(-?\d+)")
_REFUSED = re.compile(r"^(?:rejected|aborted)|rejected by user", re.IGNORECASE)
_SILENT = frozenset(
    {"world_state", "turn_context", "response_item", "event_msg", "session_meta", "token_usage_record"}
)
_SILENT_EVENTS = frozenset(
    {
        *("task_started", "thread_settings_applied", "user_message", "agent_message"),
        *(
            "agent_reasoning",
            "agent_reasoning_raw_content",
            "item_completed",
            "item_started",
            "thread_name_updated",
        ),
        *(
            "exec_command_begin",
            "exec_command_end",
            "patch_apply_begin",
            "patch_apply_end",
            "context_compacted",
        ),
        *("entered_review_mode", "exited_review_mode", "turn_diff", "web_search_begin", "web_search_end"),
    }
)
_MORE = re.compile(r"\s{2,}[↑↓]$")
"""Stands at the edge where an input has more lines than are shown."""
_SILENT_ITEMS = frozenset({"ghost_snapshot", "compaction", "tool_search_output"})


class CodexTerminalDriver(CodexWords, ScreenDriver):
    """Codex in mode Terminal."""

    compacts = True
    compaction = "/compact"

    # --- its process ------------------------------------------------------------------------------------------

    @property
    def _asks(self) -> bool:
        approvals = self.program.approvals
        return bool(approvals.rules) or approvals.default is not Permission.ALLOW

    def command(self, turn: Turn) -> Command:
        """The class's command, with options that keep it from asking anything at its start."""
        known = variables(self.place)
        trusted = {self.place.workspace: {"trust_level": "untrusted" if self._asks else "trusted"}}
        settings = (*QUIET, f"projects={_toml(trusted)}", f"notice.model_migrations={_toml(_MIGRATED)}")
        options = (
            *(() if self._asks else ("--ask-for-approval", "never")),
            *("--sandbox", "danger-full-access"),
            *(part for setting in settings for part in ("-c", setting)),
            *self.mcp_options(),
        )
        session = ("resume", turn.session) if turn.resume and turn.session else ()
        return Command(
            argv=(*(expand(argument, known) for argument in self.program.command), *session, *options),
            shown_argv=(*self.program.command, *session, *options),
            env=environment(self.place, self.program),
        )

    def record_files(self, turn: Turn) -> tuple[str, ...]:
        """One for each session, by its day."""
        return (f".codex/sessions/**/rollout-*{turn.session if turn.resume else ''}.jsonl",)

    # --- what it shows ----------------------------------------------------------------------------------------

    def read(self, view: View) -> Shown:
        """By its title, and the dialog that stands at the end."""
        dialog = _dialog(view.lines)
        if dialog:
            return Shown(Face.DIALOG, Signal.SCREEN, dialog, detail=dialog.tool)
        if any("Folder access" in line for line in view.lines) and choices_at_the_end(view.lines):
            return Shown(Face.UNKNOWN, Signal.SCREEN, dismissed_by=ENTER)
        title, typed = view.title.strip(), _input(view)
        if "Action Required" in title:
            return Shown(Face.DIALOG, Signal.TERMINAL_TITLE, detail="a question that is not known")
        if _SPINNER.match(view.title):
            trouble = next((line.strip() for line in reversed(view.lines) if _TROUBLE.search(line)), "")
            kind = Activity.RATE_LIMITED if "429" in trouble else Activity.API_UNREACHABLE
            return Shown(
                Face.WORKING,
                Signal.TERMINAL_TITLE,
                input=typed or "",
                trouble=kind if trouble else None,
                detail=trouble,
            )
        if typed is None or not title:
            return Shown(Face.UNKNOWN, Signal.SCREEN)
        return Shown(Face.READY, Signal.TERMINAL_TITLE, input=typed)

    def concerns(self, call: ToolCall, dialog: Dialog) -> bool:
        """The command that the dialog shows."""
        if call.tool != dialog.tool:
            return False
        if call.tool != "commandExecution":
            return True
        return squeezed(str(call.input.get("command", "")))[:60] in squeezed("".join(dialog.texts))

    def busy_line(self, line: str) -> bool:
        """Its clock."""
        return bool(_BUSY.search(line))

    # --- what it writes into its session ----------------------------------------------------------------------

    def receive(self, message: dict[str, Any]) -> Iterable[Event] | None:
        """By type."""
        kind, payload = message["type"], message["payload"]
        match kind:
            case "session_meta":
                return self._opened(payload)
            case "event_msg":
                return self._happened(payload)
            case "response_item":
                return [*self._known_again(), *(self._item(payload) or ())]
            case "token_usage_record":
                return self._used(payload)
            case "compacted":
                return [Compacted(round=self.memory.round, trigger="auto")]
            case _:
                return () if kind in _SILENT else None

    def _opened(self, meta: dict[str, Any]) -> Iterable[Event]:
        version = str(meta.get("cli_version") or "")
        return [
            SessionOpened(
                round=self.memory.round,
                session=str(meta["id"]),
                version=version,
                warning=warning(self.name, version),
            )
        ]

    def _known_again(self) -> tuple[Event, ...]:
        """A session that is gone on with is not announced again: its first line is."""
        memory = self.memory
        if memory.opened or not memory.session:
            return ()
        return (
            SessionOpened(
                round=memory.round,
                session=memory.session,
                version=memory.version,
                warning=warning(self.name, memory.version),
            ),
        )

    def _happened(self, event: dict[str, Any]) -> Iterable[Event] | None:
        kind, number = event["type"], self.memory.round
        match kind:
            case "task_complete" | "turn_complete":
                self.said_over()
                return ()
            case "token_count":
                return self._filled(event.get("info"))
            case "turn_aborted":
                self.said_over(interrupted=True)
                return [
                    ToolReturn(round=number, id=call.id, tool=call.tool, ok=False, text="aborted")
                    for call in tuple(self.memory.calls.values())
                ]
            case "error":
                self.said_over(failed=str(event.get("message") or "error"))
                return ()
            case "stream_error":
                text = str(event.get("message") or "")
                return [
                    ApiRetried(
                        round=number,
                        number=self.memory.retries + 1,
                        delay_ms=None,
                        status=None,
                        text=text_of(text),
                    )
                ]
            case _:
                return () if kind in _SILENT_EVENTS else None

    def _item(self, item: dict[str, Any]) -> Iterable[Event] | None:
        number = self.memory.round
        match item["type"]:
            case "message":
                if item["role"] != "assistant":
                    return ()
                text = "".join(str(part.get("text") or "") for part in item["content"])
                return [AssistantMessage(round=number, text=text_of(text))]
            case "reasoning":
                text = "\n".join(str(part.get("text") or "") for part in item.get("summary") or ())
                return [Reasoning(round=number, text=text_of(text))] if text else ()
            case "function_call" | "custom_tool_call" | "local_shell_call":
                return [self._called(item)]
            case "function_call_output" | "custom_tool_call_output":
                return [self._came_back(item)]
            case kind:
                return () if kind in _SILENT_ITEMS else None

    def _called(self, item: dict[str, Any]) -> Event:
        name = str(item.get("name") or item["type"])
        given = item.get("arguments", item.get("input", item.get("action")))
        try:
            parsed = json.loads(given) if isinstance(given, str) else given
        except ValueError:
            parsed = given
        if name == "apply_patch":
            text = str(parsed.get("input") if isinstance(parsed, dict) else parsed)
            paths = re.findall(r"^\*\*\* (?:Add|Update|Delete) File: (.+)$", text, re.MULTILINE)
            named: dict[str, Any] = {"changes": [{"path": path} for path in paths], "patch": text}
            return ToolCall(
                round=self.memory.round, id=item["call_id"], tool="fileChange", input=input_of(named)
            )
        if name in _COMMANDS and isinstance(parsed, dict):
            command = parsed.get("cmd", parsed.get("command"))
            line = " ".join(map(str, command)) if isinstance(command, list) else str(command)
            given_here = {"command": line} | {key: parsed[key] for key in ("workdir",) if parsed.get(key)}
            return ToolCall(
                round=self.memory.round,
                id=item["call_id"],
                tool="commandExecution",
                input=input_of(given_here),
            )
        return ToolCall(round=self.memory.round, id=item["call_id"], tool=name, input=input_of(parsed))

    def _came_back(self, item: dict[str, Any]) -> Event:
        call, output = self.memory.calls.get(item["call_id"]), item.get("output")
        text = output if isinstance(output, str) else text_of(output)
        said = _EXIT.search(text[:2000])
        code = int(said[1]) if said else None
        return ToolReturn(
            round=self.memory.round,
            id=item["call_id"],
            tool=call.tool if call else "",
            ok=code in (0, None) and not _REFUSED.search(text[:500]),
            text=text_of(text),
            exit_code=code,
        )

    def _used(self, record: dict[str, Any]) -> Iterable[Event]:
        """Of one answer of the model; of the whole thread, which may not be the first one here, where it says no more."""
        memory, own = self.memory, record.get("usage")
        counted = own or record["thread_token_usage"]
        turn = tokens({_camel(name): value for name, value in counted.items()})
        turn = turn if own else turn - memory.total
        if turn == Tokens():
            return ()
        return [
            ModelCall(round=memory.round, tokens=turn),
            Usage(round=memory.round, turn=turn, total=memory.total + turn),
        ]

    def _filled(self, info: dict[str, Any] | None) -> Iterable[Event]:
        if not info:
            return ()
        fill = fill_of(
            (info.get("last_token_usage") or {}).get("total_tokens"), info.get("model_context_window")
        )
        return (
            [ContextFilled(round=self.memory.round, fill=fill)] if fill and fill != self.memory.fill else ()
        )


_MIGRATED = {"gpt-5.5": "gpt-6-sol", "gpt-5": "gpt-6-sol", "gpt-5-codex": "gpt-6-sol"}
"""Models for which it would propose another one at its start."""


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _toml(value: dict[str, Any]) -> str:
    """An inline table."""
    inner = (
        f"{json.dumps(key)}={_toml(item) if isinstance(item, dict) else json.dumps(item)}"
        for key, item in value.items()
    )
    return "{" + ",".join(inner) + "}"


def _dialog(lines: tuple[str, ...]) -> Dialog | None:
    found = choices_at_the_end(lines)
    if found is None:
        return None
    first, labels, chosen = found
    top = next((index for index in range(first - 1, -1, -1) if "Would you like to" in lines[index]), None)
    if top is None:
        return None
    heading = lines[top]
    if "run the following command" in heading:
        tool = "commandExecution"
    elif "edits" in heading or "changes" in heading:
        tool = "fileChange"
    else:
        tool = heading.strip()[:80]
    return Dialog(
        tool=tool,
        texts=tuple(line.strip() for line in lines[top + 1 : first] if line.strip()),
        choices=labels,
        chosen=chosen,
        yes=next(
            (
                index
                for index, label in enumerate(labels)
                if re.match(r"Yes, proceed|Yes\b(?!.*again)", label)
            ),
            None,
        ),
        no=next((index for index, label in enumerate(labels) if re.match(r"No\b", label)), None),
    )


def _input(view: View) -> str | None:
    """What stands behind the last prompt sign, up to the cursor; None: there is none."""
    column, row = view.cursor
    starts = [index for index in range(min(row, view.rows - 1) + 1) if view.lines[index].startswith("›")]
    if not starts or not view.cursor_visible:
        return None
    if starts[-1] == row and column <= 2:
        return ""
    return "\n".join(_MORE.sub("", line[2:]) for line in view.lines[starts[-1] : row + 1]).strip()
