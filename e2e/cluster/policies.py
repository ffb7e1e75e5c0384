"""NetworkPolicies to an nftables ruleset: pure, for the test-only enforcer in `netpol`.

A pod that a policy selects may, in that direction, do only what some policy allows; a pod
that none selects may do everything. What a chain allows returns from it; its end drops.
Covers podSelector, namespaceSelector, ipBlock with except, and ports (number, name, range)
over IPv4. The rules are hooked where

- pods' packets to other pods and to the outside are forwarded: after kube-proxy has replaced
  a Service's address, before it replaces the sender's;
- pods' packets to the node itself come in: API server, kubelet, S3, metadata.

What the node itself sends (kubelet's probes, port-forward) passes neither hook, as it should.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, collapse_addresses
from typing import Any

TABLE = "axiom_e2e_netpol"
_PROTOCOLS = ("TCP", "UDP", "SCTP")


@dataclass(frozen=True)
class Requirement:
    key: str
    operator: str
    values: tuple[str, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
            case _:
                raise ValueError(f"unknown operator {self.operator!r} in a label selector")


@dataclass(frozen=True)
class Selector:
    requirements: tuple[Requirement, ...]

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Selector":
        equal = [Requirement(key, "In", (value,)) for key, value in _items(data, "matchLabels")]
        expressions = [
            Requirement(one["key"], one["operator"], tuple(one.get("values") or ()))
            for one in data.get("matchExpressions") or ()
        ]
        return cls((*equal, *expressions))

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)


@dataclass(frozen=True)
class Pod:
    """A pod that has an address in the pod network."""

    namespace: str
    address: str
    labels: Mapping[str, str]
    ports: Mapping[tuple[str, str], int]
    """(protocol, name) → number"""

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Pod | None":
        """None for a pod that no policy can concern: no address, ended, or the node's network."""
        spec, status = data["spec"], data.get("status", {})
        ended = status.get("phase") in ("Succeeded", "Failed")
        if ended or spec.get("hostNetwork") or not status.get("podIP"):
            return None
        containers = (*(spec.get("initContainers") or ()), *spec["containers"])
        ports = {
            (port.get("protocol", "TCP"), port["name"]): int(port["containerPort"])
            for container in containers
            for port in container.get("ports") or ()
            if port.get("name")
        }
        metadata = data["metadata"]
        labels = metadata.get("labels") or {}
        return cls(metadata["namespace"], status["podIP"], labels, ports)


@dataclass(frozen=True)
class Port:
    protocol: str
    port: int | str | None
    """A number, a container port's name, or every port."""
    end: int | None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Port":
        return cls(data.get("protocol", "TCP"), data.get("port"), data.get("endPort"))


@dataclass(frozen=True)
class Peer:
    pods: Selector | None
    namespaces: Selector | None
    block: str | None
    excluded: tuple[str, ...]

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Peer":
        block = data.get("ipBlock") or {}
        pods, namespaces = data.get("podSelector"), data.get("namespaceSelector")
        return cls(
            None if pods is None else Selector.parse(pods),
            None if namespaces is None else Selector.parse(namespaces),
            block.get("cidr"),
            tuple(block.get("except") or ()),
        )


@dataclass(frozen=True)
class Rule:
    """No peers: everybody. No ports: every port and protocol."""

    peers: tuple[Peer, ...]
    ports: tuple[Port, ...]

    @classmethod
    def parse(cls, data: Mapping[str, Any], peers: str) -> "Rule":
        return cls(
            tuple(Peer.parse(peer) for peer in data.get(peers) or ()),
            tuple(Port.parse(port) for port in data.get("ports") or ()),
        )


@dataclass(frozen=True)
class Policy:
    namespace: str
    selector: Selector
    ingress: tuple[Rule, ...] | None
    """None: the policy says nothing about this direction."""
    egress: tuple[Rule, ...] | None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> "Policy":
        spec = data["spec"]
        types = spec.get("policyTypes") or ()
        ingress = tuple(Rule.parse(rule, "from") for rule in spec.get("ingress") or ())
        egress = tuple(Rule.parse(rule, "to") for rule in spec.get("egress") or ())
        return cls(
            data["metadata"]["namespace"],
            Selector.parse(spec.get("podSelector") or {}),
            ingress if "Ingress" in types else None,
            egress if "Egress" in types else None,
        )


class Direction(Enum):
    """Which way, and which field of a packet is then the other side."""

    INGRESS = "saddr"
    EGRESS = "daddr"


@dataclass(frozen=True)
class World:
    """Everything that decides who may talk to whom."""

    pods: tuple[Pod, ...]
    """Oldest first: an address belongs to the latest pod that got it."""
    namespaces: Mapping[str, Mapping[str, str]]
    """Name → labels."""
    policies: tuple[Policy, ...]

    def peers(self, policy: Policy, peer: Peer) -> list[Pod]:
        """The pods that `peer` means in `policy`."""
        return [
            pod
            for pod in self.pods
            if (
                pod.namespace == policy.namespace
                if peer.namespaces is None
                else peer.namespaces.matches(self.namespaces.get(pod.namespace, {}))
            )
            and (peer.pods is None or peer.pods.matches(pod.labels))
        ]


def ruleset(world: World) -> str:
    """The whole table, as a script for `nft --file` that replaces it in one transaction."""
    chains: list[str] = []
    jumps: dict[Direction, list[str]] = {Direction.EGRESS: [], Direction.INGRESS: []}
    holders = {pod.address: pod for pod in world.pods}
    for _, pod in sorted(holders.items()):
        for direction, verdicts in jumps.items():
            rules = _rules_for(world, pod, direction)
            if rules is None:
                continue
            name = f"{direction.name.lower()}_{pod.address.replace('.', '_')}"
            # Nothing keeps a pod from talking to itself through a Service.
            own = f"ip {direction.value} {pod.address} return"
            lines = "\n".join(f"    {line}" for line in (own, *rules, "counter drop"))
            chains.append(f"  chain {name} {{\n{lines}\n  }}\n")
            verdicts.append(f"{pod.address} : jump {name}")
    egress = _dispatch("saddr", jumps[Direction.EGRESS])
    ingress = _dispatch("daddr", jumps[Direction.INGRESS])
    return (
        f"table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n"
        + "".join(chains)
        + _hook("forward", egress + ingress)
        + _hook("input", egress)
        + "}\n"
    )


def _hook(name: str, dispatch: list[str]) -> str:
    lines = "\n".join(f"    {line}" for line in ("ct state established,related accept", *dispatch))
    return f"  chain {name} {{\n    type filter hook {name} priority 0; policy accept;\n{lines}\n  }}\n"


def _dispatch(field: str, verdicts: list[str]) -> list[str]:
    return [f"ip {field} vmap {{ {', '.join(verdicts)} }}"] if verdicts else []


def _rules_for(world: World, pod: Pod, direction: Direction) -> list[str] | None:
    """What `pod` may do in this direction; None when no policy selects it."""
    selecting = [
        (policy, rules)
        for policy in world.policies
        if policy.namespace == pod.namespace
        and policy.selector.matches(pod.labels)
        and (rules := policy.egress if direction is Direction.EGRESS else policy.ingress) is not None
    ]
    if not selecting:
        return None
    lines = [
        line
        for policy, rules in selecting
        for rule in rules
        for line in _allowed(world, pod, policy, rule, direction)
    ]
    return list(dict.fromkeys(lines))


def _allowed(world: World, pod: Pod, policy: Policy, rule: Rule, direction: Direction) -> Iterator[str]:
    field = direction.value
    peers = [
        (f"ip {field} {{ {_listed(one.address for one in members)} }}", members)
        for peer in rule.peers
        if peer.block is None and (members := world.peers(policy, peer))
    ]
    blocks = [
        f"ip {field} {peer.block}"
        + (f" ip {field} != {{ {_networks(peer.excluded)} }}" if peer.excluded else "")
        for peer in rule.peers
        # A block of IPv6 names nobody in a network that has none.
        if peer.block is not None and ":" not in peer.block
    ]
    everybody = [] if rule.peers else [""]
    ports = rule.ports or (None,)
    for port in ports:
        if port is not None and isinstance(port.port, str):
            yield from _named(world, pod, port, peers, blocks + everybody, direction)
            continue
        match = "" if port is None else _port_match(port.protocol, port.port, port.end)
        for address in (*(address for address, _ in peers), *blocks, *everybody):
            yield _line(address, match)


def _named(
    world: World,
    pod: Pod,
    port: Port,
    peers: list[tuple[str, list[Pod]]],
    others: list[str],
    direction: Direction,
) -> Iterator[str]:
    """A port's name means the receiving pod's container port of that name."""
    key = (port.protocol, str(port.port))
    if direction is Direction.INGRESS:
        if key in pod.ports:
            match = _port_match(port.protocol, pod.ports[key], None)
            for address in (*(address for address, _ in peers), *others):
                yield _line(address, match)
        return
    receivers = [one for _, members in peers for one in members]
    if "" in others:
        receivers = list(world.pods)
    for receiver in receivers:
        if key in receiver.ports:
            match = _port_match(port.protocol, receiver.ports[key], None)
            yield _line(f"ip {direction.value} {receiver.address}", match)


def _port_match(protocol: str, port: int | str | None, end: int | None) -> str:
    if protocol not in _PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r} in a NetworkPolicy")
    if port is None:
        return f"meta l4proto {protocol.lower()}"
    return f"{protocol.lower()} dport {port}" + (f"-{end}" if end else "")


def _line(address: str, match: str) -> str:
    return " ".join(part for part in (address, match, "return") if part)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _networks(blocks: Iterable[str]) -> str:
    """nftables refuses a set whose intervals overlap."""
    return _listed(str(one) for one in collapse_addresses(IPv4Network(block) for block in blocks))


def _items(data: Mapping[str, Any], key: str) -> Iterable[tuple[str, str]]:
    labels: Mapping[str, str] = data.get(key) or {}
    return labels.items()
