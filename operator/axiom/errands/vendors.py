"""One interface over the SDKs of the vendors of judges: a question and a form in, an answer and its tokens out.

The SDKs are an extra (`axiom[judges]`), and are loaded when the first judge is asked: that takes a second, and most
installations ask none. Keys are none of this module's business: what it presents is an errand's token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from axiom_sandbox.protocol.errands import Answered, AskJudge, NotDone, Vendor

if TYPE_CHECKING:
    import httpx2

_RETRIES = 2
_LONGEST_ANSWER = 256 * 1024


class Refused(Exception):  # noqa: N818 - an answer, though not the one that was hoped for
    """The vendor, or the proxy, does not answer, and why."""


async def ask(
    errand: AskJudge, base: str, token: str, transport: httpx2.AsyncBaseTransport
) -> Answered | NotDone:
    """Asks the errand's model.

    Args:
        base: address of the judge's route at the egress proxy, without a slash at its end.
        token: what is presented in place of a key.
        transport: how the proxy is reached.
    """
    import httpx2

    timeout = httpx2.Timeout(errand.seconds, connect=10)
    async with httpx2.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as client:
        try:
            async with asyncio.timeout(errand.seconds):
                answered = await _ASKING[errand.seat.vendor](errand, base, token, client)
        except TimeoutError:
            return NotDone(why=f"it did not answer within {errand.seconds:g} s")
        except Refused as error:
            return NotDone(why=str(error)[:500])
    if len(answered.text) > _LONGEST_ANSWER:
        return NotDone(why=f"its answer has more than {_LONGEST_ANSWER} characters")
    return answered


async def _ask_anthropic(errand: AskJudge, base: str, token: str, client: httpx2.AsyncClient) -> Answered:
    import anthropic

    sdk = anthropic.AsyncAnthropic(api_key=token, base_url=base, http_client=client, max_retries=_RETRIES)
    try:
        message = await sdk.messages.create(
            model=errand.seat.model,
            max_tokens=errand.max_tokens,
            system=errand.instructions,
            messages=[{"role": "user", "content": errand.shown}],
            output_config={"format": {"type": "json_schema", "schema": errand.form}},
        )
    except anthropic.AnthropicError as error:
        raise Refused(_said(error)) from error
    if message.stop_reason not in ("end_turn", "stop_sequence"):
        raise Refused(f"its answer ended early: {message.stop_reason}")
    text = "".join(block.text for block in message.content if block.type == "text")
    used = message.usage
    return Answered(
        text=text, model=message.model, input_tokens=used.input_tokens, output_tokens=used.output_tokens
    )


async def _ask_openai(errand: AskJudge, base: str, token: str, client: httpx2.AsyncClient) -> Answered:
    import openai

    sdk = openai.AsyncOpenAI(api_key=token, base_url=f"{base}/v1", http_client=client, max_retries=_RETRIES)
    try:
        stream = await sdk.responses.create(
            model=errand.seat.model,
            instructions=errand.instructions,
            input=[{"type": "message", "role": "user", "content": errand.shown}],
            max_output_tokens=errand.max_tokens,
            text={"format": {"type": "json_schema", "name": "answer", "schema": errand.form, "strict": True}},
            store=False,
            stream=True,
        )
        ended = None
        async with stream:
            async for event in stream:  # to its end, so that the connection is left in order
                if event.type in ("response.completed", "response.incomplete", "response.failed", "error"):
                    ended = event
    except openai.OpenAIError as error:
        raise Refused(_said(error)) from error
    if ended is None:
        raise Refused("its answer broke off")
    if ended.type != "response.completed":
        raise Refused(f"its answer ended early: {ended.type}")
    answer, used = ended.response, ended.response.usage
    return Answered(
        text=answer.output_text,
        model=answer.model,
        input_tokens=used.input_tokens if used else 0,
        output_tokens=used.output_tokens if used else 0,
    )


async def _ask_google(errand: AskJudge, base: str, token: str, client: httpx2.AsyncClient) -> Answered:
    from google import genai
    from google.genai import errors, types

    retries = types.HttpRetryOptions(attempts=_RETRIES + 1, initial_delay=0.5)
    options = types.HttpOptions(
        base_url=base, api_version="v1beta", httpx_async_client=client, retry_options=retries
    )
    sdk = genai.Client(api_key=token, http_options=options)
    try:
        answer = await sdk.aio.models.generate_content(
            model=errand.seat.model,
            contents=errand.shown,
            config=types.GenerateContentConfig(
                system_instruction=errand.instructions,
                response_mime_type="application/json",
                response_json_schema=errand.form,
                max_output_tokens=errand.max_tokens,
            ),
        )
    except errors.APIError as error:
        raise Refused(_said(error)) from error
    finish = answer.candidates[0].finish_reason if answer.candidates else None
    if finish is not types.FinishReason.STOP:
        raise Refused(f"its answer ended early: {finish.value if finish else 'no candidate'}")
    used = answer.usage_metadata
    return Answered(
        text=answer.text or "",
        model=answer.model_version or errand.seat.model,
        input_tokens=(used.prompt_token_count or 0) if used else 0,
        output_tokens=(used.candidates_token_count or 0) if used else 0,
    )


_ASKING: dict[Vendor, Callable[[AskJudge, str, str, Any], Awaitable[Answered]]] = {
    Vendor.ANTHROPIC: _ask_anthropic,
    Vendor.OPENAI: _ask_openai,
    Vendor.GOOGLE: _ask_google,
}


def _said(error: Exception) -> str:
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    said = getattr(error, "message", "") or str(error)
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    return f"{f'status {status}: ' if isinstance(status, int) else ''}{said}{cause}"
