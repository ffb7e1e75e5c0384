"""Claude Code: `claude -p` with stream-json both ways, and control requests.

The messages are those of the vendor's own SDK; they were recorded from the real program (tests/captures/claude). Every
use of a tool is asked for by a hook that is registered at the start (`PreToolUse`), not by the permission dialog alone,
which leaves out what the program holds for harmless or what settings in the workspace allow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from axiom_sandbox.drivers.contract import Command, Place, Step, Turn
from axiom_sandbox.drivers.expanding import MCP_TOKEN, environment, expand, mcp_addresses, variables
from axiom_sandbox.drivers.json_lines import JsonLinesDriver, input_of, text_of
from axiom_sandbox.drivers.statements import command_ran, file_written
from axiom_sandbox.drivers.versions import warning
from axiom_sandbox.protocol.agents import DriverName, Fill, Statement, Tokens
from axiom_sandbox.protocol.approvals import Decision, Permission
from axiom_sandbox.protocol.channel import AgentProgram, HomeFile
from axiom_sandbox.protocol.events import (
    ApiRetried,
    ApprovalAsked,
    ApprovalWithdrawn,
    AssistantMessage,
    Compacted,
    ContextFilled,
    Event,
    HookRan,
    ModelCall,
    RateLimited,
    Reasoning,
    SessionOpened,
    ToolCall,
    ToolReturn,
    TurnEnded,
    Usage,
)

_OPTIONS = (
    *("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
    *("--permission-prompt-tool", "stdio", "--permission-mode", "default"),
    *("--replay-user-messages", "--include-partial-messages", "--include-hook-events"),
    # Nobody sits before it: a question in mid-turn would wait for ever.
    *("--disallowedTools", "AskUserQuestion"),
)
PRESET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "BASH_DEFAULT_TIMEOUT_MS": "3600000",
    "BASH_MAX_TIMEOUT_MS": "86400000",
}
"""Environment in which it calls nothing but its model, and lets a command run for an hour rather than two minutes: how long a tool
may be silent is the class's affair."""
_HOOK = "axiom"
_CONTEXT = "context"
_HOOK_SECONDS = 7 * 24 * 3600
"""How long the program waits for the answer: a person may have to give it."""
_WRITING = {
    "Write": "file_path",
    "Edit": "file_path",
    "MultiEdit": "file_path",
    "NotebookEdit": "notebook_path",
}
_EXIT_CODE = re.compile(r"Exit code (\d{1,3})\b")
_MILLION = 1_000_000
_SILENT_KINDS = frozenset(
    {"status", "thinking_tokens", "session_state_changed", "hook_started", "hook_progress"}
)
_HOOK_QUESTION = "hook:"


class ClaudeWords(JsonLinesDriver):
    """What Claude Code's messages hold, on pipes and in the file of its session alike."""

    name = DriverName.CLAUDE

    def mcp_options(self) -> tuple[str, ...]:
        """Options that name the class's MCP servers."""
        headers = {"Authorization": f"Bearer ${{{MCP_TOKEN}}}"}
        servers = {
            name: {"type": "http", "url": url, "headers": headers}
            for name, url in mcp_addresses(self.place, self.program).items()
        }
        return ("--mcp-config", json.dumps({"mcpServers": servers})) if servers else ()

    def started(self, turn: Turn, *options: str) -> Command:
        """The class's command with these options, the MCP servers and the session; on the terminal."""
        session = ("--resume" if turn.resume else "--session-id", turn.session) if turn.session else ()
        known = variables(self.place)
        options = (*options, *self.mcp_options(), *session)
        return Command(
            argv=(*(expand(argument, known) for argument in self.program.command), *options),
            shown_argv=(*self.program.command, *options),
            env=environment(self.place, self.program, **PRESET),
        )

    def said(self, block: dict[str, Any], message: dict[str, Any]) -> Event:
        """A block of what the model said."""
        number = self.memory.round
        match block["type"]:
            case "thinking":
                return Reasoning(round=number, text=text_of(block["thinking"]))
            case "text":
                return AssistantMessage(round=number, text=text_of(block["text"]))
            case "tool_use":
                return ToolCall(
                    round=number,
                    id=block["id"],
                    tool=block["name"],
                    input=input_of(block["input"]),
                    parent=message.get("parent_tool_use_id") or "",
                )
            case kind:  # such as redacted_thinking: nothing to read, but it was there
                return AssistantMessage(round=number, text=text_of({"type": kind, **block}))

    def returned(self, block: dict[str, Any]) -> ToolReturn:
        """A tool's result."""
        call, text, ok = self.memory.calls.get(block["tool_use_id"]), _plain(block.get("content")), True
        code = None
        if block.get("is_error"):
            ok = False
        if call and call.tool == "Bash":
            said = _EXIT_CODE.match(text)
            code = int(said[1]) if said and not ok else 0 if ok else None
        return ToolReturn(
            round=self.memory.round,
            id=block["tool_use_id"],
            tool=call.tool if call else "",
            ok=ok,
            text=text,
            exit_code=code,
        )

    def statements_of(self, call: ToolCall, result: ToolReturn) -> tuple[Statement, ...]:
        """Files that were written, commands that were run."""
        if path := call.input.get(_WRITING.get(call.tool, "")):
            return (file_written(str(path), self.place.workspace, result.ok),)
        if call.tool == "Bash":
            return (command_ran(str(call.input.get("command", "")), result.ok),)
        return ()


class ClaudeDriver(ClaudeWords):
    """Claude Code in structured mode."""

    compacts = True

    def __init__(self, program: AgentProgram, place: Place) -> None:
        super().__init__(program, place)
        self._whole: dict[str, dict[str, Any]] = {}
        """Inputs of open questions that are too long for an event."""
        self._compacting = False
        """This process was told to compact, and has not said what came of that."""

    # --- its process ------------------------------------------------------------------------------------------

    def command(self, turn: Turn) -> Command:
        """The class's command, with the options of the protocol behind it."""
        return replace(self.started(turn, *_OPTIONS), pipe_in=True, pipe_out=True)

    def home_files(self) -> tuple[HomeFile, ...]:
        """No questions at the first run."""
        return (HomeFile(path=".claude.json", content='{"hasCompletedOnboarding": true}\n'),)

    def open(self, turn: Turn) -> Iterable[Event]:
        """Registers the hook, asks how much its model can hold (which it answers without its model), and gives the prompt."""
        self._whole.clear()
        hooks = {"PreToolUse": [{"hookCallbackIds": [_HOOK], "timeout": _HOOK_SECONDS}]}
        self._request("open", subtype="initialize", hooks=hooks)
        self._compacting = turn.compact
        if turn.compact:
            self._tell("/compact")
        else:
            self._ask_for_context()
        self._tell(turn.prompt)
        return ()

    def resume(self, turn: Turn) -> None:
        """It may still be compacting."""
        self._compacting = turn.compact
        super().resume(turn)

    def recall(self, events: Iterable[Event]) -> None:
        """Learns, too, that it has compacted: its usage is told then."""
        for event in events:
            if isinstance(event, Usage):
                self._compacting = False
            super().recall((event,))

    # --- what it is told --------------------------------------------------------------------------------------

    def send(self, text: str) -> Step:
        """Folded in behind the tool that runs, or a turn of its own at the end of this one."""
        self._tell(text)
        return self.step(())

    def interrupt(self) -> Step:
        """Its turn ends with an error that says so."""
        self._request("interrupt", subtype="interrupt")
        return self.step(())

    def answer(self, question: str, decision: Decision) -> Step:
        """Allows or denies a use of a tool."""
        asked, given = self.given(question, decision)
        allowed = given.permission is Permission.ALLOW
        if question.startswith(_HOOK_QUESTION):
            self._respond(question.removeprefix(_HOOK_QUESTION), _hook_answer(allowed, given.message))
        elif allowed:
            whole = self._whole.get(question, asked.input)
            self._respond(question, {"behavior": "allow", "updatedInput": whole})
        else:
            self._respond(question, {"behavior": "deny", "message": given.message})
        self._whole.pop(question, None)
        return self.step((given,))

    def _ask_for_context(self) -> None:
        self._request(_CONTEXT, subtype="get_context_usage", detail="summary")

    def _tell(self, text: str) -> None:
        message = {"role": "user", "content": text}
        self.say({"type": "user", "message": message, "parent_tool_use_id": None, "session_id": "default"})

    def _request(self, request_id: str, **request: Any) -> None:
        self.say({"type": "control_request", "request_id": request_id, "request": request})

    def _respond(self, request_id: str, response: dict[str, Any]) -> None:
        body = {"subtype": "success", "request_id": request_id, "response": response}
        self.say({"type": "control_response", "response": body})

    # --- what it says -----------------------------------------------------------------------------------------

    def receive(self, message: dict[str, Any]) -> Iterable[Event] | None:
        """By type."""
        match message["type"]:
            case "system":
                return self._system(message)
            case "assistant":
                return [self.said(block, message) for block in message["message"]["content"]]
            case "user":
                return self._came_back(message)
            case "stream_event":
                return self._streamed(message["event"], own=message.get("parent_tool_use_id") is None)
            case "result":
                return self._result(message)
            case "control_request":
                return self._asked(message["request_id"], message["request"])
            case "control_cancel_request":
                return self._withdrawn(message["request_id"])
            case "control_response":
                return self._responded(message["response"])
            case "rate_limit_event":
                return [self._limited(message["rate_limit_info"])]
            case _:
                return None

    def _system(self, message: dict[str, Any]) -> Iterable[Event] | None:
        number = self.memory.round
        match message["subtype"]:
            case "init":
                version, model = str(message["claude_code_version"]), str(message["model"])
                return [
                    SessionOpened(
                        round=number,
                        session=message["session_id"],
                        version=version,
                        model=model,
                        warning=warning(self.name, version),
                    )
                ]
            case "api_retry":
                status = message.get("error_status")
                return [
                    ApiRetried(
                        round=number,
                        number=message["attempt"],
                        delay_ms=_whole_number(message.get("retry_delay_ms")),
                        status=_whole_number(status),
                        text=str(message.get("error") or ""),
                    )
                ]
            case "compact_boundary":
                about = message["compact_metadata"]
                tokens = _whole_number(about.get("pre_tokens"))
                return [Compacted(round=number, trigger=about["trigger"], tokens_before=tokens)]
            case "hook_response":
                if message.get("hook_name", "").endswith(_HOOK):
                    return ()
                return [
                    HookRan(
                        round=number,
                        hook=str(message["hook_name"]),
                        on=str(message["hook_event"]),
                        outcome=str(message.get("outcome", message.get("exit_code", ""))),
                        text=text_of(message.get("output") or ""),
                    )
                ]
            case subtype if subtype in _SILENT_KINDS:
                return ()
            case _:
                return None

    def _came_back(self, message: dict[str, Any]) -> Iterable[Event] | None:
        if message.get("isReplay"):
            return ()
        content = message["message"]["content"]
        if not isinstance(content, list) or any(block["type"] != "tool_result" for block in content):
            return None
        return [self.returned(block) for block in content]

    def _responded(self, response: dict[str, Any]) -> Iterable[Event] | None:
        failed = response["subtype"] == "error"
        if response.get("request_id") != _CONTEXT:
            return None if failed else ()
        found = response.get("response") or {}
        window = _whole_number(found.get("maxTokens"))
        if failed or window is None:
            return ()  # an older version does not know the question
        # What it says to be used is an estimate; the next call of its model tells.
        known = self.memory.fill.used if self.memory.fill and self.memory.fill_is_of_this_process else 0
        return [ContextFilled(round=self.memory.round, fill=Fill(used=known, window=window))]

    def _streamed(self, event: dict[str, Any], own: bool) -> Iterable[Event]:
        match event["type"]:
            case "message_start":
                return self._asked_model(event["message"].get("usage"), own)
            case "message_delta":
                written = _whole_number((event.get("usage") or {}).get("output_tokens"))
                tokens = Tokens(output=written or 0)
                return [ModelCall(round=self.memory.round, tokens=tokens)] if written else ()
            case "content_block_delta":
                return self._delta_of(event)
            case _:
                return ()

    def _asked_model(self, usage: dict[str, Any] | None, own: bool) -> Iterable[Event]:
        """What the model is given is known when it begins to answer, what it writes at the end."""
        if not usage:
            return ()
        tokens, number = turn_tokens({**usage, "output_tokens": 0}), self.memory.round
        given = tokens.input + tokens.cached_input + tokens.cache_write
        if not given:
            return ()
        window = self.memory.fill.window if self.memory.fill else None
        filled = ContextFilled(round=number, fill=Fill(used=given, window=window))
        return [ModelCall(round=number, tokens=tokens), *((filled,) if own else ())]

    def _delta_of(self, event: dict[str, Any]) -> Iterable[Event]:
        match event["delta"]["type"]:
            case "text_delta":
                return self.delta(event["delta"]["text"])
            case "thinking_delta":
                return self.delta(event["delta"]["thinking"], reasoning=True)
            case _:
                return ()

    def _result(self, message: dict[str, Any]) -> Iterable[Event]:
        compacted = self._compacting  # until its usage is told
        yield self._usage(message)
        yield from self._window(message["modelUsage"])
        if compacted:
            self._ask_for_context()
            return  # the prompt's own turn follows
        if message.get("queued_turn_count"):
            return  # what it was told meanwhile is a turn of its own, which follows
        ok = message["subtype"] == "success" and not message.get("is_error")
        text = message.get("result") or "\n".join(map(str, message.get("errors") or ()))
        reason = message["subtype"] if not ok else str(message.get("terminal_reason") or "success")
        yield TurnEnded(round=self.memory.round, ok=ok, reason=reason, text=text_of(text))

    def _window(self, models: dict[str, Any]) -> Iterable[Event]:
        """What its model can hold, where that was not known."""
        window, fill = (
            _whole_number((models.get(self.memory.model) or {}).get("contextWindow")),
            self.memory.fill,
        )
        if fill and window and fill.window is None:
            yield ContextFilled(round=self.memory.round, fill=Fill(used=fill.used, window=window))

    def _usage(self, message: dict[str, Any]) -> Usage:
        """The program counts up, and goes on from where its session's last process came to an end by itself.

        From zero if that was killed. Which of the two it is, the tokens of this turn alone tell: `usage`, which leaves out
        what other models did on the side.
        """
        memory, turn = self.memory, turn_tokens(message["usage"])
        counted = sum((_model_tokens(model) for model in message["modelUsage"].values()), Tokens())
        cost = round(message["total_cost_usd"] * _MILLION)
        anew = memory.at_start + counted
        if _distance(anew - memory.total, turn) < _distance(counted - memory.total, turn):
            counted, cost = anew, memory.at_start_micro_usd + cost
        return Usage(
            round=memory.round,
            turn=counted - memory.total,
            total=memory.total + (counted - memory.total),
            turn_micro_usd=max(cost - (memory.total_micro_usd or 0), 0),
            total_micro_usd=max(cost, memory.total_micro_usd or 0),
        )

    def _asked(self, request_id: str, request: dict[str, Any]) -> Iterable[Event] | None:
        match request["subtype"]:
            case "can_use_tool":
                return [self._question(request_id, request, request["tool_name"], request["input"])]
            case "hook_callback" if request["callback_id"] == _HOOK:
                given, question = request["input"], _HOOK_QUESTION + request_id
                return [self._question(question, request, given["tool_name"], given["tool_input"])]
            case unknown:
                error = f"{unknown} is not supported"
                body = {"subtype": "error", "request_id": request_id, "error": error}
                self.say({"type": "control_response", "response": body})
                return None

    def _question(self, id: str, request: dict[str, Any], tool: str, given: dict[str, Any]) -> Event:
        asked = ApprovalAsked(
            round=self.memory.round,
            id=id,
            tool=tool,
            input=input_of(given),
            call=request.get("tool_use_id") or "",
        )
        if asked.input is not given:
            self._whole[id] = given
        return asked

    def _withdrawn(self, request_id: str) -> Iterable[Event]:
        for question in (request_id, _HOOK_QUESTION + request_id):
            self._whole.pop(question, None)
            if question in self.memory.questions:
                return [ApprovalWithdrawn(round=self.memory.round, id=question)]
        return ()

    def _limited(self, info: dict[str, Any]) -> Event:
        until = _whole_number(info.get("resetsAt"))
        return RateLimited(
            round=self.memory.round,
            waiting=info["status"] == "rejected",
            until_ms=None if until is None else until * 1000,
            text=f"{info['status']} {info.get('rateLimitType') or ''}".strip(),
        )


def _hook_answer(allowed: bool, message: str) -> dict[str, Any]:
    decision = {
        "hookEventName": "PreToolUse",
        "permissionDecision": "allow" if allowed else "deny",
        "permissionDecisionReason": message or "allowed by policy",
    }
    return {"hookSpecificOutput": decision}


def turn_tokens(usage: dict[str, Any]) -> Tokens:
    """The vendor's words for tokens."""
    return Tokens(
        input=usage["input_tokens"],
        cached_input=usage["cache_read_input_tokens"],
        cache_write=usage["cache_creation_input_tokens"],
        output=usage["output_tokens"],
    )


def _model_tokens(usage: dict[str, Any]) -> Tokens:
    return Tokens(
        input=usage["inputTokens"],
        cached_input=usage["cacheReadInputTokens"],
        cache_write=usage["cacheCreationInputTokens"],
        output=usage["outputTokens"],
        reasoning=usage.get("thinkingTokens") or 0,
    )


def _distance(one: Tokens, other: Tokens) -> int:
    return sum(
        abs(getattr(one, name) - getattr(other, name))
        for name in ("input", "cached_input", "cache_write", "output")
    )


def _whole_number(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _plain(content: object) -> str:
    """A tool's result: text, or blocks of which some are text."""
    if isinstance(content, list):
        parts = [
            block.get("text") or f"[{block.get('type')}]" for block in content if isinstance(block, dict)
        ]
        return text_of("\n".join(map(str, parts)))
    return text_of(content if content is not None else "")
