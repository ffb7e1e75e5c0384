"""What a scripted model says and does: the file format, and which part of it answers a given point of a conversation.

A script is JSON: `{"turns": [[step, …], …]}`. Turn n is played in answer to the n-th message of the user (the first
prompt, then each further one, as when a session is resumed); the last turn answers all messages after it too. A step
is one of

- `{"say": text}`: words to the user. A turn ends with its last `say`.
- `{"think": text}`: words of the model to itself.
- `{"shell": command}`: a command line for the agent's shell tool.
- `{"patch": text}`: a change of files, in the format of Codex's `apply_patch`.
- `{"wait": seconds}`: silence within the answer.
- `{"close": times}`: the connection ends here, in mid-stream; asked again so many times, the answer goes on.
- `{"hang": times}`: silence until the agent hangs up; asked again so many times, the answer goes on.
- `{"error": {"status": 429, "retryAfterSeconds": 1, "times": 2, "message": text}}`: the HTTP error that the next
  answer is preceded by, `times` times (default 1).

Beside `turns` may stand `"told": {text: [[step, …], …], …}`: a conversation in which that text stands, whoever said it, is played
by these turns instead (of several such texts, by the last one's). So a session that begins anew in mid-story is told apart
from the first. `"tokensPerItem": 100` is what each input item counts as, from which usage is made up.

A text may be a list of lines. One answer of the model holds the steps up to and including a call (`shell`, `patch`);
what the agent reports back about that call brings the next answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, assert_never

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel


class ScriptError(ValueError):
    """A script that cannot be played, and why."""


def _joined(text: object) -> object:
    if isinstance(text, list) and all(isinstance(line, str) for line in text):
        return "\n".join(text)
    return text


Text = Annotated[str, BeforeValidator(_joined), Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Say(_Part):
    """Words to the user."""

    say: Text


class Think(_Part):
    """Words of the model to itself."""

    think: Text


class Shell(_Part):
    """A command line for the agent's shell tool."""

    shell: Text


class Patch(_Part):
    """A change of files, in the format of Codex's `apply_patch`."""

    patch: Text


class Wait(_Part):
    """Seconds of silence within an answer."""

    wait: Annotated[float, Field(ge=0)]


class Close(_Part):
    """The connection ends in the middle of an answer, this many times."""

    close: Annotated[int, Field(ge=1)]

    @property
    def times(self) -> int:
        """How often the answer ends here."""
        return self.close


class Hang(_Part):
    """Silence until the agent hangs up, this many times."""

    hang: Annotated[int, Field(ge=1)]

    @property
    def times(self) -> int:
        """How often the answer ends here."""
        return self.hang


class HttpError(_Part):
    """An HTTP error in place of an answer."""

    status: Annotated[int, Field(ge=400, le=599)]
    retry_after_seconds: Annotated[int, Field(ge=0)] | None = None
    times: Annotated[int, Field(ge=1)] = 1
    message: str = "An error that the script asks for."


class Error(_Part):
    """An HTTP error that precedes the next answer."""

    error: HttpError


Words = Say | Think
Break = Close | Hang
Step = Words | Shell | Patch | Wait | Break | Error
Call = Shell | Patch


@dataclass(frozen=True)
class Position:
    """A point of a conversation, as its history shows it."""

    turn: int
    """Messages of the user so far, the one to be answered included; from 1."""
    answered: int
    """Calls of this turn whose outcome the agent has reported."""


@dataclass(frozen=True)
class Answer:
    """One response of the model."""

    errors: tuple[HttpError, ...] = ()
    parts: tuple[Words | Wait | Break, ...] = ()
    call: Call | None = None

    def attempt(self, number: int) -> HttpError | Answer:
        """What is played when this point of a conversation is asked after once more; the first time is number 0."""
        errors = [error for error in self.errors for _ in range(error.times)]
        if number < len(errors):
            return errors[number]
        ends = [
            index
            for index, part in enumerate(self.parts)
            if isinstance(part, Break)
            for _ in range(part.times)
        ]
        broken = number - len(errors) < len(ends)
        end = ends[number - len(errors)] if broken else len(self.parts)
        parts = tuple(part for part in self.parts[:end] if not isinstance(part, Break))
        return Answer(parts=(*parts, *self.parts[end : end + 1]), call=None if broken else self.call)


Turns = Annotated[tuple[tuple[Step, ...], ...], Field(min_length=1)]


class Script(_Part):
    """All that one model will ever say."""

    turns: Turns
    told: Mapping[Text, Turns] = Field(default_factory=dict)
    """Turns of conversations in which a text stands."""
    tokens_per_item: Annotated[int, Field(ge=1)] = 100
    """Usage is made up, but the same each time: so many input tokens for each input item."""

    @model_validator(mode="after")
    def _turns_can_be_played(self) -> Script:
        for turns in (self.turns, *self.told.values()):
            for number, turn in enumerate(turns, start=1):
                _answers(number, turn)
        return self

    def answer(self, position: Position, conversation: bytes = b"") -> Answer:
        """What the model answers at this point; past the end of a turn, that turn's last words again.

        `conversation`: all that was said in it, as JSON.
        """
        heard = [
            turns for text, turns in self.told.items() if json.dumps(text)[1:-1].encode() in conversation
        ]
        turns = heard[-1] if heard else self.turns
        number = min(position.turn, len(turns))
        answers = _answers(number, turns[number - 1])
        return answers[min(position.answered, len(answers) - 1)]


def _answers(number: int, turn: tuple[Step, ...]) -> tuple[Answer, ...]:
    if not turn or not isinstance(turn[-1], Say):
        raise ScriptError(
            f"turn {number} must end with a say step: an agent waits for the model's last words"
        )
    answers: list[Answer] = []
    errors: list[HttpError] = []
    parts: list[Words | Wait | Break] = []
    for step in turn:
        match step:
            case Error(error=error):
                if parts:
                    raise ScriptError(
                        f"turn {number}: an error step must come first in its turn, or after a shell or patch step: "
                        "once an answer has begun, its status is sent"
                    )
                errors.append(error)
            case Say() | Think() | Wait() | Close() | Hang():
                parts.append(step)
            case Shell() | Patch():
                answers.append(Answer(tuple(errors), tuple(parts), step))
                errors, parts = [], []
            case _:
                assert_never(step)
    answers.append(Answer(tuple(errors), tuple(parts)))
    return tuple(answers)


def load_script(path: Path) -> Script:
    """Read a script.

    Raises:
        ScriptError: The file is missing, no JSON, or cannot be played; the message names the place.
    """
    try:
        return Script.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ScriptError(f"{path} is not a script that can be played: {error}") from error
