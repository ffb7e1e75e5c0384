"""A NetworkPolicy enforcer for the tests of this repository, and for nothing else.

It runs in the cluster's network namespace, watches Pods, Namespaces and NetworkPolicies, and
replaces one nftables table whenever the answer of `policies.ruleset` changes. Like every
network plugin it learns of a pod's address only after the pod has it: for some milliseconds a
new pod is not yet restricted, and a test has to poll. Connections that a new policy would
forbid stay open until they end.
"""

import sys
import threading
import time
from pathlib import Path

from e2e.cluster.api import Api, Object, from_kubeconfig
from e2e.cluster.errors import ClusterError
from e2e.cluster.policies import Pod, Policy, World, ruleset
from e2e.cluster.shell import run

_PODS = "/api/v1/pods"
_NAMESPACES = "/api/v1/namespaces"
_POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
# Many pods often change at once; one ruleset for all of them is soon enough.
_GATHER_SECONDS = 0.02
_RECONNECT_SECONDS = 0.5


class Mirror:
    """A copy of one collection of the API server, kept up by a thread of its own."""

    def __init__(self, api: Api, path: str, changed: threading.Event) -> None:
        self._api = api
        self._path = path
        self._changed = changed
        self._objects: dict[str, Object] = {}
        self._lock = threading.Lock()
        self.listed = threading.Event()
        threading.Thread(target=self._follow, daemon=True, name=path).start()

    def objects(self) -> list[Object]:
        with self._lock:
            return list(self._objects.values())

    def _follow(self) -> None:
        while True:
            try:
                self._list_and_watch()
            except ClusterError as error:
                print(f"{error}; listing again", flush=True)
                time.sleep(_RECONNECT_SECONDS)

    def _list_and_watch(self) -> None:
        objects, version = self._api.list(self._path)
        with self._lock:
            self._objects = {one["metadata"]["uid"]: one for one in objects}
        self.listed.set()
        self._changed.set()
        for kind, one in self._api.watch(self._path, version):
            if kind == "BOOKMARK":
                continue
            with self._lock:
                if kind == "DELETED":
                    self._objects.pop(one["metadata"]["uid"], None)
                else:
                    self._objects[one["metadata"]["uid"]] = one
            self._changed.set()


def enforce(api: Api) -> None:
    """Keep the rules what the policies say; returns never."""
    changed = threading.Event()
    pods, namespaces, policies = (Mirror(api, path, changed) for path in (_PODS, _NAMESPACES, _POLICIES))
    for mirror in (pods, namespaces, policies):
        mirror.listed.wait()
    applied = ""
    while True:
        changed.wait()
        time.sleep(_GATHER_SECONDS)
        changed.clear()
        oldest_first = sorted(pods.objects(), key=lambda one: one["metadata"]["creationTimestamp"])
        world = World(
            tuple(pod for one in oldest_first if (pod := Pod.parse(one)) is not None),
            {one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in namespaces.objects()},
            tuple(Policy.parse(one) for one in policies.objects()),
        )
        wanted = ruleset(world)
        if wanted != applied:
            run(["nft", "--file", "-"], stdin=wanted)
            applied = wanted
            print(
                f"{len(world.policies)} policies, {len(world.pods)} pods: "
                f"{wanted.count('counter drop')} restricted directions",
                flush=True,
            )


if __name__ == "__main__":
    enforce(from_kubeconfig(Path(sys.argv[1])))
