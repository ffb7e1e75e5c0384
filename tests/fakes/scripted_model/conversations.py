"""What every vendor's protocol tells about a conversation, whatever it looks like on the wire."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .script import Position

Item = dict[str, Any]
"""An object of a vendor's protocol."""


class UnplayableError(ValueError):
    """A request that the script cannot answer, and why."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one request tells about its conversation."""

    conversation: str
    """Stays the same when a session is resumed; empty if the client names none."""
    model: str
    items: int
    """Number of input items."""
    tokens_per_item: int = 0
    position: Position
    aside: bool = False
    """Whether the client asks for something that is no step of the story: a title, or how a command goes on."""
    streamed: bool = True
    tools: Mapping[str, Item] = field(default_factory=dict)
    """Tools on offer, by name."""

    @property
    def tokens(self) -> int:
        """What the input counts as."""
        return self.tokens_per_item * self.items

    @property
    def place(self) -> str:
        """The point of the conversation, as part of identifiers."""
        return f"{self.position.turn}_{self.position.answered}"


class Counting:
    """Finds the position of a conversation, told of its history from the beginning.

    A turn begins with a message of the user that follows words or deeds of the model; what the client tells in the
    user's name before the prompt (its environment, for one) therefore belongs to the same turn.
    """

    def __init__(self) -> None:
        self._turn = self._answered = 0
        self._users_word = False

    def user_speaks(self) -> bool:
        """Returns whether a turn has begun."""
        begins = not self._users_word
        if begins:
            self._turn, self._answered = self._turn + 1, 0
        self._users_word = True
        return begins

    def model_acts(self) -> None:
        """Words or a call of the model."""
        self._users_word = False

    def outcome_comes(self) -> None:
        """The agent reports what came of a call of the script."""
        self._users_word = False
        self._answered += 1

    def position(self) -> Position:
        """Raises UnplayableError."""
        if self._turn == 0:
            raise UnplayableError("the input holds no message of a user")
        return Position(self._turn, self._answered)


def pieces(text: str) -> Iterator[str]:
    """A text as it is streamed: word by word."""
    return (piece for piece in re.findall(r"\S*\s*", text) if piece)


def output_tokens(characters: int) -> int:
    """How many tokens so many characters count for."""
    return characters // 4


def digest(text: str) -> str:
    """16 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
