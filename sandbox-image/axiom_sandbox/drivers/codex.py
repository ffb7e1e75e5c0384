"""Codex: `codex app-server`, JSON-RPC over standard input and output.

The messages are those of the vendor's own schemas (`codex app-server generate-json-schema`), and were recorded from the
real program (tests/captures/codex). A tool is named as the type of its item: `commandExecution`, `fileChange`, `webSearch`;
one of an MCP server `mcp__<server>__<tool>`.

Codex asks for approval where its own policy says so. Where the class allows everything it is told never to ask; else it
asks before each change of files and before each command that it does not know for harmless (`ls`, `cat`, `git status`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from axiom_sandbox.drivers.contract import Command, Place, Step, Turn, UnsupportedError
from axiom_sandbox.drivers.expanding import MCP_TOKEN, environment, expand, mcp_addresses, variables
from axiom_sandbox.drivers.json_lines import JsonLinesDriver, input_of, text_of
from axiom_sandbox.drivers.json_rpc import JsonRpcDriver, whole_number
from axiom_sandbox.drivers.statements import command_ran, file_written
from axiom_sandbox.drivers.versions import warning
from axiom_sandbox.protocol.agents import DriverName, Fill, Statement, Tokens
from axiom_sandbox.protocol.approvals import Permission
from axiom_sandbox.protocol.channel import AgentProgram
from axiom_sandbox.protocol.events import (
    AgentStarted,
    ApiRetried,
    ApprovalAsked,
    ApprovalGiven,
    AssistantDelta,
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

QUIET = (
    "check_for_update_on_startup=false",
    "analytics.enabled=false",
    "features.plugins=false",  # would fetch a list from github.com
    "features.shell_snapshot=false",  # would start a login shell for each session
    "features.daemon_auto_start=false",
    "features.unbounded_connection_retries=false",  # would wait for ever for a model that cannot be reached
)
_OPTIONS = ("app-server", *(part for setting in QUIET for part in ("-c", setting)))
_CLIENT = {"name": "axiom", "title": "Axiom", "version": "1"}
_HANDSHAKE = frozenset({"initialize", "thread/start", "turn/start"})
_APPROVALS = {
    "item/commandExecution/requestApproval": "commandExecution",
    "item/fileChange/requestApproval": "fileChange",
    "item/permissions/requestApproval": "permissions",
}
_NOBODY_ANSWERS: dict[str, dict[str, Any]] = {
    "item/tool/requestUserInput": {"answers": {}},
    "mcpServer/elicitation/request": {"action": "decline"},
}
_NOBODY = "nobody is there to answer"
_SILENT_METHODS = frozenset(
    {
        "item/commandExecution/outputDelta",
        "item/fileChange/outputDelta",
        "item/fileChange/patchUpdated",
        "item/reasoning/summaryPartAdded",
        "hook/started",
        "mcpServer/startupStatus/updated",
        "remoteControl/status/changed",
        "serverRequest/resolved",
        "thread/compacted",  # an item says it, too
        "thread/goal/cleared",
        "thread/name/updated",
        "thread/settings/updated",
        "thread/started",
        "thread/status/changed",
        "turn/diff/updated",
        "turn/started",
    }
)
_SILENT_ITEMS = frozenset({"userMessage"})
_TOOLS = frozenset(
    {
        "collabAgentToolCall",
        "commandExecution",
        "dynamicToolCall",
        "fileChange",
        "imageGeneration",
        "imageView",
        "mcpToolCall",
        "sleep",
        "webSearch",
    }
)
_ENVELOPE = frozenset({"type", "id", "status", "startedAtMs", "completedAtMs", "processId"})
_RETURNED = frozenset({"aggregatedOutput", "exitCode", "durationMs", "result", "results", "error"})


class CodexWords(JsonLinesDriver):
    """What is the same in messages and in the file of a session."""

    name = DriverName.CODEX

    def mcp_options(self) -> tuple[str, ...]:
        """Options that name the class's MCP servers."""
        return tuple(
            part
            for name, url in mcp_addresses(self.place, self.program).items()
            for setting in (f'url="{url}"', f'bearer_token_env_var="{MCP_TOKEN}"')
            for part in ("-c", f"mcp_servers.{name}.{setting}")
        )

    def statements_of(self, call: ToolCall, result: ToolReturn) -> tuple[Statement, ...]:
        """Files that were changed, commands that were run."""
        if call.tool == "commandExecution":
            return (command_ran(str(call.input.get("command", "")), result.ok),)
        if call.tool == "fileChange":
            changes = call.input.get("changes")
            paths = [str(one.get("path")) for one in changes or () if isinstance(one, dict)]
            return tuple(file_written(path, self.place.workspace, result.ok) for path in paths)
        return ()


class CodexDriver(CodexWords, JsonRpcDriver):
    """Codex in structured mode."""

    compacts = True

    def __init__(self, program: AgentProgram, place: Place) -> None:
        super().__init__(program, place)
        self._turn_id = ""
        self._thread_total: Tokens | None = None
        """Tokens of the whole thread, as this process last said."""
        self._model_spoke = False
        """In this process. What it says first of usage before that is of an earlier one."""
        self._compacting = False
        """This process was told to compact, and that turn is not over."""
        self._told_usage = False
        """It has said something of usage in this process."""

    # --- its process ------------------------------------------------------------------------------------------

    def command(self, turn: Turn) -> Command:
        """The class's command as an app server that fetches nothing but its model's words."""
        known = variables(self.place)
        return Command(
            argv=(
                *(expand(argument, known) for argument in self.program.command),
                *_OPTIONS,
                *self.mcp_options(),
            ),
            shown_argv=(*self.program.command, *_OPTIONS, *self.mcp_options()),
            env=environment(self.place, self.program),
            pipe_in=True,
            pipe_out=True,
        )

    def open(self, turn: Turn) -> Iterable[Event]:
        """Shakes hands; the thread and the prompt follow."""
        self._turn_id, self._thread_total = "", None
        self._model_spoke = self._told_usage = False
        self._compacting = turn.compact
        self.call("initialize", clientInfo=_CLIENT)
        return ()

    # --- what it is told --------------------------------------------------------------------------------------

    def send(self, text: str) -> Step:
        """Joins the turn, behind the tool that runs."""
        turn, thread = self._running_turn(), self.memory.session
        self.call("turn/steer", threadId=thread, expectedTurnId=turn, input=_text(text))
        return self.step(())

    def interrupt(self) -> Step:
        """Its turn ends, and says that it was interrupted."""
        turn = self._running_turn()
        self.call("turn/interrupt", threadId=self.memory.session, turnId=turn)
        return self.step(())

    def decided(self, question: ApprovalAsked, allowed: bool) -> dict[str, Any]:
        """Codex's word for the answer."""
        if question.tool == "permissions":
            return {"permissions": question.input.get("permissions", {}) if allowed else {}, "scope": "turn"}
        return {"decision": "accept" if allowed else "decline"}

    def _running_turn(self) -> str:
        if not self._turn_id:
            raise UnsupportedError("Codex has not said yet which turn is running")
        return self._turn_id

    # --- what it says -----------------------------------------------------------------------------------------

    def recall(self, events: Iterable[Event]) -> None:
        """Learns, too, whether the model has said anything in this process."""
        for event in events:
            match event:
                case AgentStarted() | SessionOpened():
                    self._model_spoke = self._told_usage = False
                case ContextFilled():
                    self._told_usage = True
                case Compacted():
                    self._model_spoke = True
                case AssistantDelta() | AssistantMessage() | Reasoning() | ToolCall():
                    self._model_spoke, self._compacting = True, False
                case _:
                    pass
            super().recall((event,))

    def answered(self, method: str, note: str, result: dict[str, Any]) -> Iterable[Event] | None:
        """The handshake, step by step."""
        match method:
            case "initialize":
                self.notify("initialized")
                asks = self.program.approvals.default is not Permission.ALLOW or self.program.approvals.rules
                how = {
                    "cwd": self.place.workspace,
                    "approvalPolicy": "untrusted" if asks else "never",
                    "sandbox": "danger-full-access",  # the sandbox around it is the boundary
                }
                if self.turn.resume and self.turn.session:
                    self.call("thread/resume", threadId=self.turn.session, excludeTurns=True, **how)
                else:
                    self.call("thread/start", **how)
                return ()
            case "thread/start" | "thread/resume":
                thread = result["thread"]
                version = str(thread.get("cliVersion") or "")
                opened = SessionOpened(
                    round=self.memory.round,
                    session=thread["id"],
                    version=version,
                    model=str(result.get("model") or thread.get("model") or ""),
                    warning=warning(self.name, version),
                )
                if self._compacting:
                    self.call("thread/compact/start", threadId=opened.session)
                else:
                    self.call("turn/start", threadId=opened.session, input=_text(self.turn.prompt))
                return [opened]
            case "turn/start":
                self._turn_id = result["turn"]["id"]
                return ()
            case "turn/steer" | "turn/interrupt" | "thread/compact/start":
                return ()
            case _:
                return None

    def failed(self, method: str, error: dict[str, Any]) -> Iterable[Event] | None:
        """Without its handshake, there is no turn."""
        self.session_refused = self.session_refused or method == "thread/resume"
        if method == "thread/compact/start":
            return self._compacted(None)
        if method not in _HANDSHAKE:
            return None
        text = text_of(error.get("message") or error)
        return [TurnEnded(round=self.memory.round, ok=False, reason=f"{method} refused", text=text)]

    def noticed(self, method: str, params: dict[str, Any]) -> Iterable[Event] | None:
        """By method. Threads of sub-agents speak, too; a turn of theirs is not ours."""
        number, own = self.memory.round, params.get("threadId") in (None, self.memory.session)
        if own and "turnId" in params:
            self._turn_id = str(params["turnId"])
        match method:
            case "turn/started" if own:
                self._turn_id = params["turn"]["id"]
                return ()
            case "item/started":
                return self._begun(params["item"], "" if own else str(params["threadId"]))
            case "item/completed":
                return self._completed(params["item"], own)
            case "item/agentMessage/delta":
                return self.delta(params["delta"]) if own else ()
            case "item/reasoning/summaryTextDelta" | "item/reasoning/textDelta":
                return self.delta(params["delta"], reasoning=True) if own else ()
            case "thread/tokenUsage/updated":
                return self._usage(params["tokenUsage"]) if own else None
            case "turn/completed" if own and self._compacting:
                return self._compacted(())
            case "turn/completed":
                return self._ended(params["turn"]) if own else ()
            case "account/rateLimits/updated":
                return self._limited(params["rateLimits"])
            case "error":
                return [self._retried(params["error"])] if params["willRetry"] else None
            case "hook/completed":
                run = params["run"]
                text = text_of(run.get("statusMessage") or "")
                on, outcome = str(run["eventName"]), str(run["status"])
                return [HookRan(round=number, hook=str(run["id"]), on=on, outcome=outcome, text=text)]
            case silent if silent in _SILENT_METHODS:
                return ()
            case _:
                return None

    def _compacted(self, events: Iterable[Event] | None) -> Iterable[Event] | None:
        """Whatever came of it, the prompt follows."""
        self._compacting = False
        self.call("turn/start", threadId=self.memory.session, input=_text(self.turn.prompt))
        return events

    def resume(self, turn: Turn) -> None:
        """It may still be compacting."""
        self._compacting = turn.compact
        super().resume(turn)

    def asked(self, question: str, method: str, params: dict[str, Any]) -> Iterable[Event] | None:
        """Approvals. What only a person at the screen could answer is answered with nothing."""
        if (nothing := _NOBODY_ANSWERS.get(method)) is not None:
            self.respond(question, nothing)
            number, tool = self.memory.round, method.split("/")[-1]
            return [
                ApprovalAsked(round=number, id=question, tool=tool, input=input_of(params)),
                ApprovalGiven(
                    round=number, id=question, permission=Permission.DENY, by="driver", message=_NOBODY
                ),
            ]
        if method not in _APPROVALS:
            return None
        tool = _APPROVALS[method]
        call = self.memory.calls.get(str(params.get("itemId")))
        about = params if tool == "permissions" or call is None else {**call.input, **_reason(params)}
        return [
            ApprovalAsked(
                round=self.memory.round,
                id=question,
                tool=call.tool if call else tool,
                input=input_of(about),
                call=str(params.get("itemId") or ""),
            )
        ]

    def _begun(self, item: dict[str, Any], parent: str) -> Iterable[Event]:
        if item["type"] not in _TOOLS:
            return ()  # said whole when it is completed
        given = {key: value for key, value in item.items() if key not in _ENVELOPE | _RETURNED}
        given = {key: value for key, value in given.items() if value is not None}
        call = ToolCall(
            round=self.memory.round, id=item["id"], tool=_tool(item), input=input_of(given), parent=parent
        )
        return [call]

    def _completed(self, item: dict[str, Any], own: bool) -> Iterable[Event] | None:
        number = self.memory.round
        match item["type"]:
            case "agentMessage":
                return [AssistantMessage(round=number, text=text_of(item["text"]))] if own else None
            case "plan":
                return [AssistantMessage(round=number, text=text_of(item["text"]))] if own else None
            case "reasoning":
                text = "\n\n".join([*item.get("summary", ()), *item.get("content", ())])
                return [Reasoning(round=number, text=text_of(text))] if text and own else ()
            case "contextCompaction":
                return [Compacted(round=number, trigger="auto")]
            case tool if tool in _TOOLS:
                return [self._returned(item)]
            case silent if silent in _SILENT_ITEMS:
                return ()
            case _:
                return None

    def _returned(self, item: dict[str, Any]) -> ToolReturn:
        status, code = str(item.get("status") or "completed"), whole_number(item.get("exitCode"))
        began, came = whole_number(item.get("startedAtMs")), whole_number(item.get("completedAtMs"))
        took = whole_number(item.get("durationMs"))
        if took is None and began is not None and came is not None:
            took = max(came - began, 0)
        return ToolReturn(
            round=self.memory.round,
            id=item["id"],
            tool=_tool(item),
            ok=status == "completed" and not code,
            text=_result(item, status),
            exit_code=code,
            duration_ms=took,
        )

    def _usage(self, usage: dict[str, Any]) -> Iterable[Event]:
        total, last = tokens(usage["total"]), tokens(usage["last"])
        turn = last if self._thread_total is None else total - self._thread_total
        self._thread_total = total
        number, told_before, self._told_usage = self.memory.round, self._told_usage, True
        found: list[Event] = []
        if turn != Tokens() and (told_before or self._model_spoke):  # else said again when a thread goes on
            found.append(ModelCall(round=number, tokens=turn))
            found.append(Usage(round=number, turn=turn, total=self.memory.total + turn))
        fill = fill_of(usage["last"].get("totalTokens"), usage.get("modelContextWindow"))
        return (
            [*found, ContextFilled(round=number, fill=fill)] if fill and fill != self.memory.fill else found
        )

    def _ended(self, turn: dict[str, Any]) -> Iterable[Event]:
        number, status, error = self.memory.round, str(turn["status"]), turn.get("error") or {}
        for call in tuple(self.memory.calls.values()):
            yield ToolReturn(round=number, id=call.id, tool=call.tool, ok=False, text=status)
        said = [item["text"] for item in turn.get("items") or () if item.get("type") == "agentMessage"]
        text = error.get("message") or (said[-1] if said else "")
        yield TurnEnded(round=number, ok=status == "completed", reason=status, text=text_of(text))

    def _retried(self, error: dict[str, Any]) -> Event:
        about = error.get("codexErrorInfo")
        details = next(iter(about.values()), None) if isinstance(about, dict) else None
        status = whole_number(details.get("httpStatusCode")) if isinstance(details, dict) else None
        return ApiRetried(
            round=self.memory.round,
            number=self.memory.retries + 1,
            delay_ms=None,
            status=status,
            text=text_of(error.get("additionalDetails") or error["message"]),
        )

    def _limited(self, limits: dict[str, Any]) -> Iterable[Event]:
        reached = limits.get("rateLimitReachedType")
        if not reached:
            return ()
        windows = (limits.get("primary") or {}, limits.get("secondary") or {})
        resets = [whole_number(window.get("resetsAt")) for window in windows]
        until = max((second for second in resets if second is not None), default=None)
        return [
            RateLimited(
                round=self.memory.round,
                waiting=True,
                until_ms=None if until is None else until * 1000,
                text=text_of(reached),
            )
        ]


def _text(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _reason(params: dict[str, Any]) -> dict[str, Any]:
    return {"reason": params["reason"]} if params.get("reason") else {}


def _tool(item: dict[str, Any]) -> str:
    if item["type"] == "mcpToolCall":
        return f"mcp__{item['server']}__{item['tool']}"
    return str(item["type"])


def _result(item: dict[str, Any], status: str) -> str:
    """What came back, in the agent's words."""
    if item["type"] == "fileChange":
        changes = [f"{one['kind']['type']} {one['path']}" for one in item.get("changes") or ()]
        return text_of("\n".join([status, *changes]))
    came = item.get("error") or item.get("aggregatedOutput") or item.get("result") or item.get("results")
    return text_of(came if came is not None else status)


def fill_of(used: object, window: object) -> Fill | None:
    """What the vendor says of the last call, after a compaction of what is left; None: nothing was said."""
    known = whole_number(used)
    return Fill(used=known, window=whole_number(window)) if known else None


def tokens(usage: dict[str, Any]) -> Tokens:
    """The vendor's words for tokens."""
    cached, written = usage.get("cachedInputTokens") or 0, usage.get("cacheWriteInputTokens") or 0
    return Tokens(
        input=max(usage["inputTokens"] - cached - written, 0),
        cached_input=cached,
        cache_write=written,
        output=usage["outputTokens"],
        reasoning=usage.get("reasoningOutputTokens") or 0,
    )
