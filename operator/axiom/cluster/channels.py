"""From a pod to the channel of its trusted side: at its address, with its own certificate as the only trusted one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from axiom.channel import Channel, pod_context
from axiom.cluster.resources import Object
from axiom.manifests.pods import CHANNEL_PORT, certificate_of

Connect = Callable[[Object], Channel]
"""The channel of a pod that has an address and a certificate."""


def address_of(pod: Object) -> str:
    """The pod's IP address, "" while it has none."""
    return str(pod.get("status", {}).get("podIP") or "")


def connector(tls: Path) -> Connect:
    """Connects as the client whose tls.crt and tls.key lie in this folder; they are read anew each time."""

    def connect(pod: Object) -> Channel:
        context = pod_context(certificate_of(pod) or "", tls)
        return Channel.over_tls(address_of(pod), CHANNEL_PORT, context)

    return connect
