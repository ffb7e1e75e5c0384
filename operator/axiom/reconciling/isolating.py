"""Closes a namespace's network around sandboxes before the first of them is there."""

from __future__ import annotations

from typing import Any

from axiom.cluster.api import Api
from axiom.cluster.errors import AlreadyExistsError
from axiom.cluster.resources import NETWORK_POLICIES, Object, name_of
from axiom.manifests.network_policies import Installation, network_policies


class NetworkCloser:
    """Brings the policies of a namespace to what they should be. Reads them each time: somebody may have changed them."""

    def __init__(self, api: Api, installation: Installation | None) -> None:
        """Without an installation it does nothing: somebody else takes care."""
        self._api, self._installation = api, installation

    async def close(self, namespace: str) -> None:
        """Returns once every policy is there. Raises ApiError."""
        if self._installation is None:
            return
        present = {
            name_of(item): item for item in await self._api.list(NETWORK_POLICIES, namespace=namespace)
        }
        for wanted in network_policies(namespace, self._installation):
            known = present.get(name_of(wanted))
            if known is None:
                await self._create(namespace, wanted)
            elif _differs(known, wanted):
                body = {**wanted, "metadata": {**known["metadata"], **_marks(known, wanted)}}
                await self._api.replace(NETWORK_POLICIES, namespace, name_of(wanted), body)

    async def _create(self, namespace: str, wanted: Object) -> None:
        try:
            await self._api.create(NETWORK_POLICIES, namespace, wanted)
        except AlreadyExistsError:
            pass  # another task's first sandbox in this namespace, at the same moment


def _differs(known: Object, wanted: Object) -> bool:
    labels = known["metadata"].get("labels")
    return bool(known.get("spec") != wanted["spec"] or _marks(known, wanted)["labels"] != labels)


def _marks(known: Object, wanted: Object) -> dict[str, Any]:
    return {"labels": {**(known["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]}}
