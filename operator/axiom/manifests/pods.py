"""Sandbox pods: the agent's, the verifier's, and those that do one thing for the control plane (`one_shot`).

A pod has an untrusted container, whose only own process is the launcher, and a trusted one, the supervisor, as native
sidecar. They share three volumes: `files` (workspace and home; the supervisor reads what the agent writes), `bin` (the
launcher and the tools) and `run` (the launcher's socket), the last two read-only for the untrusted side. `state`, `keys`
and `scratch` are the supervisor's alone. Where pages are photographed there is a third container, `browser`, of another user, which
shares `browser` (its socket) with the supervisor. Both containers have the same user id, because without capabilities nobody else
could read files of mode 0600; what keeps them apart are their own mount and PID namespaces, and that the launcher is
not dumpable. There is no fsGroup: it would only set the setgid bit on every folder of the workspace.

A pod's start waits for nothing that the kubelet looks at once a second only (docs/adr/0006): the supervisor's postStart hook
installs what the others need while the supervisor imports, and the kubelet starts no other container before the hook is
through. Then `certificate` says the channel's certificate as its termination message and ends, and the untrusted container
starts. There is no startup probe; the launcher connects when there is somebody to connect to.

Workspace and home are folders of a volume, made by the installer, not mount roots: those would belong to root, and git
refuses to work in a folder of somebody else's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axiom.api.agentclass import AgentClassSpec
from axiom.api.agenttask import Capabilities, Resources
from axiom.manifests.hidden_tests import HiddenMounts
from axiom.manifests.naming import DESTINATIONS_ANNOTATION, annotations_of, identity_of, labels_of, pod_name
from axiom.manifests.one_shot import OneShot
from axiom.manifests.resources import (
    BROWSER_DISK,
    MEBIBYTE,
    WORKSPACE_SHARE,
    Allowance,
    allowance,
    browser_resources,
    teller_resources,
    trusted_resources,
    untrusted_resources,
)
from axiom.planning.briefing import MOST_PAUSE_SECONDS
from axiom_sandbox import installing
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.launching import Expectation, Layer, Network
from axiom_sandbox.protocol.pages import BROWSER_FOLDER, BROWSER_SOCKET
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.supervising.settings import (
    SETTINGS_VARIABLE,
    BrowserSettings,
    Inside,
    SandboxSettings,
    Tls,
    write_paths,
)

__all__ = [
    "Egress",
    "Images",
    "Owner",
    "PodInput",
    "certificate_of",
    "identity_of",
    "pod_name",
    "sandbox_pod",
]

USER = 1000
BROWSER_USER = 1001
"""Reads nothing of the supervisor's and the agent's, and is not read by them."""
CHANNEL_PORT = 8443
SUPERVISOR, TELLER, UNTRUSTED = "supervisor", "certificate", "agent"
CANDIDATE = "candidate"
BROWSER = "browser"
_GRACE_SECONDS = 60
"""For a checkpoint, and for the gateway to store it with the rest."""
_DEADLINE_MARGIN_SECONDS = 3600 + MOST_PAUSE_SECONDS
_LEAST_START_SECONDS = 60.0
_ADDRESS_VARIABLE = "AXIOM_POD_ADDRESS"
_RUN_FOLDER = "/axiom/run"
_UNTRUSTED_TMP = "/axiom/tmp"
"""Where the supervisor sees the untrusted side's /tmp: it counts what is in it, and empties it between two candidates."""
_BROWSER_TMP = "browser-tmp"
_SOCKET = f"{_RUN_FOLDER}/launcher.sock"
_NO_BROWSER = (
    "this installation names no image with a browser; build sandbox-image/browser/Dockerfile, and name it in images.browser"
    " of the chart"
)


@dataclass(frozen=True)
class Owner:
    """The AgentTask that owns the pod: Kubernetes deletes the pod with it."""

    uid: str
    name: str
    kind: str = "AgentTask"
    api_version: str = "axiom.dev/v1alpha1"


@dataclass(frozen=True)
class Images:
    """The installation's own images."""

    sandbox: str
    """Supervisor, one-shot pods, and what is installed."""
    verifier: str
    """The clean room's untrusted side, where a task names none."""
    browser: str = ""
    """What photographs pages; empty: nothing does."""


@dataclass(frozen=True)
class Egress:
    """Where sandboxes reach the egress proxy."""

    address: str
    """IP address, as there is no DNS in a sandbox: the Service's ClusterIP."""
    port: int = 8788
    host: str = "axiom-egress"
    """The name that stands for the address inside."""


@dataclass(frozen=True)
class PodInput:
    """All that a sandbox pod is made of."""

    identity: Identity
    owner: Owner
    agent_class: AgentClassSpec
    resources: Resources
    """What the task wishes; cut at the class's ceilings."""
    images: Images
    client_ca: str
    """Certificates of the control plane's authority (PEM): whose clients the channel answers."""
    seconds_left: float
    """Seconds until the task's deadline."""
    egress: Egress | None = None
    base: str = ""
    """Digest of the base archive."""
    changes: str = ""
    """Verifiers: digest of the changes archive."""
    conduct: str = ""
    """Verifiers: digest of what the agent did, where a criterion asks for that."""
    checkpoint: str = ""
    """Agents: digest of the checkpoint to begin from."""
    verifier_image: str | None = None
    """Verifiers: the task's own image for the candidate."""
    capabilities: Capabilities = field(default_factory=Capabilities)
    """Agents: less than what the class lets them do."""
    job: OneShot | None = None
    """Pods that do one thing for the control plane: what, and what they mount for it."""
    hidden: HiddenMounts = field(default_factory=HiddenMounts)
    """Verifiers: hidden tests, for the trusted side."""
    photographs: bool = False
    """Whether pages that its untrusted side serves are photographed."""
    priority_class: str = ""

    @property
    def has_browser(self) -> bool:
        """Whether it has a container with a browser."""
        return self.photographs and bool(self.images.browser)


def sandbox_pod(spec: PodInput) -> dict[str, Any]:
    """The Pod of a sandbox, in Pod Security's `restricted` profile.

    Raises ValueError when the class names no image, or no job is given for a pod that needs one.
    """
    identity = spec.identity
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(identity),
            "namespace": identity.namespace,
            "labels": labels_of(identity),
            "annotations": {
                **annotations_of(identity, spec.base, spec.changes, spec.conduct),
                **_narrowed(spec),
                "kubectl.kubernetes.io/default-container": SUPERVISOR,
            },
            "ownerReferences": [
                {
                    "apiVersion": spec.owner.api_version,
                    "kind": spec.owner.kind,
                    "name": spec.owner.name,
                    "uid": spec.owner.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": _pod_spec(spec),
    }


def images_of(
    role: Role, images: Images, class_image: str | None, verifier_image: str | None
) -> dict[str, str]:
    """The image that each container of a pod of this role would have now, by the container's name."""
    trusted = dict.fromkeys((SUPERVISOR, TELLER), images.sandbox)
    if images.browser:
        trusted[BROWSER] = images.browser
    match role:
        case Role.AGENT:
            return {**trusted, UNTRUSTED: class_image} if class_image else trusted
        case Role.VERIFIER:
            return {**trusted, CANDIDATE: verifier_image or images.verifier}
        case Role.FETCHER | Role.COPIER | Role.PUSHER:
            return trusted


def photographs(role: Role, agent_class: AgentClassSpec, criteria: Sequence[Criterion]) -> bool:
    """Whether pages are photographed in a pod of this role. Pure."""
    match role:
        case Role.AGENT:
            return bool(agent_class.screenshots.pages)
        case Role.VERIFIER:
            return any(criterion.probe and criterion.probe.pictures for criterion in criteria)
        case Role.FETCHER | Role.COPIER | Role.PUSHER:
            return False


def certificate_of(pod: Mapping[str, Any]) -> str | None:
    """The PEM certificate that the pod's channel presents, from the pod's status; None until it has been made."""
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if container["name"] != TELLER:
            continue
        ended = container["state"].get("terminated") or {}
        message = ended.get("message", "")
        return message if ended.get("exitCode") == 0 and "BEGIN CERTIFICATE" in message else None
    return None


def client_ca_of(pod: Mapping[str, Any]) -> str:
    """The authorities (PEM) that the pod's trusted side accepts clients of; "" where the pod does not say."""
    spec = pod.get("spec") or {}
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        for variable in container.get("env") or ():
            if variable["name"] == installing.CLIENT_CA_VARIABLE:
                return str(variable.get("value") or "")
    return ""


def _narrowed(spec: PodInput) -> dict[str, str]:
    """What the egress proxy reads: which of the class's destinations this agent may reach."""
    hosts = spec.capabilities.destinations
    if hosts is None or spec.identity.role is not Role.AGENT:
        return {}
    return {DESTINATIONS_ANNOTATION: ",".join(hosts)}


def _pod_spec(spec: PodInput) -> dict[str, Any]:
    allowed = allowance(spec.resources, spec.agent_class.ceilings)
    supervisor, teller = _supervisor(spec, allowed), _teller(spec)
    if spec.identity.role.is_one_shot:  # nothing untrusted that has to end first
        containers: dict[str, Any] = {"containers": [supervisor, teller]}
    else:
        containers = {
            "initContainers": [_as_sidecar(supervisor), *([_browser(spec)] if spec.has_browser else ())],
            "containers": [teller, _untrusted(spec, allowed)],
        }
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "activeDeadlineSeconds": max(1, int(spec.seconds_left)) + _DEADLINE_MARGIN_SECONDS,
        "hostname": "sandbox",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **containers,
        "volumes": [
            *_volumes(spec.identity.role, allowed),
            *(_browser_volumes() if spec.has_browser else ()),
            *(spec.job.volumes if spec.job else ()),
            *spec.hidden.volumes,
        ],
        **_network(spec),
    }
    runtime_class = spec.agent_class.runtime_class_name
    if runtime_class:
        pod["runtimeClassName"] = runtime_class
    if Layer.USER_NAMESPACE not in spec.agent_class.isolation.layers:
        pod["hostUsers"] = False  # which kubelets refuse where the runtime has no user namespaces
    if spec.priority_class:
        pod["priorityClassName"] = spec.priority_class
    return pod


def _network(spec: PodInput) -> dict[str, Any]:
    """No DNS for a sandbox, as names could carry data out; the proxy's name stands in its hosts file."""
    if spec.identity.role in (Role.FETCHER, Role.PUSHER):
        return {"dnsPolicy": "ClusterFirst"}
    network: dict[str, Any] = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["127.0.0.1"]}}
    if spec.egress and spec.identity.role is Role.AGENT:
        network["hostAliases"] = [{"ip": spec.egress.address, "hostnames": [spec.egress.host]}]
    return network


# --- containers -----------------------------------------------------------------------------------------------


def _container(name: str, image: str, *, user: int = USER, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **fields,
    }


def _teller(spec: PodInput) -> dict[str, Any]:
    """The control plane reads the certificate in the pod's status, which no sandbox can write, and trusts exactly it."""
    return _container(
        TELLER,
        spec.images.sandbox,
        command=[installing.INSTALLER, "tell"],
        resources=teller_resources(spec.identity.role),
        volumeMounts=[_mount("keys", installing.KEYS_FOLDER, read_only=True)],
    )


def _supervisor(spec: PodInput, allowed: Allowance) -> dict[str, Any]:
    address = {"fieldRef": {"fieldPath": "status.podIP"}}
    env: list[dict[str, Any]] = [
        {"name": _ADDRESS_VARIABLE, "valueFrom": address},
        {"name": SETTINGS_VARIABLE, "value": _settings(spec).model_dump_json()},
        {"name": installing.SUBJECT_VARIABLE, "value": spec.identity.agent_id},
        {"name": installing.CLIENT_CA_VARIABLE, "value": spec.client_ca},
    ]
    return _container(
        SUPERVISOR,
        spec.images.sandbox,
        command=["axiom-sandbox", "run"],
        env=env,
        ports=[{"name": "channel", "containerPort": CHANNEL_PORT, "protocol": "TCP"}],
        resources=trusted_resources(allowed, spec.identity.role),
        lifecycle={"postStart": {"exec": {"command": [installing.INSTALLER, "install"]}}},
        volumeMounts=[
            _mount("state", "/axiom/state"),
            _mount("bin", installing.BIN_FOLDER),
            _mount("keys", installing.KEYS_FOLDER),
            _mount("files", installing.FILES_FOLDER),
            _mount("run", _RUN_FOLDER),
            _mount("scratch", "/tmp"),  # noqa: S108 - a volume of the container's own
            *(spec.job.mounts if spec.job else [_mount("tmp", _UNTRUSTED_TMP)]),
            *spec.hidden.mounts,
            *([_mount(BROWSER, BROWSER_FOLDER, read_only=True)] if spec.has_browser else ()),
        ],
    )


def _browser(spec: PodInput) -> dict[str, Any]:
    """Runs what pages say, so it has nothing but its socket and a /tmp (docs/adr/0039); nobody waits for it."""
    return _container(
        BROWSER,
        spec.images.browser,
        user=BROWSER_USER,
        restartPolicy="Always",
        command=["axiom-sandbox", "browse"],
        resources=browser_resources(spec.identity.role),
        volumeMounts=[
            _mount(BROWSER, BROWSER_FOLDER),
            _mount(_BROWSER_TMP, "/tmp"),  # noqa: S108 - a volume of the container's own
        ],
    )


def _browser_volumes() -> list[dict[str, Any]]:
    return [_volume(BROWSER, MEBIBYTE), _volume(_BROWSER_TMP, BROWSER_DISK)]


def _as_sidecar(supervisor: dict[str, Any]) -> dict[str, Any]:
    """Lives as long as the pod, and is started again when it dies.

    It gets SIGTERM only after the untrusted container has ended, which ends only when the supervisor lets it: so the
    pod's end reaches it by this hook.
    """
    stop = {"preStop": {"exec": {"command": ["axiom-sandbox", "stop"]}}}
    return {**supervisor, "restartPolicy": "Always", "lifecycle": {**supervisor["lifecycle"], **stop}}


def _untrusted(spec: PodInput, allowed: Allowance) -> dict[str, Any]:
    inside, verifies = Inside(), spec.identity.role is Role.VERIFIER
    return _container(
        CANDIDATE if verifies else UNTRUSTED,
        _untrusted_image(spec),
        command=[f"{installing.BIN_FOLDER}/launcher", "init", "--socket", _SOCKET],
        workingDir="/",
        # Not under /dev, where the agent may write: what stands there would become part of the pod's status.
        terminationMessagePath="/axiom/termination-log",
        resources=untrusted_resources(allowed, spec.identity.role),
        volumeMounts=[
            _mount("bin", installing.BIN_FOLDER, read_only=True),
            _mount("run", _RUN_FOLDER, read_only=True),
            _mount("files", inside.workspace, sub_path=installing.WORKSPACE),
            _mount("files", inside.home, sub_path=installing.HOME),
            _mount("tmp", "/tmp"),  # noqa: S108 - a volume of the container's own
        ],
    )


def _untrusted_image(spec: PodInput) -> str:
    if spec.identity.role is Role.VERIFIER:
        return spec.verifier_image or spec.images.verifier
    if not spec.agent_class.image:
        raise ValueError("the AgentClass names no image, and without one there is no pod; set spec.image")
    return spec.agent_class.image


def _mount(volume: str, path: str, *, read_only: bool = False, sub_path: str = "") -> dict[str, Any]:
    mount: dict[str, Any] = {"name": volume, "mountPath": path}
    if read_only:
        mount["readOnly"] = True
    if sub_path:
        mount["subPath"] = sub_path
    return mount


# --- volumes and settings -------------------------------------------------------------------------------------


def _volumes(role: Role, allowed: Allowance) -> list[dict[str, Any]]:
    volumes = [
        _volume("bin", 64 * MEBIBYTE),
        _volume("keys", MEBIBYTE, in_memory=True),
        _volume("files", allowed.storage),
        _volume("state", allowed.evidence),
        _volume("run", MEBIBYTE),
        _volume("scratch", allowed.evidence),
    ]
    return volumes if role.is_one_shot else [*volumes, _volume("tmp", allowed.tmp, in_memory=True)]


def _volume(name: str, size: int, *, in_memory: bool = False) -> dict[str, Any]:
    source = {"sizeLimit": str(size)}
    if in_memory:
        source["medium"] = "Memory"
    return {"name": name, "emptyDir": source}


def _settings(spec: PodInput) -> SandboxSettings:
    keys, files = installing.KEYS, installing.FILES
    return SandboxSettings.model_validate(
        {
            "identity": spec.identity,
            "state": "/axiom/state",
            "workspace": files / installing.WORKSPACE,
            "home": files / installing.HOME,
            "tmp": None if spec.job else _UNTRUSTED_TMP,
            "launcher_socket": _SOCKET,
            "channel_socket": installing.CHANNEL_SOCKET,
            "listen_host": f"$({_ADDRESS_VARIABLE})",  # the kubelet puts the address in
            "listen_port": CHANNEL_PORT,
            "tls": Tls(
                certificate=keys / installing.CERTIFICATE,
                key=keys / installing.KEY,
                client_ca=keys / installing.CLIENT_CA,
            ),
            # The untrusted image is pulled after the supervisor's start; what takes too long ends with the task's deadline.
            "start_timeout": max(spec.seconds_left, _LEAST_START_SECONDS),
            "inside": _inside(spec),
            "expect": _expectation(spec),
            "job": spec.job.job if spec.job else None,
            "workspace_bytes": _workspace_bytes(spec),
            "checkpoint": spec.checkpoint,
            "hot_window_seconds": _hot_window(spec),
            "browser": BrowserSettings(socket=Path(BROWSER_SOCKET))
            if spec.has_browser
            else BrowserSettings(missing=_NO_BROWSER),
        }
    )


def _workspace_bytes(spec: PodInput) -> int | None:
    if spec.identity.role is not Role.AGENT:
        return None
    return int(WORKSPACE_SHARE * allowance(spec.resources, spec.agent_class.ceilings).storage)


def _hot_window(spec: PodInput) -> float | None:
    """Of agents alone: others live for minutes."""
    if spec.identity.role is not Role.AGENT:
        return None
    return parse_duration(spec.agent_class.ledger.hot_window).total_seconds()


def _inside(spec: PodInput) -> Inside:
    tools = f"{installing.BIN_FOLDER}/{installing.TOOLS}"
    if spec.identity.role is not Role.AGENT:
        return Inside(network=Network.NONE, denied_ports=(CHANNEL_PORT,), tools=tools)
    egress = spec.egress
    return Inside(
        proxy_url=f"http://{egress.host}:{egress.port}" if egress else "",
        proxy_ports=(egress.port,) if egress else (),
        denied_ports=(CHANNEL_PORT,),
        network=spec.agent_class.network.to_protocol(),
        write_paths=write_paths(spec.capabilities.write_paths),
        tools=tools,
    )


def _expectation(spec: PodInput) -> Expectation:
    agent = spec.identity.role is Role.AGENT
    return Expectation(
        network=spec.agent_class.network.to_protocol() if agent else Network.NONE,
        may_miss=spec.agent_class.isolation.layers,
    )
