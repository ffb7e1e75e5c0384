"""The long forms of the tests of faults, whole or in parts: AXIOM_FAULTS_PART=2/8 is the second of eight.

A part is the same whenever it is run, and all parts together are the whole: a campaign that was broken off goes on with the part that
it was in.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

IS_LONG = os.environ.get("AXIOM_FAULTS") == "long"
_NUMBER, _OF = map(int, os.environ.get("AXIOM_FAULTS_PART", "1/1").split("/"))
assert 1 <= _NUMBER <= _OF, "AXIOM_FAULTS_PART is written as 2/8"


def share(everything: Sequence[T]) -> list[T]:
    """This part of a list."""
    return list(everything[_NUMBER - 1 :: _OF])


def share_of(count: int) -> int:
    """How many of so many loops are this part's."""
    return len(range(_NUMBER - 1, count, _OF))


def kills(default: int, most: int = 10**9) -> int:
    """How often this part kills, by AXIOM_FAULTS_KILLS."""
    return share_of(min(int(os.environ.get("AXIOM_FAULTS_KILLS", str(default))), most))


def chance_of(seed: object) -> random.Random:
    """Another one in each part."""
    return random.Random(f"{os.environ.get('AXIOM_FAULTS_SEED', '')}/{seed}/{_NUMBER}/{_OF}")
