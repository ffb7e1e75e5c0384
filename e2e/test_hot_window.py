"""A task that outlives its hot window: the beginning of its ledger is in object storage alone, and nobody notices."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.evidence import check_evidence
from e2e.support.kubernetes import Object
from e2e.support.sandboxes import kill_supervisor_of
from e2e.support.world import SMALL, World, is_running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.hermetic("looks into a pod's volumes on its node, and kills a process of a container"),
]


def test_segments_leave_a_pod_and_stream_restart_and_verdict_go_on_as_if_they_had_not(
    world: World, cluster: Connection, tmp_path: Path
) -> None:
    world.make_class(ledger={"hotWindow": "10s"})
    limits = {"deadline": "10m", "maxRounds": 1, "resources": SMALL}
    task = world.make_task(
        "long", "say one", "await one.txt", "say two", "await go.txt", "write greeting.txt hello", "exit 0",
        limits=limits,
    )  # fmt: skip
    world.wait("long", is_running)
    segments = world.volume_on_node(task, "state") / "ledger" / "segments"
    wait_until(
        "the first segment to be cut",
        lambda: None if (segments / "000001.jsonl.zst").exists() else "it is written still",
        limit_seconds=180,
    )
    world.let_go(task, "one.txt")
    wait_until_left(segments, 2)

    with ThreadPoolExecutor(max_workers=1) as beside:
        reading = beside.submit(world.events, "long")
        [pod] = world.pods(task)
        kill_supervisor_of(pod)
        world.kubectl.wait_for("pod", pod["metadata"]["name"], was_restarted)
        world.let_go(task)
        status = world.wait_complete("long", 180)
        read = reading.result(timeout=300)

    assert (status["verdict"], status["attempt"], status.get("lostAttempts", 0)) == ("Pass", 1, 0), status
    assert [record["seq"] for record in read] == list(range(1, status["ledger"]["records"] + 1))
    found = world.kubectl.get("agenttask", "long")
    assert found
    bucket = world.control_plane.environment["AXIOM_S3_BUCKET"]
    evidence = check_evidence(cluster, bucket, found, tmp_path)
    records = evidence.records[status["ledger"]["path"]]
    assert records == read
    counted = Counter(record["event"] for record in records)
    assert (counted["agent_started"], counted["agent_exited"], counted["claim"]) == (1, 1, 1)
    assert counted["segments_left"] >= 1
    starts = [record["payload"]["restart"] for record in records if record["event"] == "sandbox_started"]
    assert starts == [False, True]


def wait_until_left(segments: Path, number: int) -> None:
    """Until the segment is not in the pod any more, and later ones are."""

    def still_there() -> str | None:
        names = sorted(path.name for path in segments.iterdir())
        return None if names and names[0] > f"{number:06}.jsonl.zst" else f"there are {names}"

    wait_until(f"segment {number} to leave its pod", still_there, limit_seconds=180)


def was_restarted(pod: Object) -> bool:
    return any(one["restartCount"] == 1 for one in pod["status"]["initContainerStatuses"])
