"""OpenAI's Responses API, as Codex speaks it with `wire_api = "responses"`: requests read, answers written as events.

Pure: bytes and the script's answers in, events out. Shapes from the public API reference and from requests of Codex
0.169.0.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from .script import Answer, Call, Patch, Position, Say, Shell, Wait

Event = dict[str, Any]
Item = dict[str, Any]

SHELL_SECONDS = 30
"""How long Codex may wait for a command before it reports that the command still runs."""


class UnplayableError(ValueError):
    """A request that the script cannot answer, and why."""


@dataclass(frozen=True)
class Request:
    """What one request tells about its conversation."""

    conversation: str
    """Stays the same when a session is resumed; empty if the client names none."""
    model: str
    items: int
    """Number of input items."""
    position: Position
    tools: Mapping[str, Item]
    """Tools on offer, by name."""
    polls: int
    """How often this turn has asked after commands that were still running."""
    running: int | None
    """The agent's number for the command that the last report says is still running."""


def read_request(body: bytes, session: str = "") -> Request:
    """Read the body of `POST /v1/responses`; `session` is the client's session header.

    A turn begins with a message of the user that follows words or deeds of the model; what the client tells in the
    user's name before the prompt (its environment, for one) therefore belongs to the same turn.

    Raises:
        UnplayableError: The body is no request for a streamed response.
    """
    try:
        document = json.loads(body)
        items = [{"type": "message", **item} for item in document["input"]]
        stream = document["stream"]
        tools = {tool.get("name", tool["type"]): tool for tool in document.get("tools", [])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnplayableError(f"not a request for a response: {error!r}") from error
    if stream is not True:
        raise UnplayableError("only streamed responses are played: set stream to true")

    turn = answered = polls = 0
    users_word = False
    running = None
    for item in items:
        kind = item["type"]
        if kind == "message" and item.get("role") == "user":
            if not users_word:
                turn, answered, polls, running = turn + 1, 0, 0, None
            users_word = True
        elif kind != "message" or item.get("role") == "assistant":
            users_word = False
        if kind.endswith("_call_output"):
            if str(item.get("call_id", "")).startswith("poll_"):
                polls += 1
            else:
                answered += 1
            running = _running_command(item.get("output"))
    if turn == 0:
        raise UnplayableError("the input holds no message of a user")
    return Request(
        conversation=str(document.get("prompt_cache_key") or session),
        model=str(document.get("model", "")),
        items=len(items),
        position=Position(turn, answered),
        tools=tools,
        polls=polls,
        running=running,
    )


def _running_command(output: object) -> int | None:
    text = output if isinstance(output, str) else json.dumps(output)
    header = text.split("Output:", 1)[0]
    found = re.search(r"Process running with session ID (\d+)", header)
    return int(found[1]) if found else None


def events(answer: Answer, request: Request) -> Iterator[Event | Wait]:
    """The events of one streamed response, with the silences between them.

    Usage is made up, but the same each time: 100 input tokens for each input item, an output token for each four
    characters.

    Raises:
        UnplayableError: The client offers no tool for a call of the script.
    """
    where = f"{request.position.turn}_{request.position.answered}"
    if request.running is not None and "write_stdin" in request.tools:
        items: list[Item | Wait] = [_poll(f"poll_{where}_{request.polls}", request.running)]
        where = f"{where}_{request.polls}"
    else:
        items = [
            part if isinstance(part, Wait) else _message(f"msg_{where}_{number}", part)
            for number, part in enumerate(answer.parts)
        ]
        if answer.call is not None:
            items.append(_call(f"call_{where}", answer.call, request.tools))
    return _numbered(_response(f"resp_{where}_{_digest(request.conversation)}", items, request))


def _numbered(stream: Iterator[Event | Wait]) -> Iterator[Event | Wait]:
    number = 0
    for event in stream:
        if isinstance(event, Wait):
            yield event
        else:
            yield {**event, "sequence_number": number}
            number += 1


def _response(identifier: str, items: list[Item | Wait], request: Request) -> Iterator[Event | Wait]:
    response: Item = {"id": identifier, "object": "response", "model": request.model, "output": []}
    yield {"type": "response.created", "response": {**response, "status": "in_progress"}}
    output: list[Item] = []
    for item in items:
        if isinstance(item, Wait):
            yield item
            continue
        place = {"item_id": item["id"], "output_index": len(output)}
        kind, field, opened = _opened(item)
        yield {"type": "response.output_item.added", "output_index": len(output), "item": opened}
        for piece in re.findall(r"\S*\s*", field):
            if piece:
                yield {"type": f"response.{kind}.delta", **place, "delta": piece}
        yield {"type": "response.output_item.done", "output_index": len(output), "item": item}
        output.append(item)
    yield {
        "type": "response.completed",
        "response": {**response, "status": "completed", "output": output, "usage": _usage(request, output)},
    }


def _opened(item: Item) -> tuple[str, str, Item]:
    """The name of an item's delta events, the text they carry, and the item before any of it has come."""
    match item["type"]:
        case "message":
            return "output_text", item["content"][0]["text"], {**item, "content": [], "status": "in_progress"}
        case "custom_tool_call":
            return "custom_tool_call_input", item["input"], {**item, "input": "", "status": "in_progress"}
        case _:
            return (
                "function_call_arguments",
                item["arguments"],
                {**item, "arguments": "", "status": "in_progress"},
            )


def _usage(request: Request, output: list[Item]) -> Item:
    given = 100 * request.items
    made = sum(len(_opened(item)[1]) for item in output) // 4
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + made,
    }


def _message(identifier: str, part: Say) -> Item:
    content = [{"type": "output_text", "text": part.say, "annotations": []}]
    return {
        "type": "message",
        "id": identifier,
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def _call(identifier: str, call: Call, tools: Mapping[str, Item]) -> Item:
    match call:
        case Shell(shell=command):
            return _shell(identifier, command, tools)
        case Patch(patch=patch):
            return _patch(identifier, patch, tools)
        case _:
            assert_never(call)


def _shell(identifier: str, command: str, tools: Mapping[str, Item]) -> Item:
    if "exec_command" in tools:
        return _function(
            identifier,
            "exec_command",
            {"cmd": command, "login": False, "yield_time_ms": 1000 * SHELL_SECONDS},
        )
    if "shell_command" in tools:
        return _function(identifier, "shell_command", {"command": command})
    if "shell" in tools:
        return _function(identifier, "shell", {"command": ["sh", "-c", command]})
    raise UnplayableError(f"no shell among the tools on offer: {', '.join(sorted(tools)) or 'none'}")


def _patch(identifier: str, patch: str, tools: Mapping[str, Item]) -> Item:
    tool = tools.get("apply_patch")
    if tool is None:
        return _shell(identifier, f"apply_patch <<'END_OF_PATCH'\n{patch}\nEND_OF_PATCH\n", tools)
    if tool["type"] == "custom":
        return {
            "type": "custom_tool_call",
            "id": f"item_{identifier}",
            "call_id": identifier,
            "name": "apply_patch",
            "input": patch,
            "status": "completed",
        }
    return _function(identifier, "apply_patch", {"input": patch})


def _poll(identifier: str, command: int) -> Item:
    return _function(
        identifier, "write_stdin", {"session_id": command, "chars": "", "yield_time_ms": 1000 * SHELL_SECONDS}
    )


def _function(identifier: str, name: str, arguments: Item) -> Item:
    return {
        "type": "function_call",
        "id": f"item_{identifier}",
        "call_id": identifier,
        "name": name,
        "arguments": json.dumps(arguments),
        "status": "completed",
    }


def error_body(status: int, message: str) -> Item:
    """The JSON body of an HTTP error."""
    match status:
        case 401:
            kind, code = "invalid_request_error", "invalid_api_key"
        case 429:
            kind, code = "requests", "rate_limit_exceeded"
        case _ if status >= 500:
            kind, code = "server_error", "server_error"
        case _:
            kind, code = "invalid_request_error", "invalid_request"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def models_body() -> Item:
    """The answer to `GET /v1/models`."""
    return {
        "object": "list",
        "data": [{"id": "scripted", "object": "model", "created": 0, "owned_by": "axiom"}],
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
