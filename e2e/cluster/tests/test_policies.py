"""What a NetworkPolicy becomes in nftables. The packets themselves are the self-test's."""

from collections.abc import Mapping
from typing import Any

import pytest

from e2e.cluster.policies import Pod, Policy, World, ruleset

_LABELS = {"app": "client"}


def _pod(
    name: str, address: str, *, namespace: str = "team", ports: Mapping[tuple[str, str], int] | None = None
) -> Pod:
    return Pod(namespace, address, {"app": name}, ports or {})


def _policy(**spec: Any) -> Policy:
    selector = {"matchLabels": _LABELS}
    return Policy.parse({"metadata": {"namespace": "team"}, "spec": {"podSelector": selector, **spec}})


def _world(*policies: Policy) -> World:
    return World(
        (
            _pod("client", "198.18.4.2", ports={("TCP", "web"): 8080}),
            _pod("server", "198.18.4.3", ports={("TCP", "web"): 9090}),
            _pod("dns", "198.18.4.4", namespace="kube-system"),
            _pod("dns", "198.18.4.5"),
        ),
        {"team": {"name": "team"}, "kube-system": {"name": "kube-system"}},
        policies,
    )


def _chain(world: World, name: str) -> list[str] | None:
    """The rules of a chain between the pod's own address and the drop at the end."""
    lines = [line.strip() for line in ruleset(world).splitlines()]
    header = f"chain {name} {{"
    if header not in lines:
        return None
    body = lines[lines.index(header) + 1 :]
    rules = body[: body.index("}")]
    assert rules[-1] == "counter drop"
    return rules[1:-1]


def test_without_policies_nothing_is_restricted() -> None:
    text = ruleset(_world())
    assert "drop" not in text
    assert "vmap" not in text


def test_a_policy_without_rules_closes_its_direction_only() -> None:
    world = _world(_policy(policyTypes=["Egress"]))
    assert _chain(world, "egress_198_18_4_2") == []
    assert _chain(world, "ingress_198_18_4_2") is None
    assert _chain(world, "egress_198_18_4_3") is None


def test_a_closed_direction_is_hooked_for_pods_and_for_the_node() -> None:
    text = ruleset(_world(_policy(policyTypes=["Egress"])))
    assert text.count("ip saddr vmap { 198.18.4.2 : jump egress_198_18_4_2 }") == 2


def test_ingress_is_not_hooked_for_what_the_node_sends() -> None:
    text = ruleset(_world(_policy(policyTypes=["Ingress"])))
    assert text.count("ip daddr vmap { 198.18.4.2 : jump ingress_198_18_4_2 }") == 1
    assert "hook output" not in text


def test_an_empty_rule_opens_everything() -> None:
    world = _world(_policy(policyTypes=["Egress"], egress=[{}]))
    assert _chain(world, "egress_198_18_4_2") == ["return"]


@pytest.mark.parametrize(
    ("peer", "addresses"),
    [
        ({"podSelector": {"matchLabels": {"app": "dns"}}}, ["198.18.4.5"]),
        (
            {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "dns"}}},
            ["198.18.4.4", "198.18.4.5"],
        ),
        ({"namespaceSelector": {"matchLabels": {"name": "kube-system"}}}, ["198.18.4.4"]),
        (
            {
                "podSelector": {
                    "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["dns", "client"]}]
                }
            },
            ["198.18.4.3"],
        ),
        ({"podSelector": {"matchExpressions": [{"key": "missing", "operator": "Exists"}]}}, []),
    ],
)
def test_peers_by_labels(peer: dict[str, Any], addresses: list[str]) -> None:
    world = _world(_policy(policyTypes=["Egress"], egress=[{"to": [peer]}]))
    expected = [f"ip daddr {{ {', '.join(addresses)} }} return"] if addresses else []
    assert _chain(world, "egress_198_18_4_2") == expected


def test_peers_that_select_nobody_open_nothing() -> None:
    peer = {"podSelector": {"matchLabels": {"app": "nobody"}}}
    world = _world(_policy(policyTypes=["Ingress"], ingress=[{"from": [peer], "ports": [{"port": 80}]}]))
    assert _chain(world, "ingress_198_18_4_2") == []


def test_a_block_with_exceptions() -> None:
    block = {"ipBlock": {"cidr": "198.18.0.0/24", "except": ["198.18.0.2/32"]}}
    world = _world(_policy(policyTypes=["Egress"], egress=[{"to": [block]}]))
    assert _chain(world, "egress_198_18_4_2") == [
        "ip daddr 198.18.0.0/24 ip daddr != { 198.18.0.2/32 } return"
    ]


def test_overlapping_exceptions_become_one() -> None:
    block = {"ipBlock": {"cidr": "198.18.0.0/16", "except": ["198.18.1.0/24", "198.18.1.7/32"]}}
    world = _world(_policy(policyTypes=["Egress"], egress=[{"to": [block]}]))
    assert _chain(world, "egress_198_18_4_2") == [
        "ip daddr 198.18.0.0/16 ip daddr != { 198.18.1.0/24 } return"
    ]


def test_a_block_of_ipv6_opens_nothing() -> None:
    world = _world(_policy(policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {"cidr": "fd00::/8"}}]}]))
    assert _chain(world, "egress_198_18_4_2") == []


def test_an_address_belongs_to_the_latest_pod_that_got_it() -> None:
    world = _world(_policy(policyTypes=["Egress"]))
    reused = World((*world.pods, _pod("other", "198.18.4.2")), world.namespaces, world.policies)
    assert _chain(reused, "egress_198_18_4_2") is None


@pytest.mark.parametrize(
    ("port", "match"),
    [
        ({"port": 443}, "tcp dport 443 return"),
        ({"port": 53, "protocol": "UDP"}, "udp dport 53 return"),
        ({"port": 8000, "endPort": 8099}, "tcp dport 8000-8099 return"),
        ({"protocol": "UDP"}, "meta l4proto udp return"),
    ],
)
def test_ports(port: dict[str, Any], match: str) -> None:
    world = _world(_policy(policyTypes=["Egress"], egress=[{"ports": [port]}]))
    assert _chain(world, "egress_198_18_4_2") == [match]


def test_a_port_name_is_the_receiving_pods() -> None:
    rule = {"ports": [{"port": "web"}]}
    peers: list[dict[str, Any]] = [{"podSelector": {}}]
    world = _world(
        _policy(
            policyTypes=["Ingress", "Egress"],
            ingress=[{**rule, "from": peers}],
            egress=[{**rule, "to": peers}],
        )
    )
    everyone = "198.18.4.2, 198.18.4.3, 198.18.4.5"
    assert _chain(world, "ingress_198_18_4_2") == [f"ip saddr {{ {everyone} }} tcp dport 8080 return"]
    assert _chain(world, "egress_198_18_4_2") == [
        "ip daddr 198.18.4.2 tcp dport 8080 return",
        "ip daddr 198.18.4.3 tcp dport 9090 return",
    ]


def test_policies_add_up() -> None:
    world = _world(
        _policy(policyTypes=["Egress"]),
        _policy(policyTypes=["Egress"], egress=[{"ports": [{"port": 1}]}]),
        _policy(policyTypes=["Egress"], egress=[{"ports": [{"port": 2}]}]),
    )
    assert _chain(world, "egress_198_18_4_2") == ["tcp dport 1 return", "tcp dport 2 return"]


@pytest.mark.parametrize(
    "change",
    [{"status": {"phase": "Succeeded", "podIP": "198.18.4.9"}}, {"status": {"phase": "Pending"}}],
)
def test_pods_without_a_live_address_do_not_count(change: dict[str, Any]) -> None:
    pod = {"metadata": {"namespace": "team"}, "spec": {"containers": []}}
    assert Pod.parse({**pod, **change}) is None


def test_pods_in_the_nodes_network_do_not_count() -> None:
    pod = {"metadata": {"namespace": "team"}, "spec": {"containers": [], "hostNetwork": True}}
    assert Pod.parse({**pod, "status": {"podIP": "198.18.0.2"}}) is None
