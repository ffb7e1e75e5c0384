"""OpenCode: `opencode acp`, the Agent Client Protocol over standard input and output.

The messages were recorded from the real program (tests/captures/opencode). It asks for approval where its settings say so:
before it changes files, runs commands or fetches pages, if the class does not allow everything.

What this agent does not say: that a thought is whole (it comes in pieces alone), tokens of any but a turn's last call of the model, that its model lets it wait or does not answer
(it is silent then), and that a tool was lost with its process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from axiom_sandbox.drivers.acp import AcpDriver, result_of
from axiom_sandbox.drivers.contract import Command, Turn
from axiom_sandbox.drivers.expanding import environment, expand, mcp_addresses, variables
from axiom_sandbox.drivers.json_lines import input_of
from axiom_sandbox.drivers.json_rpc import whole_number
from axiom_sandbox.drivers.statements import command_ran, file_written
from axiom_sandbox.protocol.agents import DriverName, Fill, Statement, Tokens
from axiom_sandbox.protocol.approvals import Permission
from axiom_sandbox.protocol.events import (
    ApprovalAsked,
    ContextFilled,
    Event,
    ToolCall,
    ToolReturn,
    Usage,
)

_GATED = ("edit", "bash", "webfetch", "external_directory")
_PRESET = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "OPENCODE_DISABLE_SHARE": "1",
    "OPENCODE_EXPERIMENTAL_BASH_DEFAULT_TIMEOUT_MS": "3600000",  # it would end a command after two minutes
}
_WRITING = frozenset({"write", "edit"})
_MICRO = 1_000_000
_ABORTED = "User aborted the command"


class OpenCodeDriver(AcpDriver):
    """OpenCode in structured mode."""

    name = DriverName.OPEN_CODE
    going_on = "session/resume"

    # --- its process ------------------------------------------------------------------------------------------

    def command(self, turn: Turn) -> Command:
        """The class's command as an ACP agent."""
        known = variables(self.place)
        program = (*self.program.command, "acp")
        asks = self.program.approvals.default is not Permission.ALLOW or self.program.approvals.rules
        permission = json.dumps(dict.fromkeys(_GATED, "ask" if asks else "allow"))
        return Command(
            argv=tuple(expand(argument, known) for argument in program),
            shown_argv=program,
            env=environment(self.place, self.program, **_PRESET, OPENCODE_PERMISSION=permission),
            pipe_in=True,
            pipe_out=True,
        )

    def servers(self) -> list[dict[str, Any]]:
        """Those of its class, with the token that they are asked with."""
        headers = [{"name": "Authorization", "value": f"Bearer {self.place.token}"}]
        return [
            {"type": "http", "name": name, "url": url, "headers": headers}
            for name, url in mcp_addresses(self.place, self.program).items()
        ]

    # --- what it is told --------------------------------------------------------------------------------------

    def decided(self, question: ApprovalAsked, allowed: bool) -> dict[str, Any]:
        """One of the options that this program always offers."""
        return {"outcome": {"outcome": "selected", "optionId": "once" if allowed else "reject"}}

    # --- what it says -----------------------------------------------------------------------------------------

    def noticed(self, method: str, params: dict[str, Any]) -> Iterable[Event] | None:
        """It also says, now and then, what the session has cost so far."""
        update = params.get("update") or {}
        if method == "session/update" and update.get("sessionUpdate") == "usage_update":
            return (*self._filled(update), *self._cost(update.get("cost") or {}))
        return super().noticed(method, params)

    def thought(self, text: str) -> Iterable[Event]:
        """It thinks in pieces, and never says that it has thought."""
        yield from self.then()
        yield from self.delta(text, reasoning=True)

    def _filled(self, update: dict[str, Any]) -> Iterable[Event]:
        used, window = whole_number(update.get("used")), whole_number(update.get("size"))
        if used:
            yield ContextFilled(round=self.memory.round, fill=Fill(used=used, window=window))

    def _cost(self, cost: dict[str, Any]) -> Iterable[Event]:
        before = self.memory.total_micro_usd or 0
        if cost.get("currency") != "USD":
            return
        total = max(self.memory.before_session_micro_usd + round(float(cost["amount"]) * _MICRO), before)
        if total > before:
            yield Usage(
                round=self.memory.round,
                turn=Tokens(),
                total=self.memory.total,
                turn_micro_usd=total - before,
                total_micro_usd=total,
            )

    def tool(self, update: dict[str, Any]) -> Iterable[Event]:
        """A call is whole once its input is there."""
        identifier, status = str(update["toolCallId"]), update.get("status")
        known = identifier in self.memory.calls
        if status == "pending":
            return ()
        call = self.called(update)
        if status not in ("completed", "failed"):
            return () if known else self.then(call)
        metadata = (update.get("rawOutput") or {}).get("metadata") or {}
        code = whole_number(metadata.get("exit"))
        text = result_of(update)
        returned = ToolReturn(
            round=self.memory.round,
            id=identifier,
            tool=call.tool,
            ok=status == "completed" and not code and _ABORTED not in text,
            text=text or str((update.get("rawOutput") or {}).get("error") or ""),
            exit_code=code,
        )
        return self.then(*(() if known else (call,)), returned)

    def called(self, about: dict[str, Any]) -> ToolCall:
        """The call. Until it has ended, the program calls each tool by its name, but a command by what it runs."""
        identifier, kind = str(about["toolCallId"]), str(about.get("kind") or "tool")
        if known := self.memory.calls.get(identifier):
            return known
        tool = "bash" if kind == "execute" else str(about.get("title") or kind)
        given = about.get("rawInput") or {"title": about.get("title") or ""}
        return ToolCall(round=self.memory.round, id=identifier, tool=tool, input=input_of(given))

    def counted(self, result: dict[str, Any]) -> Iterable[Event]:
        """Tokens of the turn's last call of the model; what it cost was said before."""
        usage = result.get("usage")
        if usage is None:
            return
        turn = Tokens(
            input=usage["inputTokens"],
            output=usage["outputTokens"],
            cached_input=usage.get("cachedReadTokens") or 0,
        )
        yield Usage(
            round=self.memory.round,
            turn=turn,
            total=self.memory.total + turn,
            turn_micro_usd=None if self.memory.total_micro_usd is None else 0,
            total_micro_usd=self.memory.total_micro_usd,
        )

    def statements_of(self, call: ToolCall, result: ToolReturn) -> tuple[Statement, ...]:
        """Files that were written, commands that were run."""
        if call.tool == "bash" and "command" in call.input:
            return (command_ran(str(call.input["command"]), result.ok),)
        if call.tool in _WRITING and "filePath" in call.input:
            return (file_written(str(call.input["filePath"]), self.place.workspace, result.ok),)
        return ()
