"""One control plane for all faults, its storage behind a path that can be made to fail; and nothing left after each test."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from e2e.cluster.connection import Connection
from e2e.support.authority import make_authority
from e2e.support.control_plane import ControlPlane, make_control_plane
from e2e.support.faulty_path import Fault, FaultyPath, faulty_path
from e2e.support.images import ROOT, Images
from e2e.support.keeping import Keeper
from e2e.support.kubernetes import Kubectl
from e2e.support.leftovers import Watch


@pytest.fixture(scope="package")
def storage_path(cluster: Connection) -> Iterator[FaultyPath]:
    """The way from the gateway to object storage."""
    target = urlsplit(cluster.s3.endpoint)
    assert target.hostname
    assert target.port
    with faulty_path(target.hostname, target.port) as path:
        yield path


@pytest.fixture(scope="package")
def control_plane(
    cluster: Connection,
    images: Images,
    storage_path: FaultyPath,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ControlPlane]:
    """Operator and gateway as in the other end-to-end tests, once for all faults, with certificates of their own."""
    namespace = f"axiom-{uuid.uuid4().hex[:8]}"
    admin = Kubectl(cluster, namespace)
    admin("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    admin("wait", "--for=condition=Established", "crd/agenttasks.axiom.dev", "crd/agentclasses.axiom.dev")
    admin("create", "namespace", namespace)
    authority = make_authority(tmp_path_factory.mktemp("authority"))
    control_plane = make_control_plane(
        cluster, images, authority, namespace, tmp_path_factory.mktemp("control-plane")
    )
    control_plane.environment["AXIOM_S3_ENDPOINT"] = f"http://{storage_path.address}"
    for program in (control_plane.operator, control_plane.gateway):
        program.start()
    for program in (control_plane.operator, control_plane.gateway):
        program.wait_until_ready()
    yield control_plane
    control_plane.stop()
    admin.run("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def keeper(control_plane: ControlPlane) -> Iterator[Keeper]:
    """Starts operator and gateway again when they end."""
    with Keeper(control_plane.operator, control_plane.gateway) as keeper:
        yield keeper


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """The same moments each time, and others for each test."""
    return random.Random(request.node.nodeid)


@pytest.fixture(autouse=True)
def nothing_left(
    kubectl: Kubectl, control_plane: ControlPlane, storage_path: FaultyPath
) -> Iterator[Callable[[], None]]:
    """After each test: mends the paths, deletes its tasks, and asserts that nothing of them is left."""
    watch = Watch(kubectl, control_plane)
    yield watch.assert_nothing_left
    storage_path.set(Fault.NONE)
    kubectl("delete", "agenttasks", "--all", "--wait=true", timeout=120)
    watch.assert_nothing_left()
