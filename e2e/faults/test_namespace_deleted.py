"""A namespace is deleted with everything in it, tasks at work included: all of it goes, and nobody is upset."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.control_plane import ControlPlane
from e2e.support.kubernetes import Kubectl
from e2e.support.ledgers import sealed_keys
from e2e.support.world import SLOW, World, has_condition, is_running

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("keeper")]

QUIET_SECONDS = 5


@pytest.fixture
def doomed(
    cluster: Connection, control_plane: ControlPlane, agent_image: Callable[[str], str]
) -> Iterator[World]:
    kubectl = Kubectl(cluster, f"doomed-{uuid.uuid4().hex[:8]}")
    kubectl.create_namespace()
    world = World(kubectl, f"plain-{uuid.uuid4().hex[:8]}", agent_image("plain"), control_plane)
    yield world
    kubectl.run("delete", "agentclass", world.class_name, "--ignore-not-found")
    kubectl.run("delete", "namespace", kubectl.namespace, "--ignore-not-found", "--wait=false")


def test_a_namespace_takes_its_tasks_with_it_and_leaves_their_evidence(
    doomed: World, cluster: Connection
) -> None:
    """One task works, one is stuck for want of an image, one waits for a class; the evidence is somewhere else."""
    said_before = said(doomed.control_plane)
    doomed.make_class()
    doomed.make_task("works", *SLOW)
    doomed.make_task("stuck", verification={"image": "registry.invalid/none:1"})
    done = doomed.make_task("done")
    doomed.make_task("waits", agentClassName="no-such-class")
    doomed.wait("works", is_running)
    doomed.wait("stuck", has_condition("Verified", "ImagePullFailed"))
    doomed.wait_complete("done")
    doomed.wait("waits", has_condition("Accepted", "ClassNotFound"))
    bucket = doomed.control_plane.environment["AXIOM_S3_BUCKET"]
    prefix = f"tasks/{doomed.kubectl.namespace}/"
    before = sealed_keys(cluster, bucket, prefix)

    doomed.kubectl("delete", "namespace", doomed.kubectl.namespace, "--timeout=120s", timeout=150)

    assert set(before) <= set(sealed_keys(cluster, bucket, prefix))
    assert any(done["metadata"]["uid"] in key for key in before)
    assert_quiet(doomed.control_plane, said_before)


def said(control_plane: ControlPlane) -> list[str]:
    """The logs of operator and gateway."""
    return [program.log.read_text() for program in (control_plane.operator, control_plane.gateway)]


def assert_quiet(control_plane: ControlPlane, before: list[str]) -> None:
    """Operator and gateway come to say nothing more, and nothing went wrong in them that they did not expect."""
    seen = {"text": "", "since": 0}

    def noisy() -> str | None:
        text = "".join(now[len(then) :] for now, then in zip(said(control_plane), before, strict=True))
        seen["since"] = seen["since"] + 1 if text == seen["text"] else 0
        seen["text"] = text
        return None if seen["since"] >= QUIET_SECONDS else text[-300:]

    wait_until("operator and gateway to be quiet", noisy, limit_seconds=90, interval_seconds=1)
    assert "Traceback" not in seen["text"]
    for program in (control_plane.operator, control_plane.gateway):
        assert program.process is not None
        assert program.process.poll() is None
