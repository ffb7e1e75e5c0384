"""Anthropic's Messages API, as Claude Code speaks it: requests read, answers written as events.

Pure: bytes and the script's answers in, events out. Shapes from the public API reference and from requests of Claude
Code 2.1.329.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
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
from .patches import Replaced, Written, read_patch
from .script import Answer, Break, Call, Patch, Say, Shell, Think, Wait

Event = dict[str, Any]

READING = "toolu_read_"
"""How the ids of calls begin that only make the agent's own rules content: a file must be read before it is edited."""


def read_request(body: bytes, session: str = "") -> Request:
    """Read the body of `POST /v1/messages`; `session` is the client's session header.

    Without tools on offer, the client asks for a title or the like: an aside.

    Raises:
        UnplayableError: The body is no request for a message.
    """
    try:
        document = json.loads(body)
        messages = [(message["role"], _blocks(message["content"])) for message in document["messages"]]
        tools = {tool["name"]: tool for tool in document.get("tools", [])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnplayableError(f"not a request for a message: {error!r}") from error

    counting = Counting()
    for role, blocks in messages:
        if role == "assistant":
            counting.model_acts()
            continue
        for block in blocks:
            if block["type"] == "tool_result":
                if str(block.get("tool_use_id", "")).startswith(READING):
                    counting.model_acts()
                else:
                    counting.outcome_comes()
            elif role == "user" and not _is_reminder(block):
                counting.user_speaks()
    return Request(
        conversation=session,
        model=str(document.get("model", "")),
        items=sum(len(blocks) for _, blocks in messages),
        position=counting.position(),
        tools=tools,
        aside=not tools,
        streamed=document.get("stream") is True,
    )


def _blocks(content: Any) -> list[Item]:
    return (
        [{"type": "text", "text": content}] if isinstance(content, str) else [{**block} for block in content]
    )


def _is_reminder(block: Item) -> bool:
    """Whether the client says this itself, in the user's name."""
    return block["type"] == "text" and str(block["text"]).lstrip().startswith("<system-reminder>")


def events(answer: Answer, request: Request) -> Iterator[Event | Wait | Break]:
    """The events of one streamed message, with the silences between them.

    Raises:
        UnplayableError: The client offers no tool for a call of the script.
    """
    return _stream(_contents(answer, request), request)


def message(answer: Answer, request: Request) -> Item:
    """The whole of a message that is not streamed; silences and breaks are left out.

    Raises:
        UnplayableError: The client offers no tool for a call of the script.
    """
    blocks = [part for part in _contents(answer, request) if isinstance(part, dict)]
    return {
        **_opening(request),
        "content": blocks,
        "stop_reason": _stop_reason(blocks),
        "usage": _usage(request, _made(blocks)),
    }


def _contents(answer: Answer, request: Request) -> list[Item | Wait | Break]:
    if request.aside:
        return [{"type": "text", "text": json.dumps({"title": "A scripted conversation"})}]
    contents = [part if isinstance(part, Wait | Break) else _words(part) for part in answer.parts]
    return contents + (_calls(answer.call, request) if answer.call is not None else [])


def _stream(contents: list[Item | Wait | Break], request: Request) -> Iterator[Event | Wait | Break]:
    yield {"type": "message_start", "message": {**_opening(request), "usage": _usage(request, 1)}}
    blocks: list[Item] = []
    for block in contents:
        if isinstance(block, Wait | Break):
            yield block
            continue
        place = {"index": len(blocks)}
        opened, deltas = _opened(block)
        yield {"type": "content_block_start", **place, "content_block": opened}
        for delta in deltas:
            yield {"type": "content_block_delta", **place, "delta": delta}
        yield {"type": "content_block_stop", **place}
        blocks.append(block)
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(blocks), "stop_sequence": None},
        "usage": {"output_tokens": _made(blocks)},
    }
    yield {"type": "message_stop"}


def frame(event: Event) -> bytes:
    """An event as it is sent."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _opening(request: Request) -> Item:
    return {
        "id": f"msg_{request.place}_{digest(request.conversation)}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _opened(block: Item) -> tuple[Item, list[Item]]:
    """A block before any of it has come, and what then comes."""
    match block["type"]:
        case "text":
            return {**block, "text": ""}, [
                {"type": "text_delta", "text": piece} for piece in pieces(block["text"])
            ]
        case "thinking":
            thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            signature = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*thoughts, signature]
        case _:
            written = json.dumps(block["input"])
            return {**block, "input": {}}, [
                {"type": "input_json_delta", "partial_json": piece} for piece in pieces(written)
            ]


def _words(part: Say | Think) -> Item:
    match part:
        case Say(say=text):
            return {"type": "text", "text": text}
        case Think(think=text):
            return {"type": "thinking", "thinking": text, "signature": "scripted"}
        case _:
            assert_never(part)


def _calls(call: Call, request: Request) -> list[Item | Wait | Break]:
    match call:
        case Shell(shell=command):
            return [
                _call("Bash", request, {"command": command, "description": "Run a command of the script"})
            ]
        case Patch(patch=patch):
            change = read_patch(patch)
            match change:
                case Written(path=path, content=content):
                    return [_call("Write", request, {"file_path": path, "content": content})]
                case Replaced(path=path, old=old, new=new):
                    replacing = {"file_path": path, "old_string": old, "new_string": new}
                    reading = _call("Read", request, {"file_path": path}, READING)
                    return [reading, _call("Edit", request, replacing)]
                case _:
                    assert_never(change)
        case _:
            assert_never(call)


def _call(name: str, request: Request, given: Mapping[str, str], prefix: str = "toolu_") -> Item:
    if name not in request.tools and name.lower() in request.tools:  # as OpenCode calls them
        name, given = name.lower(), {_camel(key): value for key, value in given.items()}
    if name not in request.tools:
        raise UnplayableError(f"no {name} among the tools on offer: {', '.join(sorted(request.tools))}")
    return {
        "type": "tool_use",
        "id": f"{prefix}{request.place}_{digest(request.conversation)}",
        "name": name,
        "input": given,
    }


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _stop_reason(blocks: list[Item]) -> str:
    return "tool_use" if blocks and blocks[-1]["type"] == "tool_use" else "end_turn"


def _made(blocks: list[Item]) -> int:
    return output_tokens(
        sum(len(str(block.get("text") or block.get("thinking") or block.get("input"))) for block in blocks)
    )


def _usage(request: Request, made: int) -> Item:
    return {
        "input_tokens": request.tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": made,
    }


def count_body(request: Request) -> Item:
    """The answer to `POST /v1/messages/count_tokens`."""
    return {"input_tokens": request.tokens}


def error_body(status: int, message: str, retry_after: int | None = None) -> Item:
    """The JSON body of an HTTP error."""
    match status:
        case 401:
            kind = "authentication_error"
        case 404:
            kind = "not_found_error"
        case 429:
            kind = "rate_limit_error"
        case 529:
            kind = "overloaded_error"
        case _ if status >= 500:
            kind = "api_error"
        case _:
            kind = "invalid_request_error"
    return {"type": "error", "error": {"type": kind, "message": message}}
