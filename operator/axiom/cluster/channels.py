"""From a pod to the channel of its trusted side: at its address, with its own certificate as the only trusted one.

A pod trusts the authority that it was made with for as long as it lives. While the authority is replaced, our folder holds
two certificates, and each pod is shown the one that it can check.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from axiom.channel import Channel, pod_context
from axiom.cluster.resources import Object
from axiom.manifests.pods import CHANNEL_PORT, certificate_of, client_ca_of

Connect = Callable[[Object], Channel]
"""The channel of a pod that has an address and a certificate."""

CURRENT, PREVIOUS = "tls", "previous"
"""Names of the pairs of files, NAME.crt and NAME.key, in our folder; the second may be missing."""


def address_of(pod: Object) -> str:
    """The pod's IP address, "" while it has none."""
    return str(pod.get("status", {}).get("podIP") or "")


def connector(tls: Path) -> Connect:
    """Connects as the client whose certificates lie in this folder; they are read anew each time."""

    def connect(pod: Object) -> Channel:
        pair = choose_pair(tls, client_ca_of(pod))
        context = pod_context(certificate_of(pod) or "", tls, pair)
        return Channel.over_tls(address_of(pod), CHANNEL_PORT, context)

    return connect


def choose_pair(tls: Path, trusted: str) -> str:
    """CURRENT, unless only PREVIOUS is by one of the trusted authorities (PEM). Raises OSError."""
    if not (tls / f"{PREVIOUS}.crt").exists():
        return CURRENT
    authorities = _certificates(trusted.encode())
    for pair in (CURRENT, PREVIOUS):
        own = _certificates((tls / f"{pair}.crt").read_bytes())
        if any(_is_by(certificate, authority) for certificate in own for authority in authorities):
            return pair
    return CURRENT


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _is_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
