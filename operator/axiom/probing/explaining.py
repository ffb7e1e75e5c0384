"""What each of the probe's assertions tried, what it means where one does not hold, and the cure. Pure.

The assertions themselves are the launcher's (sandbox-image/launcher/probe_*.go); their names never change.
"""

from __future__ import annotations

from typing import NamedTuple

from axiom_sandbox.protocol.launching import Assertion, Layer


class Explanation(NamedTuple):
    """For the person who runs the nodes."""

    tried: str
    meaning: str
    cure: str


class _Kind(NamedTuple):
    """Assertions that one mechanism decides."""

    prefix: str
    tried: str
    """`{}` is the rest of the assertion's name, in words."""
    meaning: str
    cure: str = ""
    """Empty: the layer's."""


_CURES = {
    Layer.LAUNCHER: "report it, with the launcher's version: nothing on a node can switch this off",
    Layer.CONTAINER: "look at what the container runtime mounts and masks (procMount, hostPath, devices, privileged)",
    Layer.USER_NAMESPACE: (
        "use nodes whose kernel and runtime support user namespaces (Linux 6.3, containerd 2.0 or CRI-O 1.25, Kubernetes"
        " 1.33), or let the class miss it: isolation.mayMiss: [UserNamespace]"
    ),
    Layer.READ_ONLY_ROOT: "let no webhook change readOnlyRootFilesystem of sandbox pods",
    Layer.NETWORK: "report it, with kernel and class: the launcher's own locks do not hold together",
    Layer.PID_NAMESPACE: "let no webhook set hostPID or shareProcessNamespace on sandbox pods",
    Layer.NO_CAPABILITIES: "let no webhook add capabilities to sandbox pods, or run them as root",
    Layer.LANDLOCK: (
        "use nodes with Linux 6.12 or newer and `landlock` in the kernel's list of security modules (lsm=), or let the class"
        " miss it: isolation.mayMiss: [Landlock]"
    ),
    Layer.SECCOMP: (
        "use nodes whose kernel has CONFIG_SECCOMP_FILTER, or let the class miss it: isolation.mayMiss: [Seccomp]"
    ),
}

_KINDS = (
    _Kind("launcher.second-connection", "speak to the supervisor as if it were the launcher", "the agent could pose as it"),
    _Kind("launcher.no-new-privileges", "look for no_new_privs", "setuid programs would give the agent other rights"),
    _Kind("launcher.", "reach the launcher's process: {}", "the agent could take its nonce, and speak for it"),
    _Kind("container.sysrq", "open /proc/sysrq-trigger for writing", "the agent could restart the node"),
    _Kind("container.kernel-settings", "open a setting below /proc/sys for writing", "the agent could have the node run a program"),
    _Kind("container.sysfs", "open a file below /sys for writing", "the agent could have the node run a program"),
    _Kind("container.cgroup", "open a control group for writing", "the agent could lift its own limits"),
    _Kind("container.kernel-memory", "read /proc/kcore", "the agent could read all of the node's memory"),
    _Kind("container.host-devices", "open devices of the machine", "the agent could reach the node's disks or kernel"),
    _Kind("container.runtime-socket", "connect to the container runtime", "the agent could start containers on the node"),
    _Kind(
        "container.service-account-token", "look for credentials of Kubernetes or a cloud", "the agent could act in their name",
        "let no webhook mount tokens into sandbox pods (workload identity, service mesh)",
    ),
    _Kind("container.", "compare with the supervisor's: {}", "the agent would share it with the trusted side"),
    _Kind("user_namespace.", "read how ids are mapped: {}", "a way out of the container would be a user of the node"),
    _Kind("read_only_root.", "change the root: {}", "the agent could change programs of its image between two turns"),
    _Kind("network.", "connect to a port that is not the proxy's", "the agent could reach more than the egress proxy"),
    _Kind("pid_namespace.", "look for the machine's processes: {}", "the agent could see and signal them"),
    _Kind("no_capabilities.not-root", "look for user or group 0", "the agent would be root where the kernel asks for owners"),
    _Kind("no_capabilities.", "use or find a capability: {}", "the agent would have a part of root's power"),
    _Kind("landlock.connect", "connect by TCP: {}", "the agent could reach more, or less, than its class says"),
    _Kind("landlock.bind", "listen by TCP: {}", "the agent could pose as the supervisor, or not start its own servers"),
    _Kind("landlock.write-inside", "write where it may", "the agent could not work"),
    _Kind("landlock.abstract", "connect to an abstract Unix socket", "the agent could speak with processes outside its domain"),
    _Kind("landlock.signal", "signal a process outside: {}", "the agent could stop processes that are not its own"),
    _Kind("landlock.ptrace", "trace a process outside", "the agent could take over processes that are not its own"),
    _Kind("landlock.memory", "open the memory of a process outside", "the agent could read processes that are not its own"),
    _Kind("landlock.", "change files outside its own folders: {}", "the agent could write where the class does not let it"),
    _Kind("seccomp.filter", "look for the launcher's own filter: {}", "no call of the kernel would be refused"),
    _Kind("seccomp.tcp-follows", "open a TCP socket", "the agent could reach more, or less, than its class says"),
    _Kind("seccomp.unix-socket", "open a Unix socket", "ordinary programs would not run"),
    _Kind("seccomp.unshare", "make a namespace: {}", "the agent would find more of the kernel to attack"),
    _Kind("seccomp.clone", "make a namespace by {}", "the agent would find more of the kernel to attack"),
    _Kind("seccomp.fast-open", "connect by TCP Fast Open: {}", "Landlock's rule for ports would be passed by"),
    _Kind("seccomp.mptcp", "connect by MPTCP", "Landlock's rule for ports would be passed by"),
    _Kind("seccomp.others", "change what another process has: its {}", "the agent could starve the launcher, and nobody could stop it"),
    _Kind("seccomp.x32", "call the kernel by its x32 numbers", "the filter would be passed by"),
    _Kind("seccomp.i386", "call the kernel by its 32-bit numbers", "the filter would be passed by"),
    _Kind("seccomp.", "use what an agent never needs: {}", "the agent would find more of the kernel to attack"),
)  # fmt: skip
_ENDINGS = ("-refused", "-denied", "-absent", "-hidden", "-unwritable", "-unreadable", "-allowed")


def explain(assertion: Assertion) -> Explanation:
    """For one assertion. Raises KeyError for a name that no launcher of this release has."""
    for kind in _KINDS:
        if assertion.name.startswith(kind.prefix):
            rest = assertion.name.partition(".")[2]
            for ending in _ENDINGS:
                rest = rest.removesuffix(ending)
            words = rest.removeprefix("others-").replace("-", " ")
            return Explanation(
                kind.tried.format(words), kind.meaning, kind.cure or _CURES[Layer(assertion.layer)]
            )
    raise KeyError(assertion.name)
