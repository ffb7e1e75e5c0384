from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from . import Script, ScriptedModel, ScriptError, load_script
from .conversations import UnplayableError
from .openai import read_request

REPOSITORY = Path(__file__).parents[3]
PATCH = "*** Begin Patch\n*** Add File: a\n+a\n*** End Patch"
SHELL_TOOL = {
    "type": "function",
    "name": "exec_command",
    "parameters": {"properties": {"cmd": {}, "login": {}, "yield_time_ms": {}}},
}
POLL_TOOL = {"type": "function", "name": "write_stdin", "parameters": {"properties": {"session_id": {}}}}
PATCH_TOOL = {"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}}
TOOLS = (SHELL_TOOL, POLL_TOOL, PATCH_TOOL)

Item = dict[str, Any]


def script(*turns: Sequence[Item]) -> Script:
    return Script.model_validate({"turns": turns})


def user(text: str) -> Item:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def outcome_of(call: Item, output: str = "Process exited with code 0\nOutput:\n") -> Item:
    kind = "custom_tool_call_output" if call["type"] == "custom_tool_call" else "function_call_output"
    return {"type": kind, "call_id": call["call_id"], "output": output}


def request_body(history: Sequence[Item], tools: Sequence[Item] = TOOLS, **more: Any) -> Item:
    return {"model": "gpt", "stream": True, "input": list(history), "tools": list(tools)} | more


async def post(model: ScriptedModel, body: Item, key: str | None = None) -> tuple[int, list[Item], Item]:
    """Status, events (of a streamed answer) or JSON (of any other), and headers."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{model.url}/v1/responses", json=body, headers=headers) as response,
    ):
        text = await response.text()
        if response.content_type != "text/event-stream":
            return response.status, [json.loads(text)], dict(response.headers)
        frames = [frame.split("\n") for frame in text.split("\n\n") if frame]
        events = [json.loads(data.removeprefix("data: ")) for _, data in frames]
        assert [name.removeprefix("event: ") for name, _ in frames] == [event["type"] for event in events]
        return response.status, events, dict(response.headers)


async def answer(model: ScriptedModel, history: Sequence[Item], tools: Sequence[Item] = TOOLS) -> list[Item]:
    status, events, _ = await post(model, request_body(history, tools))
    assert status == 200, events
    output: list[Item] = events[-1]["response"]["output"]
    return output


def words(output: list[Item]) -> list[str]:
    return [item["content"][0]["text"] for item in output if item["type"] == "message"]


async def test_each_reported_outcome_brings_the_next_step() -> None:
    story = script([{"say": "First."}, {"shell": "ls"}, {"say": "Then."}, {"patch": PATCH}, {"say": "Done."}])
    async with ScriptedModel(story) as model:
        history = [user("Go.")]
        first = await answer(model, history)
        history += [*first, outcome_of(first[-1])]
        second = await answer(model, history)
        history += [*second, outcome_of(second[-1])]
        third = await answer(model, history)

    assert words(first) == ["First."]
    assert json.loads(first[-1]["arguments"])["cmd"] == "ls"
    assert words(second) == ["Then."]
    assert (second[-1]["name"], second[-1]["input"]) == ("apply_patch", PATCH)
    assert words(third) == ["Done."]
    assert len(third) == 1


async def test_a_further_message_of_the_user_brings_the_next_turn() -> None:
    async with ScriptedModel(script([{"say": "One."}], [{"say": "Two."}])) as model:
        history = [user("Go.")]
        first = await answer(model, history)
        history += [*first, user("Go on.")]
        second = await answer(model, history)
        history += [*second, user("And on.")]
        third = await answer(model, history)

    assert [words(first), words(second)] == [["One."], ["Two."]]
    assert words(third) == ["Two."], "the last turn answers whatever comes after it"


async def test_what_is_told_before_the_prompt_belongs_to_the_same_turn() -> None:
    history = [
        user("<environment_context/>"),
        {"type": "message", "role": "developer", "content": []},
        user("Go."),
    ]
    async with ScriptedModel(script([{"say": "One."}], [{"say": "Two."}])) as model:
        assert words(await answer(model, history)) == ["One."]


async def test_the_place_in_the_story_survives_a_restart_of_the_server() -> None:
    story = script([{"shell": "ls"}, {"say": "Done."}])
    async with ScriptedModel(story) as model:
        [call] = await answer(model, [user("Go.")])
    async with ScriptedModel(story) as model:
        assert words(await answer(model, [user("Go."), call, outcome_of(call)])) == ["Done."]


async def test_conversations_do_not_disturb_each_other() -> None:
    story = script([{"shell": "ls"}, {"say": "Done."}])
    async with ScriptedModel(story) as model:
        [call] = await answer(model, [user("Go.")])
        history = [user("Go."), call, outcome_of(call)]
        answers = await asyncio.gather(answer(model, history), answer(model, [user("Go.")]))

    assert words(answers[0]) == ["Done."]
    assert answers[1] == [call]


async def test_a_command_that_still_runs_is_asked_after_until_it_has_ended() -> None:
    async with ScriptedModel(script([{"shell": "make"}, {"say": "Done."}])) as model:
        [call] = await answer(model, [user("Go.")])
        history = [user("Go."), call, outcome_of(call, "Process running with session ID 7\nOutput:\n")]
        [poll] = await answer(model, history)
        history += [poll, outcome_of(poll, "Process running with session ID 7\nOutput:\n")]
        [again] = await answer(model, history)
        history += [again, outcome_of(again)]
        last = await answer(model, history)

    assert poll["name"] == again["name"] == "write_stdin"
    assert json.loads(poll["arguments"])["session_id"] == 7
    assert len({call["call_id"], poll["call_id"], again["call_id"]}) == 3
    assert words(last) == ["Done."]


async def test_a_command_that_prints_the_words_of_a_running_one_has_ended() -> None:
    output = "Process exited with code 0\nOutput:\nProcess running with session ID 7\n"
    async with ScriptedModel(script([{"shell": "cat log"}, {"say": "Done."}])) as model:
        [call] = await answer(model, [user("Go.")])
        assert words(await answer(model, [user("Go."), call, outcome_of(call, output)])) == ["Done."]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("shell_command", {"command": "ls"}),
        ("shell", {"command": ["sh", "-c", "ls"]}),
    ],
)
async def test_the_shell_tool_is_the_one_on_offer(tool: str, arguments: Item) -> None:
    offered = [{"type": "function", "name": tool}]
    async with ScriptedModel(script([{"shell": "ls"}, {"say": "Done."}])) as model:
        [call] = await answer(model, [user("Go.")], offered)

    assert (call["name"], json.loads(call["arguments"])) == (tool, arguments)


async def test_a_patch_goes_to_a_function_where_there_is_no_free_form_tool() -> None:
    offered = [{"type": "function", "name": "apply_patch"}]
    async with ScriptedModel(script([{"patch": PATCH}, {"say": "Done."}])) as model:
        [call] = await answer(model, [user("Go.")], offered)

    assert json.loads(call["arguments"]) == {"input": PATCH}


async def test_a_patch_goes_through_the_shell_where_there_is_no_tool_for_it() -> None:
    async with ScriptedModel(script([{"patch": PATCH}, {"say": "Done."}])) as model:
        [call] = await answer(model, [user("Go.")], [SHELL_TOOL])

    command = json.loads(call["arguments"])["cmd"]
    assert command.startswith("apply_patch <<'")
    assert PATCH in command


async def test_a_client_without_a_fitting_tool_is_told_so() -> None:
    async with ScriptedModel(script([{"shell": "ls"}, {"say": "Done."}])) as model:
        status, [body], _ = await post(model, request_body([user("Go.")], [PATCH_TOOL]))

    assert status == 400
    assert "no shell among the tools on offer: apply_patch" in body["error"]["message"]


async def test_an_answer_streams_in_pieces_and_ends_with_the_whole() -> None:
    async with ScriptedModel(script([{"say": "Two words."}])) as model:
        _, events, _ = await post(model, request_body([user("Go.")]))

    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert deltas == ["Two ", "words."]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    assert words(events[-1]["response"]["output"]) == ["Two words."]


async def test_usage_is_the_same_each_time() -> None:
    async with ScriptedModel(script([{"say": "x" * 40}])) as model:
        usages = [
            (await post(model, request_body([user("Go.")])))[1][-1]["response"]["usage"] for _ in range(2)
        ]

    assert usages[0] == usages[1]
    assert (usages[0]["input_tokens"], usages[0]["output_tokens"], usages[0]["total_tokens"]) == (
        100,
        10,
        110,
    )


async def test_waits_fall_between_the_parts_of_an_answer() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    story = script([{"say": "A."}, {"wait": 90}, {"say": "B."}])
    async with ScriptedModel(story, sleep=sleep) as model:
        assert words(await answer(model, [user("Go.")])) == ["A.", "B."]
    assert waited == [90]


async def test_an_error_comes_as_often_as_the_script_says_and_then_the_answer() -> None:
    story = script([{"error": {"status": 429, "retryAfterSeconds": 3, "times": 2}}, {"say": "Done."}])
    body = request_body([user("Go.")], prompt_cache_key="one")
    async with ScriptedModel(story) as model:
        answers = [await post(model, body) for _ in range(3)]
        other = await post(model, body | {"prompt_cache_key": "another"})

    assert [status for status, _, _ in answers] == [429, 429, 200]
    assert answers[0][2]["Retry-After"] == "3"
    assert answers[0][1][0]["error"]["code"] == "rate_limit_exceeded"
    assert other[0] == 429, "each conversation has its own errors"


async def test_errors_of_different_kinds_come_in_order() -> None:
    story = script([{"error": {"status": 500}}, {"error": {"status": 429}}, {"say": "Done."}])
    async with ScriptedModel(story) as model:
        assert [(await post(model, request_body([user("Go.")])))[0] for _ in range(3)] == [500, 429, 200]


@pytest.mark.parametrize(("key", "status"), [("right", 200), ("wrong", 401), (None, 401)])
async def test_only_the_expected_key_is_answered(key: str | None, status: int) -> None:
    async with ScriptedModel(script([{"say": "Done."}]), expected_key="right") as model:
        assert (await post(model, request_body([user("Go.")]), key))[0] == status


async def test_the_log_tells_who_asked_what_without_the_key(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    async with ScriptedModel(script([{"say": "Done."}]), log=log) as model:
        await post(model, request_body([user("Go.")], prompt_cache_key="session-1"), key="secret-key")

    [record] = [json.loads(line) for line in log.read_text().splitlines()]
    assert record == {
        "method": "POST",
        "path": "/v1/responses",
        "status": 200,
        "key_digest": sha256(b"secret-key").hexdigest(),
        "items": 1,
        "conversation": "session-1",
        "turn": 1,
        "answered": 0,
        "holds": False,
    }
    assert "secret-key" not in log.read_text()


async def test_the_log_tells_which_requests_hold_a_text() -> None:
    async with ScriptedModel(script([{"say": "Done."}]), watched_for="mind the gap") as model:
        await post(model, request_body([user("Go.")]))
        await post(model, request_body([user("Go, and mind the gap.")]))
    assert [request.holds for request in model.requests] == [False, True]


async def test_models_can_be_listed_and_nothing_else_is_there() -> None:
    async with ScriptedModel(script([{"say": "Done."}])) as model, aiohttp.ClientSession() as session:
        async with session.get(f"{model.url}/v1/models") as listed:
            assert [entry["id"] for entry in (await listed.json())["data"]] == ["scripted"]
        async with session.get(f"{model.url}/v1/files") as missing:
            assert missing.status == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not a request"),
        (b"[]", "not a request"),
        (b'{"input": [], "stream": true}', "no message of a user"),
        (b'{"input": [{"role": "user"}], "stream": false}', "set stream to true"),
    ],
)
def test_a_request_that_cannot_be_answered_is_told_why(body: bytes, message: str) -> None:
    with pytest.raises(UnplayableError, match=message):
        read_request(body)


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([], "turns"),
        ([[]], "turn 1 must end with a say step"),
        ([[{"say": "A."}], [{"shell": "ls"}]], "turn 2 must end with a say step"),
        ([[{"say": "A."}, {"error": {"status": 500}}, {"say": "B."}]], "an error step must come first"),
        ([[{"sing": "A."}]], "sing"),
        ([[{"error": {"status": 200}}, {"say": "A."}]], "status"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused(tmp_path: Path, turns: list[Any], message: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"turns": turns}))
    with pytest.raises(ScriptError, match=message):
        load_script(path)


def test_a_text_may_be_a_list_of_lines() -> None:
    [part] = script([{"say": ["one", "two"]}]).turns[0]
    assert part.model_dump() == {"say": "one\ntwo"}


def test_the_program_tells_its_address_and_ends_when_told(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"turns": [[{"say": "Done."}]]}')
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.scripted_model", "--script", str(path)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_the_program_refuses_a_script_that_is_not_there(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fakes.scripted_model", "--script", str(tmp_path / "none.json")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "none.json" in ended.stderr
