"""The cluster's network: one namespace, linked to the machine, with no way further out.

The node, all daemons and the pods' links live in a network namespace of their own. Its only
link leads to the machine's end of a veth pair, and it has no default route: a packet for any
address outside the cluster's own range has nowhere to go, and is dropped and counted besides.
The address of cloud metadata services belongs to the namespace's loopback device, where a
stand-in answers, so that no test ever asks the real one.
"""

import json

from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import METADATA_ADDRESS, Cluster
from e2e.cluster.shell import run

_NODE_LINK = "node0"


def inside_network(cluster: Cluster) -> list[str]:
    """The start of a command line that runs the rest of it in the cluster's network.

    nsenter, as `ip netns exec` would mount a new /sys and hide the cgroups.
    """
    return ["nsenter", f"--net=/run/netns/{cluster.network_namespace}", "--"]


def create_network(cluster: Cluster) -> None:
    """Make the namespace, its link, addresses, routes and firewall.

    Raises:
        ClusterError: something of the machine already uses the cluster's range.
    """
    _refuse_collision(cluster)
    namespace, length = cluster.network_namespace, cluster.node_network.prefixlen
    run(["ip", "netns", "add", namespace])
    run(["ip", "link", "add", cluster.uplink, "type", "veth",
         "peer", "name", _NODE_LINK, "netns", namespace])  # fmt: skip
    run(
        ["ip", "-batch", "-"],
        stdin=f"""
        address add {cluster.machine_address}/{length} dev {cluster.uplink}
        link set {cluster.uplink} up
        """,
    )
    run(
        ["ip", "-netns", namespace, "-batch", "-"],
        stdin=f"""
        link set lo up
        address add {METADATA_ADDRESS}/32 dev lo
        address add {cluster.node_address}/{length} dev {_NODE_LINK}
        address add {cluster.storage_address}/{length} dev {_NODE_LINK}
        link set {_NODE_LINK} up
        """,
    )
    # A test that runs on the machine reaches pods and Services by their own addresses.
    for network in (cluster.pod_network, cluster.service_network):
        run(["ip", "route", "add", str(network), "via", str(cluster.node_address)])
    run([*inside_network(cluster), "tee", "/proc/sys/net/ipv4/ip_forward"], stdin="1\n")
    # Policies are enforced for IPv4 alone, and a link-local address would get around them.
    for devices in ("all", "default"):
        setting = f"/proc/sys/net/ipv6/conf/{devices}/disable_ipv6"
        run([*inside_network(cluster), "tee", setting], stdin="1\n")
    run([*inside_network(cluster), "nft", "--file", "-"], stdin=_firewall(cluster))


def remove_network(cluster: Cluster) -> None:
    """Remove the link and the namespace, and with it all its rules and devices."""
    if cluster.uplink in _device_names():
        run(["ip", "link", "delete", cluster.uplink])
    if cluster.network_namespace in _namespace_names():
        run(["ip", "netns", "delete", cluster.network_namespace])


def leftover_networks(cluster: Cluster) -> list[str]:
    found = [f"device {name}" for name in _device_names() if name == cluster.uplink]
    return found + [
        f"network namespace {name}" for name in _namespace_names() if name == cluster.network_namespace
    ]


def _firewall(cluster: Cluster) -> str:
    return f"""
    table inet axiom_e2e_boundary {{
        chain forward {{
            type filter hook forward priority -10; policy accept;
            ip daddr != {cluster.network} counter drop
            meta nfproto ipv6 counter drop
        }}
    }}
    """


def _refuse_collision(cluster: Cluster) -> None:
    routes = json.loads(run(["ip", "-json", "route", "show", "root", str(cluster.network)]))
    if routes:
        devices = ", ".join(sorted({route.get("dev", "?") for route in routes}))
        raise ClusterError(
            f"cluster {cluster.name} would use {cluster.network}, which {devices} already has: "
            "choose another E2E_CLUSTER_NAME, the range follows from it"
        )


def _device_names() -> list[str]:
    return [link["ifname"] for link in json.loads(run(["ip", "-json", "link", "show"]))]


def _namespace_names() -> list[str]:
    listed = run(["ip", "-json", "netns", "list"]).strip()
    return [entry["name"] for entry in json.loads(listed)] if listed else []
