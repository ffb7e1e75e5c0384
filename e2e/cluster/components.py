"""Which daemons a cluster consists of, and their command lines. Pure."""

import sys

from e2e.cluster.binaries import bin_dir, binary
from e2e.cluster.certificates import CONTROLLER_MANAGER, NETPOL, SCHEDULER
from e2e.cluster.layout import METADATA_ADDRESS, Cluster
from e2e.cluster.processes import Daemon


def etcd(cluster: Cluster) -> Daemon:
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return _daemon(
        "etcd",
        f"--data-dir={cluster.state}/etcd",
        "--name=etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=etcd={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def containerd(cluster: Cluster) -> Daemon:
    daemon = _daemon("containerd", f"--config={cluster.config}/containerd.toml")
    return Daemon(daemon.name, daemon.argv, {"TMPDIR": str(cluster.run)})


def api_server(cluster: Cluster) -> Daemon:
    pki = cluster.pki
    return _daemon(
        "kube-apiserver",
        f"--advertise-address={cluster.node_address}",
        "--allow-privileged=true",
        f"--audit-log-path={cluster.audit_log}",
        # A test counts what it finds in the file: written at once, and never rotated away.
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=102400",
        f"--audit-policy-file={cluster.config}/audit-policy.yaml",
        "--authorization-mode=Node,RBAC",
        f"--cert-dir={pki}",
        f"--client-ca-file={pki}/ca.crt",
        "--enable-admission-plugins=NodeRestriction",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-client.crt",
        f"--kubelet-client-key={pki}/apiserver-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--secure-port=6443",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        f"--service-cluster-ip-range={cluster.service_network}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        "--shutdown-delay-duration=0s",
    )


def controller_manager(cluster: Cluster) -> Daemon:
    kubeconfig = f"{cluster.config}/{CONTROLLER_MANAGER.file}.kubeconfig"
    return _daemon(
        "kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--cluster-signing-cert-file={cluster.pki}/ca.crt",
        f"--cluster-signing-key-file={cluster.pki}/ca.key",
        f"--root-ca-file={cluster.pki}/ca.crt",
        f"--service-account-private-key-file={cluster.pki}/service-account.key",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        f"--cert-dir={cluster.pki}",
        f"--flex-volume-plugin-dir={cluster.state}/volume-plugins",
    )


def scheduler(cluster: Cluster) -> Daemon:
    kubeconfig = f"{cluster.config}/{SCHEDULER.file}.kubeconfig"
    return _daemon(
        "kube-scheduler",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    )


def kubelet(cluster: Cluster) -> Daemon:
    return _daemon(
        "kubelet",
        f"--config={cluster.config}/kubelet.yaml",
        f"--kubeconfig={cluster.config}/kubelet.kubeconfig",
        f"--hostname-override={cluster.node}",
        f"--node-ip={cluster.node_address}",
        f"--root-dir={cluster.state}/kubelet",
        f"--cert-dir={cluster.pki}",
    )


def proxy(cluster: Cluster) -> Daemon:
    return _daemon("kube-proxy", f"--config={cluster.config}/proxy.yaml")


def storage(cluster: Cluster, access_key: str, secret_key: str) -> Daemon:
    daemon = _daemon(
        "versitygw",
        f"--port={cluster.storage_address}:7070",
        "posix",
        "--sidecar",
        f"{cluster.state}/storage/metadata",
        f"{cluster.state}/storage/data",
    )
    keys = {"ROOT_ACCESS_KEY": access_key, "ROOT_SECRET_KEY": secret_key}
    return Daemon(daemon.name, daemon.argv, keys)


def metadata(_cluster: Cluster) -> Daemon:
    return Daemon("metadata", (sys.executable, "-m", "e2e.cluster.metadata", str(METADATA_ADDRESS)))


def netpol(cluster: Cluster) -> Daemon:
    kubeconfig = f"{cluster.config}/{NETPOL.file}.kubeconfig"
    return Daemon("netpol", (sys.executable, "-m", "e2e.cluster.netpol", kubeconfig))


def _daemon(name: str, *arguments: str) -> Daemon:
    # Through the one folder with everything: containerd finds its shim, kubelet mounts by PATH.
    return Daemon(name, (str(bin_dir() / binary(name).name), *arguments))
