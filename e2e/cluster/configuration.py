"""The configuration files of the daemons, written before they start.

Decisions that hold for more than one daemon are explained where they are made; addresses
and paths come from `layout`.
"""

import json
from pathlib import Path
from string import Template

from e2e.cluster.base_images import COREDNS, PAUSE
from e2e.cluster.binaries import binary
from e2e.cluster.certificates import (
    ADMIN,
    CONTROLLER_MANAGER,
    NETPOL,
    PROXY,
    SCHEDULER,
    kubelet_identity,
    write_kubeconfig,
)
from e2e.cluster.layout import Cluster

_MANIFESTS = Path(__file__).parent / "manifests"
_EVICTION_SIGNALS = (
    "memory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
)


def write_configuration(cluster: Cluster) -> None:
    """Write every file that a daemon reads at its start to `cluster.config`."""
    cluster.config.mkdir(mode=0o700)
    (cluster.config / "cni").mkdir()
    (cluster.config / "resolv.conf").write_text(f"nameserver {cluster.dns_address}\n")
    (cluster.config / "containerd.toml").write_text(_containerd(cluster))
    (cluster.config / "coredns.yaml").write_text(_coredns(cluster))
    (cluster.config / "audit-policy.yaml").write_text((_MANIFESTS / "audit-policy.yaml").read_text())
    _write_json(cluster.config / "cni" / "10-pods.conflist", _pod_network(cluster))
    _write_json(cluster.config / "kubelet.yaml", _kubelet(cluster))
    _write_json(cluster.config / "proxy.yaml", _proxy(cluster))
    write_kubeconfig(cluster, ADMIN, cluster.kubeconfig)
    for identity in (CONTROLLER_MANAGER, SCHEDULER, PROXY, NETPOL, kubelet_identity(cluster)):
        write_kubeconfig(cluster, identity, cluster.config / f"{identity.file}.kubeconfig")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1))


def _containerd(cluster: Cluster) -> str:
    return Template((_MANIFESTS / "containerd.toml").read_text()).substitute(
        state=cluster.state,
        run=cluster.run,
        config=cluster.config,
        socket=cluster.containerd_socket,
        pause_image=PAUSE.name,
        shim=binary("containerd-shim-runc-v2"),
        runc=binary("runc"),
        cni_bin_dir=binary("ptp").parent,
    )


def _coredns(cluster: Cluster) -> str:
    return Template((_MANIFESTS / "coredns.yaml").read_text()).substitute(
        dns_address=cluster.dns_address, coredns_image=COREDNS.name
    )


def _pod_network(cluster: Cluster) -> object:
    # Point-to-point links, not a bridge: what pods say to each other is then routed by the
    # node and passes the forward hook, where policies are enforced.
    address_management = {
        "type": "host-local",
        "ranges": [[{"subnet": str(cluster.pod_network)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(cluster.run / "cni"),
    }
    return {
        "cniVersion": "1.0.0",
        "name": f"axiom-e2e-{cluster.name}",
        "plugins": [{"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": address_management}],
    }


def _kubelet(cluster: Cluster) -> object:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(cluster.node_address),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(cluster.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(cluster.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(cluster.pki / "kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{cluster.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cluster.cgroup}",
        "enforceNodeAllocatable": ["pods"],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDNS": [str(cluster.dns_address)],
        "clusterDomain": "cluster.local",
        "resolvConf": str(cluster.config / "resolv.conf"),
        "podLogsDir": str(cluster.logs / "pods"),
        "volumePluginDir": str(cluster.state / "volume-plugins"),
        "staticPodPath": "",
        "maxPods": 250,
        "podPidsLimit": 4096,
        # The disk belongs to the machine: how full it is says nothing about the cluster.
        "evictionHard": dict.fromkeys(_EVICTION_SIGNALS, "0%"),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "makeIPTablesUtilChains": False,
        "nodeStatusUpdateFrequency": "10s",
        "shutdownGracePeriod": "0s",
        "syncFrequency": "10s",
        # How full volumes are is found out once a minute otherwise: tests of evictions would wait for it.
        "volumeStatsAggPeriod": "5s",
    }


def _proxy(cluster: Cluster) -> object:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": str(cluster.node_address),
        "clusterCIDR": str(cluster.pod_network),
        "detectLocalMode": "ClusterCIDR",
        "hostnameOverride": cluster.node,
        "oomScoreAdj": 0,
        "clientConnection": {"kubeconfig": str(cluster.config / f"{PROXY.file}.kubeconfig")},
        # The table of connections is the machine's: its limits are not ours to set.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "nftables": {"minSyncPeriod": "50ms", "syncPeriod": "30s"},
    }
