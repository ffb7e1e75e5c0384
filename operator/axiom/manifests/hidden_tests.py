"""ConfigMaps and Secrets with hidden tests or baselines: mounted by a verifier's trusted side alone, and read by nobody else.

They are optional mounts, as one_shot's are: that one is missing is told by the verifier, in words that name the field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from axiom_sandbox.protocol.criteria import Brought, Criterion
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.verifying.hiding import MOUNT_FOLDER

_READABLE = 0o444
"""It belongs to root, and the untrusted side does not mount it."""


@dataclass(frozen=True)
class HiddenMounts:
    """What a verifier's pod mounts besides what every pod does."""

    volumes: tuple[Mapping[str, Any], ...] = ()
    mounts: tuple[Mapping[str, Any], ...] = ()


def hidden_mounts(criteria: Sequence[Criterion], role: Role) -> HiddenMounts:
    """For verifiers of criteria that name a ConfigMap or a Secret; nothing for any other pod. Pure."""
    if role is not Role.VERIFIER:
        return HiddenMounts()
    found = list(_mounted(criteria))
    return HiddenMounts(
        tuple({"name": f"hidden-{number}", **source} for number, (_, source) in enumerate(found, 1)),
        tuple(
            {"name": f"hidden-{number}", "mountPath": str(MOUNT_FOLDER / name), "readOnly": True}
            for number, (name, _) in enumerate(found, 1)
        ),
    )


def _mounted(criteria: Sequence[Criterion]) -> Iterator[tuple[str, dict[str, Any]]]:
    for criterion in criteria:
        if criterion.brings and (source := _source(criterion.brings)):
            yield criterion.name, source


def _source(brought: Brought) -> dict[str, Any] | None:
    rest = {"optional": True, "defaultMode": _READABLE}
    if brought.secret:
        return {"secret": {"secretName": brought.secret.name, **rest}}
    if brought.config_map:
        return {"configMap": {"name": brought.config_map.name, **rest}}
    return None
