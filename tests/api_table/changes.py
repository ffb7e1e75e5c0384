"""Changing a field of a nested object by its path."""

import copy
import re
from typing import Any

from tests.api_table.shape import Change

ABSENT = object()
"""In place of a value: the field is not there."""

_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def changed(original: dict[str, Any], change: Change) -> dict[str, Any]:
    """A copy with the change applied; an index one past the end of a list appends."""
    result = copy.deepcopy(original)
    for path, value in change.items():
        _set(result, path, value)
    return result


def _set(root: Any, path: str, value: Any) -> None:
    *outer, last = [int(index) if index else name for name, index in _PART.findall(path)]
    place = root
    for part in outer:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    if value is ABSENT:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
