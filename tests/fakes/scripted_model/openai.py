"""OpenAI's Responses API, as Codex speaks it with `wire_api = "responses"`: requests read, answers written as events.

Pure: bytes and the script's answers in, events out. Shapes from the public API reference and from requests of Codex
0.169.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from .conversations import (
    Counting,
    Item,
    Request,
    UnplayableError,
    digest,
    output_tokens,
    pieces,
)
from .script import Answer, Break, Call, Patch, Say, Shell, Think, Wait

Event = dict[str, Any]

SHELL_SECONDS = 30
"""How long Codex may wait for a command before it reports that the command still runs."""


@dataclass(frozen=True, kw_only=True)
class ResponsesRequest(Request):
    """A request, and where the agent stands with a command that it left running."""

    polls: int
    """How often this turn has asked after commands that were still running."""
    running: int | None
    """The agent's number for the command that the last report says is still running."""


def read_request(body: bytes, session: str = "") -> ResponsesRequest:
    """Read the body of `POST /v1/responses`; `session` is the client's session header.

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

    counting = Counting()
    polls = 0
    running = None
    for item in items:
        kind = item["type"]
        if kind == "message" and item.get("role") == "user":
            if counting.user_speaks():
                polls, running = 0, None
        elif kind.endswith("_call_output"):
            if str(item.get("call_id", "")).startswith("poll_"):
                polls += 1
                counting.model_acts()
            else:
                counting.outcome_comes()
            running = _running_command(item.get("output"))
        elif kind != "message" or item.get("role") == "assistant":
            counting.model_acts()
    return ResponsesRequest(
        conversation=str(document.get("prompt_cache_key") or session),
        model=str(document.get("model", "")),
        items=len(items),
        position=counting.position(),
        tools=tools,
        aside=running is not None,
        polls=polls,
        running=running,
    )


def _running_command(output: object) -> int | None:
    text = output if isinstance(output, str) else json.dumps(output)
    header = text.split("Output:", 1)[0]
    found = re.search(r"Process running with session ID (\d+)", header)
    return int(found[1]) if found else None


def events(answer: Answer, request: ResponsesRequest) -> Iterator[Event | Wait | Break]:
    """The events of one streamed response, with the silences between them.

    Raises:
        UnplayableError: The client offers no tool for a call of the script.
    """
    where = request.place
    if request.running is not None and "write_stdin" in request.tools:
        items: list[Item | Wait | Break] = [_poll(f"poll_{where}_{request.polls}", request.running)]
        where = f"{where}_{request.polls}"
    else:
        items = [
            part if isinstance(part, Wait | Break) else _words(f"{where}_{number}", part)
            for number, part in enumerate(answer.parts)
        ]
        if answer.call is not None:
            items.append(_call(f"call_{where}", answer.call, request.tools))
    return _numbered(_response(f"resp_{where}_{digest(request.conversation)}", items, request))


def frame(event: Event) -> bytes:
    """An event as it is sent."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _numbered(stream: Iterator[Event | Wait | Break]) -> Iterator[Event | Wait | Break]:
    number = 0
    for event in stream:
        if isinstance(event, Wait | Break):
            yield event
        else:
            yield {**event, "sequence_number": number}
            number += 1


def _response(
    identifier: str, items: list[Item | Wait | Break], request: Request
) -> Iterator[Event | Wait | Break]:
    response: Item = {"id": identifier, "object": "response", "model": request.model, "output": []}
    yield {"type": "response.created", "response": {**response, "status": "in_progress"}}
    output: list[Item] = []
    for item in items:
        if isinstance(item, Wait | Break):
            yield item
            continue
        place = {"item_id": item["id"], "output_index": len(output)}
        kind, field, opened = _opened(item)
        yield {"type": "response.output_item.added", "output_index": len(output), "item": opened}
        if item["type"] == "reasoning":
            place["summary_index"] = 0
            empty = {"type": "summary_text", "text": ""}
            yield {"type": "response.reasoning_summary_part.added", **place, "part": empty}
        for piece in pieces(field):
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
        case "reasoning":
            return "reasoning_summary_text", item["summary"][0]["text"], {**item, "summary": []}
        case "custom_tool_call":
            return "custom_tool_call_input", item["input"], {**item, "input": "", "status": "in_progress"}
        case _:
            return (
                "function_call_arguments",
                item["arguments"],
                {**item, "arguments": "", "status": "in_progress"},
            )


def _usage(request: Request, output: list[Item]) -> Item:
    given = request.tokens
    made = output_tokens(sum(len(_opened(item)[1]) for item in output))
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + made,
    }


def _words(place: str, part: Say | Think) -> Item:
    match part:
        case Say(say=text):
            content = [{"type": "output_text", "text": text, "annotations": []}]
            return {
                "type": "message",
                "id": f"msg_{place}",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        case Think(think=text):
            summary = [{"type": "summary_text", "text": text}]
            return {"type": "reasoning", "id": f"rs_{place}", "summary": summary}
        case _:
            assert_never(part)


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


def error_body(status: int, message: str, retry_after: int | None = None) -> Item:
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
