"""How each CLI is spoken with in its structured mode: the person's side of a story."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
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
                await self._command_runs()
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

    async def _command_runs(self) -> None:
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
    async def inject(self, talk: Talk, asked: Any) -> Any:
        """The person says something while the agent works; what tells the end of the turn that then comes."""

    @abstractmethod
    async def interrupt(self, talk: Talk) -> None:
        """The person stops the agent's turn."""


class ClaudePlayer(Player):
    """stream-json with control requests."""

    cli = "claude"

    async def open(self, talk: Talk) -> None:
        talk.say({"type": "control_request", "request_id": "open", "request": {"subtype": "initialize"}})
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
        if message["type"] != "control_request" or request.get("subtype") != "can_use_tool":
            return None
        if self.story.allow:
            response = {"behavior": "allow", "updatedInput": request["input"]}
        else:
            response = {"behavior": "deny", "message": "Not in this task."}
        return {
            "type": "control_response",
            "response": {"subtype": "success", "request_id": message["request_id"], "response": response},
        }

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


class RpcPlayer(Player):
    """JSON-RPC, one message a line."""

    version: ClassVar[dict[str, str]] = {}

    def __init__(self, story: Story, start: Start, workspace: Path) -> None:
        super().__init__(story, start, workspace)
        self._ids = itertools.count(1)

    def call(self, talk: Talk, method: str, **params: Any) -> int:
        """Sends a request; its id."""
        number = next(self._ids)
        talk.say({**self.version, "id": number, "method": method, "params": params})
        return number

    async def result(self, talk: Talk, number: int, what: str) -> Message:
        """What a request came to."""
        found = await talk.until(
            lambda message: message.get("id") == number and "method" not in message, what
        )
        assert "result" in found, found
        result: Message = found["result"]
        return result


class CodexPlayer(RpcPlayer):
    """`codex app-server`."""

    cli = "codex"

    async def open(self, talk: Talk) -> None:
        client = {"name": "axiom", "title": "Axiom", "version": "0"}
        await self.result(talk, self.call(talk, "initialize", clientInfo=client), "initialize")
        talk.say({"method": "initialized"})
        how = {
            "cwd": str(self.workspace),
            "approvalPolicy": "untrusted" if self.story.ask else "never",
            "sandbox": "danger-full-access",
        }
        if self.session:
            number = self.call(talk, "thread/resume", threadId=self.session, **how)
        else:
            number = self.call(talk, "thread/start", **how)
        self.session = (await self.result(talk, number, "thread"))["thread"]["id"]

    async def ask(self, talk: Talk, prompt: str) -> str:
        number = self.call(
            talk, "turn/start", threadId=self.session, input=[{"type": "text", "text": prompt}]
        )
        turn: str = (await self.result(talk, number, "turn/start"))["turn"]["id"]
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

    async def inject(self, talk: Talk, asked: str) -> str:
        said = [{"type": "text", "text": self.story.inject}]
        number = self.call(talk, "turn/steer", threadId=self.session, expectedTurnId=asked, input=said)
        await self.result(talk, number, "turn/steer")
        return asked

    async def interrupt(self, talk: Talk) -> None:
        number = self.call(talk, "turn/interrupt", threadId=self.session, turnId=self._turn)
        await self.result(talk, number, "turn/interrupt")


class GeminiPlayer(RpcPlayer):
    """`gemini --acp`: the Agent Client Protocol."""

    cli = "gemini"
    version: ClassVar[dict[str, str]] = {"jsonrpc": "2.0"}

    async def open(self, talk: Talk) -> None:
        client = {"name": "axiom", "title": "Axiom", "version": "0"}
        cannot = {"fs": {"readTextFile": False, "writeTextFile": False}}
        number = self.call(
            talk, "initialize", protocolVersion=1, clientInfo=client, clientCapabilities=cannot
        )
        await self.result(talk, number, "initialize")
        where = {"cwd": str(self.workspace), "mcpServers": []}
        if self.session:
            await self.result(
                talk, self.call(talk, "session/load", sessionId=self.session, **where), "session/load"
            )
        else:
            number = self.call(talk, "session/new", **where)
            self.session = (await self.result(talk, number, "session/new"))["sessionId"]
        mode = "default" if self.story.ask else "yolo"
        number = self.call(talk, "session/set_mode", sessionId=self.session, modeId=mode)
        await self.result(talk, number, "session/set_mode")

    async def ask(self, talk: Talk, prompt: str) -> int:
        said = [{"type": "text", "text": prompt}]
        return self.call(talk, "session/prompt", sessionId=self.session, prompt=said)

    async def turn_over(self, talk: Talk, asked: int) -> None:
        await talk.until(lambda message: message.get("id") == asked and "method" not in message, "prompt")

    def answer(self, message: Message) -> Message | None:
        if message.get("method") != "session/request_permission":
            return None
        wanted = "allow_once" if self.story.allow else "reject_once"
        [option] = [one["optionId"] for one in message["params"]["options"] if one["kind"] == wanted]
        outcome = {"outcome": "selected", "optionId": option}
        return {**self.version, "id": message["id"], "result": {"outcome": outcome}}

    async def inject(self, talk: Talk, asked: int) -> int:
        """Nothing can be said in mid-turn: the turn is cancelled, and the next begins with what was to be said."""
        await self.interrupt(talk)
        await self.turn_over(talk, asked)
        return await self.ask(talk, self.story.inject)

    async def interrupt(self, talk: Talk) -> None:
        talk.say({**self.version, "method": "session/cancel", "params": {"sessionId": self.session}})


PLAYERS: dict[str, type[Player]] = {
    player.cli: player for player in (ClaudePlayer, CodexPlayer, GeminiPlayer)
}
