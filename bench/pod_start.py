"""Pod created → the agent's first byte, beside a bare pod, in series on the hermetic cluster.

python -m bench.pod_start [COUNT]; prints one row for each step: its p50, least and most, in seconds since the pod's
creation. Pods are created at a random moment of the kubelet's second, in which it looks for containers that ended.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from e2e.cluster.api import Api
from e2e.cluster.connection import load
from e2e.cluster.errors import ClusterError
from e2e.support.authority import make_authority
from e2e.support.images import build_agent_image, build_product_images
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.sandboxes import (
    COMMAND,
    SandboxPods,
    base_archive,
    give,
    reached,
    seal,
    start_agent,
)

from axiom.api.agentclass import AgentClassSpec
from axiom.manifests.pods import certificate_of
from axiom_sandbox.protocol.channel import Phase, Stop
from axiom_sandbox.snapshots.archives import ArchiveInfo

Marks = dict[str, float]


def watch(kubectl: Kubectl, created: Object) -> Iterator[Object]:
    """The pod as it changes."""
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods"
    for _, found in kubectl.api().watch(path, created["metadata"]["resourceVersion"]):
        if found["metadata"]["name"] == created["metadata"]["name"]:
            yield found


def bare(kubectl: Kubectl, image: str) -> Marks:
    """Created → ended of a pod whose only work is one line; the time of its last log line is its first byte."""
    name = f"bare-{uuid.uuid4().hex[:8]}"
    container = {"name": "agent", "image": image, "command": ["/agent", "say hello\nawait never"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "hostUsers": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        },
    }
    api, path = kubectl.api(), f"/api/v1/namespaces/{kubectl.namespace}/pods/{name}/log?limitBytes=100"
    kubectl.create(pod)
    begun = time.monotonic()
    while not said(api, path):
        time.sleep(0.01)
    marks = {"bare pod: first byte": time.monotonic() - begun}
    kubectl.delete("pod", name)
    return marks


def said(api: Api, path: str) -> bool:
    """Whether the pod's log holds anything."""
    try:
        return bool(api.get(path).strip())
    except ClusterError:  # there is no log before there is a container
        return False


async def sandbox(pods: SandboxPods, attempt: int, archive: Path, info: ArchiveInfo) -> Marks:
    """One sandbox's start, step by step."""
    pod = await asyncio.to_thread(pods.begin, attempt=attempt)
    begun, marks = time.monotonic(), Marks()

    def mark(name: str) -> None:
        marks.setdefault(name, time.monotonic() - begun)

    def follow() -> None:
        for found in watch(pods.kubectl, pod.created):
            status = found["status"]
            for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
                mark(f"{container['name']} {next(iter(container['state']))}")
            if certificate_of(found) and found["status"].get("podIP"):
                pod.pod = found
                return

    await asyncio.to_thread(follow)
    async with pod.attach() as channel:
        mark("channel answers")
        await reached(channel, lambda state: state.phase is Phase.WAITING_FOR_WORKSPACE)
        mark("probe passed")
        await channel.put_workspace(archive, info.digest)
        await give(channel, start_agent("say hello"))
        mark("start ordered")
        await reached(channel, lambda state: state.first_output_ms is not None)
        mark("sandbox: first byte")
        await reached(channel, lambda state: state.phase is Phase.ROUND_ENDED)
        await give(channel, Stop(reason="measured"))
        await seal(channel, await reached(channel, lambda state: state.phase is Phase.STOPPED))
    marks["deletion"] = await asyncio.to_thread(pod.delete)
    return marks


async def measure(count: int) -> list[Marks]:
    """`count` bare pods and sandboxes in turn."""
    connection = load()
    images, agent = build_product_images(connection), build_agent_image(connection, "plain")
    kubectl = Kubectl(connection, f"bench-{uuid.uuid4().hex[:8]}")
    kubectl.create_namespace()
    try:
        with tempfile.TemporaryDirectory() as folder:
            authority = make_authority(Path(folder))
            agent_class = AgentClassSpec(image=agent, command=list(COMMAND))
            pods = SandboxPods.of(kubectl, images, authority, agent_class)
            archive, info = base_archive(Path(folder), {"README.md": "hello\n"})
            found = []
            for number in range(1, count + 1):
                await asyncio.sleep(random.random())
                marks = await asyncio.to_thread(bare, kubectl, agent)
                await asyncio.sleep(random.random())
                found.append(marks | await sandbox(pods, number, archive, info))
            return found
    finally:
        kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")


def main() -> None:
    """Measures and prints a table."""
    found = asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
    print(f"| seconds since the pod was created ({len(found)} in series) | p50 | least | most |")
    print("| --- | --- | --- | --- |")
    for name in found[0]:
        times = [marks[name] for marks in found if name in marks]
        print(f"| {name} | {statistics.median(times):.2f} | {min(times):.2f} | {max(times):.2f} |")


if __name__ == "__main__":
    main()
