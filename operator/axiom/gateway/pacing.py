"""How often one person may step into one task: as many times at once as somebody in a hurry needs, not as a runaway script."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_AT_ONCE = 20
_EACH_SECONDS = 2.0
_REMEMBERED = 1000


class TooOftenError(Exception):
    """Somebody stepped in too often. The message says how long to wait."""


class Pace:
    """A number of interventions for each key, of which one comes back every two seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def take(self, *key: str) -> None:
        """Counts one more. Raises TooOftenError."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + _EACH_SECONDS
        if full_at - now > _AT_ONCE * _EACH_SECONDS:
            raise TooOftenError(
                f"more than {_AT_ONCE} interventions at once in one task; try again in {_EACH_SECONDS:.0f} s"
            )
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > _REMEMBERED:
            self._full_at.popitem(last=False)
