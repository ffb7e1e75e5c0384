"""What a sandbox may reach, by the meaning of NetworkPolicies and not by their text."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from axiom.manifests.naming import labels_of
from axiom.manifests.network_policies import (
    POLICY_NAMES,
    Destination,
    Installation,
    network_policies,
    parse_destinations,
)
from axiom_sandbox.protocol.identity import Identity, Role

INSTALLATION = Installation("axiom-system", channel_port=8443, egress_port=8788)
PROXY = ("axiom-system", {"app.kubernetes.io/name": "axiom", "app.kubernetes.io/component": "egress"})
OPERATOR = ("axiom-system", {"app.kubernetes.io/name": "axiom", "app.kubernetes.io/component": "operator"})
GATEWAY = ("axiom-system", {"app.kubernetes.io/name": "axiom", "app.kubernetes.io/component": "gateway"})

Peer = tuple[str, dict[str, str]]


def labels(role: Role) -> dict[str, str]:
    identity = Identity(namespace="team", task="t", task_id="8f14e45f", attempt=1, role=role)
    return labels_of(identity)


def matches(selector: dict[str, Any], found: dict[str, str]) -> bool:
    equal = all(found.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    for one in selector.get("matchExpressions", ()):
        equal &= found.get(one["key"]) in one["values"] if one["operator"] == "In" else one["key"] in found
    return equal


def is_peer(peer: dict[str, Any], other: Peer | str) -> bool:
    if "ipBlock" in peer:
        if not isinstance(other, str):
            return False
        block, address = peer["ipBlock"], ip_address(other)
        return address in ip_network(block["cidr"]) and not any(
            address in ip_network(hole) for hole in block.get("except", ())
        )
    if isinstance(other, str):
        return False
    namespace, pod = other
    return matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace}) and matches(
        peer["podSelector"], pod
    )


def allowed(
    direction: str,
    role: Role,
    other: Peer | str,
    port: int,
    protocol: str = "TCP",
    installation: Installation = INSTALLATION,
) -> bool:
    """What Kubernetes makes of all policies that select a pod of this role."""
    rules: list[dict[str, Any]] = []
    isolated = False
    for policy in network_policies("team", installation):
        spec = policy["spec"]
        if matches(spec["podSelector"], labels(role)) and direction.capitalize() in spec["policyTypes"]:
            isolated = True
            rules += spec.get(direction, ())
    side = "from" if direction == "ingress" else "to"
    return not isolated or any(
        {"protocol": protocol, "port": port} in rule["ports"]
        and (side not in rule or any(is_peer(peer, other) for peer in rule[side]))
        for rule in rules
    )


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("peer", [OPERATOR, GATEWAY])
def test_operator_and_gateway_reach_every_channel(role: Role, peer: Peer) -> None:
    assert allowed("ingress", role, peer, 8443)
    assert not allowed("ingress", role, peer, 22)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("peer", [PROXY, ("team", OPERATOR[1]), ("team", {}), "198.51.100.7"])
def test_nobody_else_reaches_a_sandbox(role: Role, peer: Peer | str) -> None:
    assert not allowed("ingress", role, peer, 8443)


def test_an_agent_reaches_the_egress_proxy_and_nothing_else() -> None:
    assert allowed("egress", Role.AGENT, PROXY, 8788)
    assert not allowed("egress", Role.AGENT, PROXY, 8789)
    assert not allowed("egress", Role.AGENT, PROXY, 8788, "UDP")
    assert not allowed("egress", Role.AGENT, ("team", PROXY[1]), 8788)
    assert not allowed("egress", Role.AGENT, GATEWAY, 8788)
    assert not allowed("egress", Role.AGENT, "93.184.216.34", 443)
    assert not allowed("egress", Role.AGENT, "10.96.0.10", 53, "UDP")


@pytest.mark.parametrize(("peer", "port"), [(PROXY, 8788), ("93.184.216.34", 443), ("10.96.0.10", 53)])
@pytest.mark.parametrize("role", [Role.VERIFIER, Role.COPIER])
def test_verifiers_and_copiers_reach_nothing(role: Role, peer: Peer | str, port: int) -> None:
    assert not allowed("egress", role, peer, port)


@pytest.mark.parametrize("port", [443, 22])
@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1"])
@pytest.mark.parametrize("role", [Role.FETCHER, Role.PUSHER])
def test_fetchers_and_pushers_reach_public_git_servers(role: Role, address: str, port: int) -> None:
    assert allowed("egress", role, address, port)
    assert not allowed("egress", role, address, 80)


@pytest.mark.parametrize(
    "address",
    [
        "10.96.0.1",
        "172.20.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "127.0.0.1",
        "100.100.1.1",
        "198.18.56.3",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::ffff:a00:1",
        "fd00::1",
        "fe80::1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
    ],
)
@pytest.mark.parametrize("role", [Role.FETCHER, Role.PUSHER])
def test_fetchers_and_pushers_reach_no_private_address(role: Role, address: str) -> None:
    assert not allowed("egress", role, address, 443)


def test_a_fetcher_resolves_names() -> None:
    assert allowed("egress", Role.FETCHER, "10.96.0.10", 53, "UDP")
    assert allowed("egress", Role.FETCHER, "10.96.0.10", 53)


def test_a_fetcher_reaches_what_a_person_opened() -> None:
    opened = Installation("axiom-system", 8443, 8788, parse_destinations("10.1.0.0/16:8443, fd00::/8:22"))
    assert allowed("egress", Role.FETCHER, "10.1.2.3", 8443, installation=opened)
    assert allowed("egress", Role.FETCHER, "fd00::1", 22, installation=opened)
    assert not allowed("egress", Role.FETCHER, "10.1.2.3", 443, installation=opened)
    assert not allowed("egress", Role.AGENT, "10.1.2.3", 8443, installation=opened)


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.0.0.1/8:443", "git.example:443", "10.0.0.0/8:0", ":443"])
def test_a_destination_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Destination.parse(text)


def test_policies_select_sandboxes_only() -> None:
    for policy in network_policies("team", INSTALLATION):
        assert not matches(policy["spec"]["podSelector"], {"app.kubernetes.io/managed-by": "Helm"})
        assert not matches(policy["spec"]["podSelector"], {"app.kubernetes.io/managed-by": "axiom"})


def test_policies_are_marked_as_ours() -> None:
    made = network_policies("team", INSTALLATION)
    assert [policy["metadata"]["name"] for policy in made] == list(POLICY_NAMES)
    assert {policy["metadata"]["namespace"] for policy in made} == {"team"}
