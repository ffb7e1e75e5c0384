"""VerificationProfile: criteria that several tasks share, and how they join a task's own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import TypeAdapter

from axiom.api.agenttask import MAX_CRITERIA, Criteria
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.model import ApiModel

_LIST: TypeAdapter[list[Criterion]] = TypeAdapter(list[Criterion])


class VerificationProfileSpec(ApiModel):
    """The criteria."""

    criteria: Criteria
    """As in a task. A task's own criterion of the same name takes the place of one of these."""


class VerificationProfile(ApiModel):
    """Criteria that the tasks of a namespace may share: spec.verification.profiles of a task names them."""

    api_version: Literal["axiom.dev/v1alpha1"] = "axiom.dev/v1alpha1"
    """The version of this API."""
    kind: Literal["VerificationProfile"] = "VerificationProfile"
    """What this object is."""
    metadata: dict[str, Any]
    """Kubernetes' own: name, namespace, labels."""
    spec: VerificationProfileSpec
    """The criteria."""

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.metadata["name"])


class ProfileError(ValueError):
    """Profiles and task do not go together; the message says why, and the cure."""


def added(
    own: Sequence[Criterion], wanted: Sequence[str], profiles: Iterable[VerificationProfile]
) -> list[Criterion]:
    """What the profiles that a task names add to its own criteria: the first of each name, the task's own before all.

    Raises ProfileError: a profile is not there, or there are too many criteria.
    """
    known = {profile.name: profile for profile in profiles}
    names, found = {criterion.name for criterion in own}, []
    for name in wanted:
        if name not in known:
            raise ProfileError(f"there is no VerificationProfile {name!r}; create it, or take its name out")
        for criterion in known[name].spec.criteria:
            if criterion.name not in names:
                names.add(criterion.name)
                found.append(criterion)
    if len(names) > MAX_CRITERIA:
        raise ProfileError(
            f"with its profiles the task has {len(names)} criteria, and {MAX_CRITERIA} is the most; take some out"
        )
    return found


def to_text(criteria: Sequence[Criterion]) -> str:
    """Criteria as a status keeps them: JSON; nothing for none."""
    return _LIST.dump_json(list(criteria), by_alias=True, exclude_defaults=True).decode() if criteria else ""
