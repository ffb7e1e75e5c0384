"""How each CLI is spoken with in its structured mode: the person's side of a story."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tests.captures.recording import LIMIT_SECONDS, Message, Talk
from tests.captures.stories import Story

Start = Callable[[str], Awaitable[Talk]]
"""Starts a process; given a session's id, one that goes on with it, where that is said on the command line."""


class Player(ABC):
    """Plays a story with one CLI."""

    cli: ClassVar[str]

    def __init__(self, story: Story, start: Start, workspace: Path) -> None:
        self.story, self._start, self.workspace = story, start, workspace
        self.session = ""

    async def play(self) -> None:
        """The whole story."""
        talk = await self._begin()
        for number, prompt in enumerate(self.story.prompts):
            asked = await self.ask(talk, prompt)
            if number == 0 and (self.story.kill or self.story.interrupt or self.story.inject):
                await self._command_runs(talk)
            if number == 0 and self.story.kill:
                await talk.kill()
                talk = await self._begin()
                continue
            if number == 0 and self.story.inject:
                asked = await self.inject(talk, asked)
            if number == 0 and self.story.interrupt:
                await self.interrupt(talk)
            await self.turn_over(talk, asked)
        await talk.leave()

    async def _begin(self) -> Talk:
        talk = await self._start(self.session)
        talk.answer = self.answer
        await self.open(talk)
        return talk

    async def _command_runs(self, talk: Talk) -> None:
        await talk.until(self.says_that_a_command_runs, "a running command")
        async with asyncio.timeout(LIMIT_SECONDS):
            while not (self.workspace / "started").exists():
                await asyncio.sleep(0.02)

    @abstractmethod
    async def open(self, talk: Talk) -> None:
        """A process has been started: the session begins, or goes on if there was one."""

    @abstractmethod
    async def ask(self, talk: Talk, prompt: str) -> Any:
        """A turn begins; what tells its end apart from others'."""

    @abstractmethod
    async def turn_over(self, talk: Talk, asked: Any) -> None:
        """Waits for the turn's end."""

    @abstractmethod
    def answer(self, message: Message) -> Message | None:
        """What is said at once: to questions for approval."""

    @abstractmethod
    def says_that_a_command_runs(self, message: Message) -> bool:
        """Whether this is the message that a command has been started, or is about to be."""

    @abstractmethod
    async def inject(self, talk: Talk, asked: Any) -> Any:
        """The person says something while the agent works; what tells the end of the turn that then comes."""

    @abstractmethod
    async def interrupt(self, talk: Talk) -> None:
        """The person stops the agent's turn."""


class ClaudePlayer(Player):
    """stream-json with control requests."""

    cli = "claude"

    async def open(self, talk: Talk) -> None:
        hooks = {"PreToolUse": [{"hookCallbackIds": ["axiom"], "timeout": 600}]}
        request = {"subtype": "initialize", "hooks": hooks}
        talk.say({"type": "control_request", "request_id": "open", "request": request})
        await talk.until(lambda message: message["type"] == "control_response", "initialize")

    async def ask(self, talk: Talk, prompt: str) -> int:
        results = sum(message["type"] == "result" for message in talk.heard)
        talk.say(
            {
                "type": "user",
                "message": {"role": "user", "content": prompt},
                "parent_tool_use_id": None,
                "session_id": "default",
            }
        )
        init = await talk.until(lambda message: message.get("subtype") == "init", "init")
        self.session = init["session_id"]
        return results

    async def turn_over(self, talk: Talk, asked: int) -> None:
        def over(_: Message) -> bool:
            return sum(message["type"] == "result" for message in talk.heard) > asked

        await talk.until(over, "result")

    def answer(self, message: Message) -> Message | None:
        request = message.get("request", {})
        match request.get("subtype"):
            case "hook_callback":
                decision = {
                    "hookEventName": "PreToolUse",
                    "permissionDecision": "allow" if self.story.allow else "deny",
                    "permissionDecisionReason": "Well." if self.story.allow else "Not in this task.",
                }
                response: Message = {"hookSpecificOutput": decision}
            case "can_use_tool" if self.story.allow:
                response = {"behavior": "allow", "updatedInput": request["input"]}
            case "can_use_tool":
                response = {"behavior": "deny", "message": "Not in this task."}
            case _:
                return None
        return {
            "type": "control_response",
            "response": {"subtype": "success", "request_id": message["request_id"], "response": response},
        }

    def says_that_a_command_runs(self, message: Message) -> bool:
        content = message["message"]["content"] if message["type"] == "assistant" else []
        return any(block.get("name") == "Bash" for block in content)

    async def inject(self, talk: Talk, asked: int) -> int:
        talk.say(
            {
                "type": "user",
                "message": {"role": "user", "content": self.story.inject},
                "parent_tool_use_id": None,
                "session_id": "default",
            }
        )
        return asked

    async def interrupt(self, talk: Talk) -> None:
        talk.say({"type": "control_request", "request_id": "stop", "request": {"subtype": "interrupt"}})


@dataclass(frozen=True)
class Asked:
    """A request to a CLI."""

    id: str
    before: int
    """Answers to requests of this id that had come before."""


def answers(talk: Talk, asked: Asked) -> list[Message]:
    """What came for requests of this id."""
    return [message for message in talk.heard if message.get("id") == asked.id and "method" not in message]


class RpcPlayer(Player):
    """JSON-RPC, one message a line."""

    version: ClassVar[dict[str, str]] = {}

    def call(self, talk: Talk, method: str, note: str = "", **params: Any) -> Asked:
        """Sends a request. Its id says what the answer is for, as that of a driver does."""
        asked = Asked(f"{method}#{note}", 0)
        talk.say({**self.version, "id": asked.id, "method": method, "params": params})
        return Asked(asked.id, len(answers(talk, asked)))

    async def result(self, talk: Talk, asked: Asked) -> Message:
        """What a request came to."""
        answer = await self.answered(talk, asked)
        assert "result" in answer, answer
        result: Message = answer["result"]
        return result

    async def answered(self, talk: Talk, asked: Asked) -> Message:
        """The answer to a request, whatever it is."""
        await talk.until(lambda _: len(answers(talk, asked)) > asked.before, asked.id)
        return answers(talk, asked)[asked.before]


class CodexPlayer(RpcPlayer):
    """`codex app-server`."""

    cli = "codex"

    async def open(self, talk: Talk) -> None:
        client = {"name": "axiom", "title": "Axiom", "version": "0"}
        await self.result(talk, self.call(talk, "initialize", clientInfo=client))
        talk.say({"method": "initialized"})
        how = {
            "cwd": str(self.workspace),
            "approvalPolicy": "untrusted" if self.story.ask else "never",
            "sandbox": "danger-full-access",
        }
        if self.session:
            number = self.call(talk, "thread/resume", threadId=self.session, excludeTurns=True, **how)
        else:
            number = self.call(talk, "thread/start", **how)
        self.session = (await self.result(talk, number))["thread"]["id"]

    async def ask(self, talk: Talk, prompt: str) -> str:
        number = self.call(
            talk, "turn/start", threadId=self.session, input=[{"type": "text", "text": prompt}]
        )
        turn: str = (await self.result(talk, number))["turn"]["id"]
        self._turn = turn
        return turn

    async def turn_over(self, talk: Talk, asked: str) -> None:
        def over(message: Message) -> bool:
            ended = message.get("method") == "turn/completed"
            return ended and message["params"]["turn"]["id"] == asked

        await talk.until(over, "turn/completed")

    def answer(self, message: Message) -> Message | None:
        if not str(message.get("method", "")).endswith("/requestApproval"):
            return None
        decision = "accept" if self.story.allow else "decline"
        return {"id": message["id"], "result": {"decision": decision}}

    def says_that_a_command_runs(self, message: Message) -> bool:
        started = message.get("method") == "item/started"
        return started and message["params"]["item"]["type"] == "commandExecution"

    async def inject(self, talk: Talk, asked: str) -> str:
        said = [{"type": "text", "text": self.story.inject}]
        number = self.call(talk, "turn/steer", threadId=self.session, expectedTurnId=asked, input=said)
        await self.result(talk, number)
        return asked

    async def interrupt(self, talk: Talk) -> None:
        number = self.call(talk, "turn/interrupt", threadId=self.session, turnId=self._turn)
        await self.result(talk, number)


class GeminiPlayer(RpcPlayer):
    """`gemini --acp`: the Agent Client Protocol."""

    cli = "gemini"
    going_on: ClassVar[str] = "session/load"
    version: ClassVar[dict[str, str]] = {"jsonrpc": "2.0"}

    async def open(self, talk: Talk) -> None:
        client = {"name": "axiom", "title": "Axiom", "version": "0"}
        cannot = {"fs": {"readTextFile": False, "writeTextFile": False}}
        opening = self.call(
            talk, "initialize", protocolVersion=1, clientInfo=client, clientCapabilities=cannot
        )
        version = (await self.result(talk, opening))["agentInfo"]["version"]
        where = {"cwd": str(self.workspace), "mcpServers": []}
        if self.session:
            await self.result(talk, self.call(talk, self.going_on, version, sessionId=self.session, **where))
        else:
            new = await self.result(talk, self.call(talk, "session/new", version, **where))
            self.session = new["sessionId"]
        await self.choose(talk, version)

    async def choose(self, talk: Talk, version: str) -> None:
        """Whether it asks before it uses tools."""
        mode, note = "default" if self.story.ask else "yolo", f"{version}#{self.session}"
        changed = self.call(talk, "session/set_mode", note, sessionId=self.session, modeId=mode)
        await self.result(talk, changed)

    async def ask(self, talk: Talk, prompt: str) -> Asked:
        said = [{"type": "text", "text": prompt}]
        return self.call(talk, "session/prompt", sessionId=self.session, prompt=said)

    async def turn_over(self, talk: Talk, asked: Asked) -> None:
        await self.answered(talk, asked)

    def answer(self, message: Message) -> Message | None:
        if message.get("method") != "session/request_permission":
            return None
        wanted = "allow_once" if self.story.allow else "reject_once"
        [option] = [one["optionId"] for one in message["params"]["options"] if one["kind"] == wanted]
        outcome = {"outcome": "selected", "optionId": option}
        return {**self.version, "id": message["id"], "result": {"outcome": outcome}}

    def says_that_a_command_runs(self, message: Message) -> bool:
        update = message.get("params", {}).get("update", {})
        return update.get("sessionUpdate") == "tool_call" and update.get("kind") == "execute"

    async def inject(self, talk: Talk, asked: Asked) -> Asked:
        """Nothing can be said in mid-turn: the turn is cancelled, and the next begins with what was to be said."""
        await self.interrupt(talk)
        await self.turn_over(talk, asked)
        return await self.ask(talk, self.story.inject)

    async def interrupt(self, talk: Talk) -> None:
        talk.say({**self.version, "method": "session/cancel", "params": {"sessionId": self.session}})


class OpenCodePlayer(GeminiPlayer):
    """`opencode acp`: the same protocol. It goes on with a session without telling it again, and has no modes."""

    cli = "opencode"
    going_on = "session/resume"

    async def choose(self, talk: Talk, version: str) -> None:
        pass

    def answer(self, message: Message) -> Message | None:
        if message.get("method") == "fs/write_text_file":
            error = {"code": -32601, "message": "fs/write_text_file is not supported"}
            return {**self.version, "id": message["id"], "error": error}
        return super().answer(message)


PLAYERS: dict[str, type[Player]] = {
    player.cli: player for player in (ClaudePlayer, CodexPlayer, GeminiPlayer, OpenCodePlayer)
}
