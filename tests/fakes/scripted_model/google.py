"""Google's generateContent API, as Gemini CLI speaks it: requests read, answers written as events.

Pure: bytes and the script's answers in, events out. Shapes from the public API reference and from requests of Gemini
CLI 0.61.0.
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


def read_request(body: bytes, model: str, *, streamed: bool) -> Request:
    """Read the body of `POST /v1beta/models/MODEL:generateContent` or `:streamGenerateContent`.

    The client names no session; a resumed one begins with the same prompt, behind what the client
    tells of its surroundings each time anew. Without tools on offer, the
    client asks itself who speaks next, or the like: an aside.

    Raises:
        UnplayableError: The body is no request for content.
    """
    try:
        document = json.loads(body)
        contents = [(content.get("role", "user"), content["parts"]) for content in document["contents"]]
        tools = {
            function["name"]: function
            for tool in document.get("tools", [])
            for function in tool.get("functionDeclarations", [])
        }
        parts = [(role, {**part}) for role, held in contents for part in held]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnplayableError(f"not a request for content: {error!r}") from error

    counting = Counting()
    for role, part in parts:
        if role == "model":
            counting.model_acts()
        elif "functionResponse" in part:
            counting.outcome_comes()
        else:
            counting.user_speaks()
    words = [str(part["text"]) for role, part in parts if role == "user" and "text" in part]
    prompts = [text for text in words if not text.startswith("<session_context>")]
    return Request(
        conversation=digest(prompts[0] if prompts else ""),
        model=model,
        items=len(parts),
        position=counting.position(),
        tools=tools,
        aside=not tools,
        streamed=streamed,
    )


def events(answer: Answer, request: Request) -> Iterator[Event | Wait | Break]:
    """The events of one streamed answer, with the silences between them.

    Raises:
        UnplayableError: The client offers no tool for a call of the script.
    """
    return _stream(_contents(answer, request), request)


def message(answer: Answer, request: Request) -> Item:
    """The whole of an answer that is not streamed; silences and breaks are left out.

    Raises:
        UnplayableError: The client offers no tool for a call of the script.
    """
    parts = [part for part in _contents(answer, request) if isinstance(part, dict)]
    return _response(parts, request, _made(parts), "STOP")


def _contents(answer: Answer, request: Request) -> list[Item | Wait | Break]:
    if request.aside:
        return [{"text": json.dumps({"reasoning": "The script goes on.", "next_speaker": "user"})}]
    contents = [part if isinstance(part, Wait | Break) else _words(part) for part in answer.parts]
    return contents + ([_call(answer.call, request)] if answer.call is not None else [])


def _stream(contents: list[Item | Wait | Break], request: Request) -> Iterator[Event | Wait | Break]:
    made: list[Item] = []
    for part in contents:
        if isinstance(part, Wait | Break):
            yield part
            continue
        split = [{"text": piece} for piece in pieces(part["text"])] if set(part) == {"text"} else [part]
        for piece in split:
            made.append(piece)
            yield _response([piece], request, _made(made))
    yield _response([{"text": ""}], request, _made(made), "STOP")


def frame(event: Event) -> bytes:
    """An event as it is sent."""
    return f"data: {json.dumps(event)}\n\n".encode()


def _response(parts: list[Item], request: Request, made: int, ended: str = "") -> Item:
    candidate: Item = {"content": {"role": "model", "parts": parts}, "index": 0}
    given = request.tokens
    return {
        "candidates": [candidate | ({"finishReason": ended} if ended else {})],
        "usageMetadata": {
            "promptTokenCount": given,
            "candidatesTokenCount": made,
            "totalTokenCount": given + made,
        },
        "modelVersion": request.model,
        "responseId": f"resp_{request.place}_{request.conversation}",
    }


def _words(part: Say | Think) -> Item:
    match part:
        case Say(say=text):
            return {"text": text}
        case Think(think=text):
            return {"text": text, "thought": True}
        case _:
            assert_never(part)


def _call(call: Call, request: Request) -> Item:
    match call:
        case Shell(shell=command):
            given = {"command": command, "description": "Run a command of the script"}
            return _function("run_shell_command", request, given)
        case Patch(patch=patch):
            change = read_patch(patch)
            match change:
                case Written(path=path, content=content):
                    return _function("write_file", request, {"file_path": path, "content": content})
                case Replaced(path=path, old=old, new=new):
                    replacing = {
                        "file_path": path,
                        "instruction": "As the script says",
                        "old_string": old,
                        "new_string": new,
                    }
                    return _function("replace", request, replacing)
                case _:
                    assert_never(change)
        case _:
            assert_never(call)


def _function(name: str, request: Request, given: Mapping[str, str]) -> Item:
    if name not in request.tools:
        raise UnplayableError(f"no {name} among the tools on offer: {', '.join(sorted(request.tools))}")
    return {
        "functionCall": {"id": f"call_{request.place}_{request.conversation}", "name": name, "args": given}
    }


def _made(parts: list[Item]) -> int:
    return output_tokens(sum(len(part.get("text") or json.dumps(part)) for part in parts))


def count_body(request: Request) -> Item:
    """The answer to `:countTokens`."""
    return {"totalTokens": request.tokens}


def error_body(status: int, message: str, retry_after: int | None = None) -> Item:
    """The JSON body of an HTTP error; how long to wait stands in it, as this vendor does."""
    match status:
        case 401:
            name = "UNAUTHENTICATED"
        case 404:
            name = "NOT_FOUND"
        case 429:
            name = "RESOURCE_EXHAUSTED"
        case 503 | 529:
            name = "UNAVAILABLE"
        case _ if status >= 500:
            name = "INTERNAL"
        case _:
            name = "INVALID_ARGUMENT"
    error: Item = {"code": status, "message": message, "status": name}
    if retry_after is not None:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        error["details"] = [{"@type": kind, "retryDelay": f"{retry_after}s"}]
    return {"error": error}
