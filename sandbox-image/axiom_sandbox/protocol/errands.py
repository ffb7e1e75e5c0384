"""What a verifier, which has no network, asks the gateway to do for it outside, and what the gateway brings back.

`POST /v1/errands/{id}/take` hands an errand to the gateway that takes it, `PUT /v1/errands/{id}` brings the reply. A gateway
does an errand through the egress proxy and looks at nothing that it brings: replies are read by the verifier alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from axiom_sandbox.protocol.model import Message

MAX_REPLY = 12 * 1024 * 1024
"""Bytes of the largest reply that is taken."""


class Vendor(StrEnum):
    """Who makes a model."""

    ANTHROPIC = "Anthropic"
    """Claude."""
    OPENAI = "OpenAI"
    """GPT."""
    GOOGLE = "Google"
    """Gemini."""


class Seat(Message):
    """A judge that a verifier may ask."""

    name: str
    vendor: Vendor
    model: str


class AskJudge(Message):
    """Ask a model, whose answer is JSON of a given form."""

    kind: Literal["AskJudge"] = "AskJudge"
    id: str
    seat: Seat
    instructions: str
    """What the model is told that it is to do."""
    shown: str
    """What it is shown. Partly made by whoever is judged."""
    form: dict[str, object]
    """JSON schema of its answer."""
    max_tokens: int = 4096
    seconds: float = 120.0


class FetchPage(Message):
    """Fetch a page, redirects and all."""

    kind: Literal["FetchPage"] = "FetchPage"
    id: str
    url: str
    max_bytes: int = 4 * 1024 * 1024
    """Bytes of the body, decoded, that are brought."""
    seconds: float = 30.0


class Answered(Message):
    """What a model answered."""

    kind: Literal["Answered"] = "Answered"
    text: str
    model: str
    """As the vendor names it."""
    input_tokens: int = 0
    output_tokens: int = 0


class Hop(Message):
    """One answer on the way to a page."""

    url: str
    status: int


class Fetched(Message):
    """What came back for a page."""

    kind: Literal["Fetched"] = "Fetched"
    hops: tuple[Hop, ...]
    """Every answer, the last one's included."""
    content_type: str = ""
    body: str = ""
    """Base64."""
    truncated: bool = False
    """The page is larger than what is brought."""
    wire_bytes: int = 0
    """Bytes of the last answer's body as they came, compressed or not."""
    at_ms: int = 0
    """Unix time in ms when it was fetched."""


class NotDone(Message):
    """The errand could not be done."""

    kind: Literal["NotDone"] = "NotDone"
    why: str
    refused: bool = False
    """It will never be, as things are set: trying again is of no use."""


Errand = Annotated[AskJudge | FetchPage, Field(discriminator="kind")]
Reply = Annotated[Answered | Fetched | NotDone, Field(discriminator="kind")]
ERRANDS: TypeAdapter[AskJudge | FetchPage] = TypeAdapter(Errand)
REPLIES: TypeAdapter[Answered | Fetched | NotDone] = TypeAdapter(Reply)
