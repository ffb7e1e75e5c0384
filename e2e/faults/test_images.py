"""Images that cannot be pulled: each of a task's pods says which and why, and goes on by itself once it is mended."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from e2e.cluster.binaries import binary
from e2e.cluster.connection import Connection
from e2e.cluster.shell import run
from e2e.support.images import Images
from e2e.support.world import World, condition, has_condition

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.hermetic("images are brought to its node"),
]


class Registry:
    """Images under new names, which are on the node only once somebody brings them."""

    def __init__(self, cluster: Connection) -> None:
        self._ctr = [binary("ctr"), "--address", cluster.containerd_socket, "--namespace", "k8s.io", "images"]
        self._brought: list[str] = []

    def name(self, what: str) -> str:
        return f"axiom.dev/late-{what}:{uuid.uuid4().hex[:8]}"

    def bring(self, known: str, name: str) -> None:
        run([*self._ctr, "tag", known, name])
        self._brought.append(name)

    def remove(self) -> None:
        for name in self._brought:
            run([*self._ctr, "remove", name])


@pytest.fixture
def registry(cluster: Connection) -> Iterator[Registry]:
    registry = Registry(cluster)
    yield registry
    registry.remove()


def test_an_image_that_comes_late_costs_no_attempt(world: World, registry: Registry, images: Images) -> None:
    """The agent's of one task, the clean room's of another."""
    agent, verifier = registry.name("agent"), registry.name("verifier")
    world.make_class(image=agent)
    world.make_task("agent")
    waiting = condition(world.wait("agent", has_condition("SandboxReady", "ImagePullFailed")), "SandboxReady")
    assert f"container agent: the image '{agent}' cannot be pulled" in waiting["message"]
    assert "the AgentClass's spec.image" in waiting["message"]
    assert world.diagnosis("agent") == ["ImagePullFailed"]
    registry.bring(world.image, agent)
    world.make_task("verifier", verification={"image": verifier})
    waiting = condition(world.wait("verifier", has_condition("Verified", "ImagePullFailed"), 120), "Verified")
    assert f"the verifier's pod: container candidate: the image '{verifier}'" in waiting["message"]
    registry.bring(images.verifier, verifier)

    for name in ("agent", "verifier"):
        status = world.wait_complete(name, 180)
        assert (status["verdict"], status["attempt"], status.get("lostAttempts", 0)) == ("Pass", 1, 0), status
        assert [record["trials"] for record in status["rounds"]] == [1]


@pytest.mark.campaign
def test_an_installation_whose_image_is_corrected_makes_what_is_stuck_anew(
    world: World, registry: Registry
) -> None:
    operator = world.control_plane.operator
    missing = registry.name("sandbox")
    before = operator.environment
    world.make_class()
    operator.stop()
    operator.environment = {**before, "AXIOM_SUPERVISOR_IMAGE": missing}
    try:
        operator.start()
        operator.wait_until_ready()
        world.make_task("stuck")
        waiting = world.wait("stuck", has_condition("SandboxReady", "ImagePullFailed"))
        assert "the installation's sandbox image" in condition(waiting, "SandboxReady")["message"]
    finally:
        operator.stop()
        operator.environment = before
        operator.start()
        operator.wait_until_ready()

    status = world.wait_complete("stuck", 120)
    assert (status["verdict"], status.get("lostAttempts", 0)) == ("Pass", 0), status
