"""NetworkPolicies of a namespace in which sandboxes run.

Policies add up, so the first one closes every sandbox, and each of the others opens one way out of one role:

- all sandboxes: in from operator and gateway, to the channel; nothing out. A verifier gets no more than this.
- agents: out to the egress proxy's pods.
- fetchers and pushers: out to names and to git servers (https and ssh), but not to the addresses of this cluster or of private
  networks, as an address to fetch from is the user's choice.

They select by labels that nobody but the operator may give to a pod (a ValidatingAdmissionPolicy of the chart).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, NamedTuple

from axiom.manifests.naming import MANAGED_BY, MANAGED_BY_LABEL, ROLE_LABEL
from axiom_sandbox.protocol.identity import Role

__all__ = ["POLICY_NAMES", "Destination", "Installation", "network_policies", "parse_destinations"]

NAME_LABEL, COMPONENT_LABEL = "app.kubernetes.io/name", "app.kubernetes.io/component"
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
SANDBOXES, AGENTS = "axiom-sandboxes", "axiom-agents"
FETCHERS, PUSHERS = "axiom-fetchers", "axiom-pushers"
POLICY_NAMES = (SANDBOXES, AGENTS, FETCHERS, PUSHERS)

_GIT_PORTS = (443, 22)
_DNS_PORT = 53
_NOT_PUBLIC_4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
)
# ::/8 and 2002::/16 carry IPv4 addresses, private ones too
_NOT_PUBLIC_6 = ("::/8", "2002::/16", "fc00::/7", "fe80::/10", "ff00::/8")


class Destination(NamedTuple):
    """A way out that a person opened."""

    network: IPv4Network | IPv6Network
    port: int

    @classmethod
    def parse(cls, text: str) -> Destination:
        """From `NETWORK:PORT`, such as 10.1.2.0/24:443 or fd00::/8:22. Raises ValueError."""
        network, colon, port = text.strip().rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(
                f"{text!r} is no destination; write a network and a port such as 10.1.2.0/24:443"
            )
        return cls(ip_network(network), int(port))


@dataclass(frozen=True)
class Installation:
    """What policies have to know of the control plane. Its pods are known by the chart's labels."""

    namespace: str
    channel_port: int
    egress_port: int
    """Of the egress proxy's pods: policies see a packet after its Service's address was replaced."""
    fetch_also: tuple[Destination, ...] = ()
    """Where fetchers and pushers may go besides public addresses."""


def parse_destinations(text: str) -> tuple[Destination, ...]:
    """From a list separated by commas. Raises ValueError."""
    return tuple(Destination.parse(part) for part in text.split(",") if part.strip())


def network_policies(namespace: str, installation: Installation) -> tuple[dict[str, Any], ...]:
    """The policies, most closing first. Written as the API server stores them, so that they can be compared."""
    control_plane = _pods_of(installation, "operator", "gateway")
    proxy = _pods_of(installation, "egress")
    return (
        _policy(
            SANDBOXES,
            namespace,
            None,
            ["Ingress", "Egress"],
            ingress=[{"from": [control_plane], "ports": _ports([installation.channel_port])}],
        ),
        _policy(
            AGENTS,
            namespace,
            Role.AGENT,
            ["Egress"],
            egress=[{"to": [proxy], "ports": _ports([installation.egress_port])}],
        ),
        _policy(FETCHERS, namespace, Role.FETCHER, ["Egress"], egress=_fetching(installation.fetch_also)),
        _policy(PUSHERS, namespace, Role.PUSHER, ["Egress"], egress=_fetching(installation.fetch_also)),
    )


def _policy(name: str, namespace: str, role: Role | None, types: list[str], **rules: Any) -> dict[str, Any]:
    if role is None:
        selector: dict[str, Any] = {
            "matchLabels": {MANAGED_BY_LABEL: MANAGED_BY},
            "matchExpressions": [{"key": ROLE_LABEL, "operator": "Exists"}],
        }
    else:
        selector = {"matchLabels": {MANAGED_BY_LABEL: MANAGED_BY, ROLE_LABEL: role.value}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace, "labels": {MANAGED_BY_LABEL: MANAGED_BY}},
        "spec": {"podSelector": selector, "policyTypes": types, **rules},
    }


def _pods_of(installation: Installation, *components: str) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: installation.namespace}},
        "podSelector": {
            "matchLabels": {NAME_LABEL: "axiom"},
            "matchExpressions": [{"key": COMPONENT_LABEL, "operator": "In", "values": list(components)}],
        },
    }


def _fetching(also: Iterable[Destination]) -> list[dict[str, Any]]:
    public = [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(_NOT_PUBLIC_4)}},
        {"ipBlock": {"cidr": "::/0", "except": list(_NOT_PUBLIC_6)}},
    ]
    return [
        {"ports": _ports([_DNS_PORT], "UDP") + _ports([_DNS_PORT])},
        {"to": public, "ports": _ports(_GIT_PORTS)},
        *({"to": [{"ipBlock": {"cidr": str(one.network)}}], "ports": _ports([one.port])} for one in also),
    ]


def _ports(numbers: Iterable[int], protocol: str = "TCP") -> list[dict[str, Any]]:
    return [{"protocol": protocol, "port": number} for number in numbers]
