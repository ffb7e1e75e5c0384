"""The cluster's certificate authority and the certificates of its components, by openssl."""

import base64
import json
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from e2e.cluster.layout import Cluster
from e2e.cluster.shell import run

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "365")


@dataclass(frozen=True)
class Identity:
    """Somebody who presents a certificate; the organization is a Kubernetes group."""

    file: str
    common_name: str
    organization: str = ""
    alternative_names: tuple[str, ...] = ()


ADMIN = Identity("admin", "e2e-admin", "system:masters")
# A name of its own, so that a test that counts API calls can tell the enforcer's apart.
NETPOL = Identity("netpol", "e2e-netpol", "system:masters")
CONTROLLER_MANAGER = Identity("controller-manager", "system:kube-controller-manager")
SCHEDULER = Identity("scheduler", "system:kube-scheduler")
PROXY = Identity("proxy", "system:kube-proxy")
API_SERVER_AS_CLIENT = Identity("apiserver-client", "e2e-apiserver", "system:masters")


def kubelet_identity(cluster: Cluster) -> Identity:
    """One certificate serves the kubelet in both directions."""
    return Identity(
        "kubelet",
        f"system:node:{cluster.node}",
        "system:nodes",
        (f"DNS:{cluster.node}", f"IP:{cluster.node_address}"),
    )


def api_server_identity(cluster: Cluster) -> Identity:
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    full_name = "kubernetes.default.svc.cluster.local"
    addresses = (cluster.node_address, cluster.service_network[1], IPv4Address("127.0.0.1"))
    return Identity(
        "apiserver",
        "kube-apiserver",
        alternative_names=(
            *(f"DNS:{name}" for name in (*names, full_name, "localhost")),
            *(f"IP:{address}" for address in addresses),
        ),
    )


def create_certificates(cluster: Cluster) -> None:
    """Write the authority, all certificates and the service account key to `cluster.pki`."""
    cluster.pki.mkdir(parents=True, mode=0o700)
    # Without a configuration of our own, the machine's would add extensions of an authority.
    (cluster.pki / "openssl.cnf").write_text("[req]\ndistinguished_name = dn\n[dn]\n")
    _issue(cluster.pki, Identity("ca", f"{cluster.name}-ca"), authority=True)
    for identity in (
        ADMIN,
        NETPOL,
        CONTROLLER_MANAGER,
        SCHEDULER,
        PROXY,
        API_SERVER_AS_CLIENT,
        kubelet_identity(cluster),
        api_server_identity(cluster),
    ):
        _issue(cluster.pki, identity)
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
         "-out", cluster.pki / "service-account.key"])  # fmt: skip
    run(["openssl", "ec", "-in", cluster.pki / "service-account.key", "-pubout",
         "-out", cluster.pki / "service-account.pub"])  # fmt: skip


def write_kubeconfig(cluster: Cluster, identity: Identity, path: Path) -> None:
    """Write a kubeconfig (JSON is YAML) with which `identity` reaches the API server."""

    def inline(name: str) -> str:
        return base64.b64encode((cluster.pki / name).read_bytes()).decode()

    server = {"server": cluster.api_server, "certificate-authority-data": inline("ca.crt")}
    user = {
        "client-certificate-data": inline(f"{identity.file}.crt"),
        "client-key-data": inline(f"{identity.file}.key"),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": cluster.name, "cluster": server}],
                "users": [{"name": identity.file, "user": user}],
                "contexts": [
                    {
                        "name": cluster.name,
                        "context": {"cluster": cluster.name, "user": identity.file},
                    }
                ],
                "current-context": cluster.name,
            },
            indent=1,
        )
    )


def _issue(folder: Path, identity: Identity, *, authority: bool = False) -> None:
    organization = f"/O={identity.organization}" if identity.organization else ""
    command: list[str | Path] = [
        "openssl", "req", "-x509", "-config", folder / "openssl.cnf", *_KEY,
        "-subj", f"{organization}/CN={identity.common_name}",
        "-keyout", folder / f"{identity.file}.key", "-out", folder / f"{identity.file}.crt",
    ]  # fmt: skip
    if authority:
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign",
                      "subjectKeyIdentifier=hash"]  # fmt: skip
    else:
        command += ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"]
        extensions = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature",
                      "extendedKeyUsage=clientAuth,serverAuth"]  # fmt: skip
        if identity.alternative_names:
            extensions.append(f"subjectAltName={','.join(identity.alternative_names)}")
    for extension in extensions:
        command += ["-addext", extension]
    run(command, env=_yesterday())


def _yesterday() -> dict[str, str]:
    """The environment of a program that shall take it for yesterday.

    Certificates begin then: a clock that a test sets back finds them valid on a cluster that has just come up, too.
    """
    [library] = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    return {"LD_PRELOAD": str(library), "FAKETIME": "-1d"}
