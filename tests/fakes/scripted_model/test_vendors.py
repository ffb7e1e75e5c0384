"""The same story told to an agent of each vendor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from . import Script, ScriptedModel

Item = dict[str, Any]
NEW_FILE = "*** Begin Patch\n*** Add File: a.txt\n+one\n+two\n*** End Patch"
CHANGE = "*** Begin Patch\n*** Update File: a.txt\n@@ top\n one\n-two\n+three\n*** End Patch"


@dataclass(frozen=True)
class Heard:
    """One answer, as an agent understands it."""

    status: int
    words: str = ""
    thoughts: str = ""
    calls: tuple[tuple[str, Item], ...] = ()
    usage: tuple[int, int] = (0, 0)
    error: Item = field(default_factory=dict)
    retry_after: str | None = None
    ended: bool = True


@dataclass
class Agent:
    """Holds a conversation as a vendor's CLI does."""

    model: ScriptedModel
    history: list[Item] = field(default_factory=list)

    path = ""
    key_header = ""

    def say(self, text: str) -> None:
        raise NotImplementedError

    def report(self) -> None:
        """Tell the outcome of the calls of the last answer."""
        raise NotImplementedError

    def body(self) -> Item:
        raise NotImplementedError

    def understand(self, events: list[Item]) -> Heard:
        raise NotImplementedError

    async def hear(self, key: str = "right") -> Heard:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                self.model.url + self.path, json=self.body(), headers={self.key_header: key}
            ) as response,
        ):
            if response.content_type != "text/event-stream":
                error = await response.json()
                return Heard(response.status, error=error, retry_after=response.headers.get("Retry-After"))
            text, ended = b"", True
            try:
                async for piece in response.content.iter_any():
                    text += piece
            except aiohttp.ClientPayloadError:
                ended = False
        frames = [frame for frame in text.decode().split("\n\n") if frame]
        events = [json.loads(frame.partition("data: ")[2]) for frame in frames]
        heard = self.understand(events)
        return heard if ended else Heard(heard.status, words=heard.words, ended=False)


class Claude(Agent):
    path = "/v1/messages?beta=true"
    key_header = "x-api-key"

    def say(self, text: str) -> None:
        reminder = {"type": "text", "text": "<system-reminder>\nBe brief.\n</system-reminder>"}
        self.history.append({"role": "user", "content": [reminder, {"type": "text", "text": text}]})
        self.history.append({"role": "system", "content": "# Environment"})

    def report(self) -> None:
        called = [block for block in self.history[-1]["content"] if block["type"] == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "done"} for call in called]
        self.history.append({"role": "user", "content": results})

    def body(self) -> Item:
        tools = [{"name": name, "input_schema": {}} for name in ("Bash", "Read", "Edit", "Write")]
        return {"model": "claude", "stream": True, "messages": self.history, "tools": tools}

    def understand(self, events: list[Item]) -> Heard:
        blocks: list[Item] = []
        usage = (0, 0)
        for event in events:
            match event["type"]:
                case "content_block_start":
                    blocks.append({**event["content_block"], "json": ""})
                case "content_block_delta":
                    block, delta = blocks[event["index"]], event["delta"]
                    block["text"] = block.get("text", "") + delta.get("text", delta.get("thinking", ""))
                    block["json"] += delta.get("partial_json", "")
                case "message_start":
                    usage = (event["message"]["usage"]["input_tokens"], 0)
                case "message_delta":
                    usage = (usage[0], event["usage"]["output_tokens"])
                    stop = event["delta"]["stop_reason"]
        calls = tuple((block["name"], json.loads(block["json"] or "{}")) for block in blocks if block["json"])
        if events[-1]["type"] == "message_stop":
            assert stop == ("tool_use" if calls else "end_turn")
        self.history.append({"role": "assistant", "content": blocks})
        return Heard(
            200,
            words="".join(block["text"] for block in blocks if block["type"] == "text"),
            thoughts="".join(block["text"] for block in blocks if block["type"] == "thinking"),
            calls=calls,
            usage=usage,
        )


class Gemini(Agent):
    path = "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"
    key_header = "x-goog-api-key"

    def say(self, text: str) -> None:
        self.history.append({"role": "user", "parts": [{"text": text}]})

    def report(self) -> None:
        called = [part["functionCall"] for part in self.history[-1]["parts"] if "functionCall" in part]
        parts = [
            {"functionResponse": {"id": call["id"], "name": call["name"], "response": {"output": "done"}}}
            for call in called
        ]
        self.history.append({"role": "user", "parts": parts})

    def body(self) -> Item:
        names = ("run_shell_command", "write_file", "replace")
        return {
            "contents": self.history,
            "tools": [{"functionDeclarations": [{"name": name} for name in names]}],
        }

    def understand(self, events: list[Item]) -> Heard:
        parts = [part for event in events for part in event["candidates"][0]["content"]["parts"]]
        self.history.append({"role": "model", "parts": parts})
        usage = events[-1]["usageMetadata"] if events else {"promptTokenCount": 0, "candidatesTokenCount": 0}
        return Heard(
            200,
            words="".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
            thoughts="".join(part["text"] for part in parts if part.get("thought")),
            calls=tuple(
                (part["functionCall"]["name"], part["functionCall"]["args"])
                for part in parts
                if "functionCall" in part
            ),
            usage=(usage["promptTokenCount"], usage["candidatesTokenCount"]),
        )


class Codex(Agent):
    path = "/v1/responses"
    key_header = "Authorization"

    async def hear(self, key: str = "right") -> Heard:
        return await super().hear(f"Bearer {key}")

    def say(self, text: str) -> None:
        self.history.append({"type": "message", "role": "user", "content": [{"text": text}]})

    def report(self) -> None:
        call = self.history[-1]
        kind = "custom_tool_call_output" if call["type"] == "custom_tool_call" else "function_call_output"
        self.history.append({"type": kind, "call_id": call["call_id"], "output": "Output:\n"})

    def body(self) -> Item:
        tools = [{"type": "function", "name": "exec_command"}, {"type": "custom", "name": "apply_patch"}]
        return {
            "model": "gpt",
            "stream": True,
            "input": self.history,
            "tools": tools,
            "prompt_cache_key": "one",
        }

    def understand(self, events: list[Item]) -> Heard:
        items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        self.history.extend(items)
        usage = events[-1].get("response", {}).get("usage", {"input_tokens": 0, "output_tokens": 0})
        return Heard(
            200,
            words="".join(item["content"][0]["text"] for item in items if item["type"] == "message"),
            thoughts="".join(item["summary"][0]["text"] for item in items if item["type"] == "reasoning"),
            calls=tuple(
                (item["name"], json.loads(item["arguments"]) if "arguments" in item else {})
                for item in items
                if item["type"].endswith("_call")
            ),
            usage=(usage["input_tokens"], usage["output_tokens"]),
        )


def script(*turns: Sequence[Item]) -> Script:
    return Script.model_validate({"turns": turns})


every_vendor = pytest.mark.parametrize("agent_type", [Claude, Codex, Gemini])


@every_vendor
async def test_a_story_of_two_turns_with_a_call(agent_type: type[Agent]) -> None:
    story = script(
        [{"think": "Hm, files."}, {"say": "I look."}, {"shell": "ls -l"}, {"say": "Done."}],
        [{"say": "Done again."}],
    )
    async with ScriptedModel(story, expected_key="right") as model:
        agent = agent_type(model)
        agent.say("Go.")
        first = await agent.hear()
        agent.report()
        second = await agent.hear()
        agent.say("Once more.")
        third = await agent.hear()

    assert (first.thoughts, first.words) == ("Hm, files.", "I look.")
    [(_, arguments)] = first.calls
    assert "ls -l" in arguments.values()
    assert (second.words, second.calls) == ("Done.", ())
    assert third.words == "Done again."
    assert 0 < first.usage[0] < second.usage[0] < third.usage[0]
    assert min(first.usage[1], second.usage[1], third.usage[1]) > 0
    assert [(record.turn, record.answered) for record in model.requests] == [(1, 0), (1, 1), (2, 0)]
    assert len({record.conversation for record in model.requests}) == 1


@every_vendor
async def test_errors_then_a_silence_then_a_closed_connection_then_the_answer(
    agent_type: type[Agent],
) -> None:
    story = script(
        [
            {"error": {"status": 429, "retryAfterSeconds": 7}},
            {"error": {"status": 529}},
            {"say": "Half of it. "},
            {"hang": 1},
            {"close": 1},
            {"say": "And the rest."},
        ]
    )
    async with ScriptedModel(story) as model:
        agent = agent_type(model)
        agent.say("Go.")
        limited, overloaded = await agent.hear(), await agent.hear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await agent.hear()
        broken = await agent.hear()
        del agent.history[1:]
        whole = await agent.hear()

    assert (limited.status, limited.retry_after, overloaded.status) == (429, "7", 529)
    assert (broken.ended, broken.words) == (False, "Half of it. ")
    assert (whole.ended, whole.words) == (True, "Half of it. And the rest.")


@every_vendor
async def test_a_wrong_key_is_refused_in_the_vendors_own_words(agent_type: type[Agent]) -> None:
    async with ScriptedModel(script([{"say": "Done."}]), expected_key="right") as model:
        agent = agent_type(model)
        agent.say("Go.")
        refused = await agent.hear("wrong")

    assert refused.status == 401
    error = refused.error["error"]
    assert {error.get("type"), error.get("status")} & {
        "authentication_error",
        "UNAUTHENTICATED",
        "invalid_request_error",
    }


async def test_claude_writes_and_edits_what_a_patch_says_and_reads_first() -> None:
    async with ScriptedModel(script([{"patch": NEW_FILE}, {"patch": CHANGE}, {"say": "Done."}])) as model:
        agent = Claude(model)
        agent.say("Go.")
        written = await agent.hear()
        agent.report()
        changed = await agent.hear()
        agent.report()
        last = await agent.hear()

    assert written.calls == (("Write", {"file_path": "a.txt", "content": "one\ntwo\n"}),)
    assert changed.calls == (
        ("Read", {"file_path": "a.txt"}),
        ("Edit", {"file_path": "a.txt", "old_string": "one\ntwo\n", "new_string": "one\nthree\n"}),
    )
    assert last.words == "Done."


async def test_gemini_writes_and_replaces_what_a_patch_says() -> None:
    async with ScriptedModel(script([{"patch": NEW_FILE}, {"patch": CHANGE}, {"say": "Done."}])) as model:
        agent = Gemini(model)
        agent.say("Go.")
        [written] = (await agent.hear()).calls
        agent.report()
        [(name, arguments)] = (await agent.hear()).calls

    assert written == ("write_file", {"file_path": "a.txt", "content": "one\ntwo\n"})
    assert (name, arguments["old_string"], arguments["new_string"]) == (
        "replace",
        "one\ntwo\n",
        "one\nthree\n",
    )


@pytest.mark.parametrize("agent_type", [Claude, Gemini])
@pytest.mark.parametrize(
    "patch",
    [
        "*** Begin Patch\n*** Delete File: a.txt\n*** End Patch",
        "*** Begin Patch\n*** Add File: a\n+a\n*** Add File: b\n+b\n*** End Patch",
        "no patch",
    ],
)
async def test_a_patch_that_one_call_cannot_stand_for_is_refused(agent_type: type[Agent], patch: str) -> None:
    async with ScriptedModel(script([{"patch": patch}, {"say": "Done."}])) as model:
        agent = agent_type(model)
        agent.say("Go.")
        refused = await agent.hear()

    assert refused.status == 400
    assert "The script cannot answer this" in refused.error["error"]["message"]


@pytest.mark.parametrize("agent_type", [Claude, Gemini])
async def test_an_aside_leaves_the_story_where_it_is(agent_type: type[Agent]) -> None:
    story = script([{"error": {"status": 500}}, {"say": "Done."}])
    async with ScriptedModel(story) as model, aiohttp.ClientSession() as session:
        agent = agent_type(model)
        agent.say("Go.")
        aside = {**agent.body(), "tools": []}
        async with session.post(model.url + agent.path, json=aside) as response:
            assert response.status == 200
        assert (await agent.hear()).status == 500
        assert (await agent.hear()).words == "Done."


@pytest.mark.parametrize(
    ("agent_type", "path", "changes", "counted"),
    [
        (Claude, "/v1/messages", {"stream": False}, "/v1/messages/count_tokens"),
        (Gemini, "/v1beta/models/x:generateContent", {}, "/v1beta/models/x:countTokens"),
    ],
)
async def test_an_answer_may_come_whole_and_tokens_be_counted(
    agent_type: type[Agent], path: str, changes: Item, counted: str
) -> None:
    async with ScriptedModel(script([{"say": "Done."}])) as model, aiohttp.ClientSession() as session:
        agent = agent_type(model)
        agent.say("Go.")
        async with session.post(model.url + path, json=agent.body() | changes) as response:
            assert "Done." in json.dumps(await response.json())
        async with session.post(model.url + counted, json=agent.body()) as response:
            [tokens] = (await response.json()).values()
            assert tokens >= 100


@every_vendor
async def test_a_conversation_in_which_a_text_stands_is_played_by_its_own_turns(
    agent_type: type[Agent],
) -> None:
    story = Script.model_validate(
        {
            "turns": [[{"say": "First."}], [{"say": "Second."}]],
            "told": {'Their "summary":\n': [[{"say": "Afresh."}], [{"say": "Afresh again."}]]},
            "tokensPerItem": 5_000,
        }
    )
    async with ScriptedModel(story) as model:
        first, afresh = agent_type(model), agent_type(model)
        first.say("Go.")
        afresh.say('Go on. Their "summary":\n\nNothing.')
        heard = [await first.hear(), await afresh.hear()]
        first.say("Once more.")
        afresh.say("Once more.")
        heard += [await first.hear(), await afresh.hear()]

    assert [one.words for one in heard] == ["First.", "Afresh.", "Second.", "Afresh again."]
    assert heard[0].usage[0] % 5_000 == 0 < heard[0].usage[0]
