"""Fixtures of the end-to-end tests. The hermetic cluster must be up: `make cluster`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from e2e.cluster import connection
from e2e.cluster.connection import Connection
from e2e.cluster.errors import ClusterError
from e2e.support.authority import Authority, make_authority
from e2e.support.control_plane import ControlPlane, make_control_plane
from e2e.support.images import ROOT, Images, build_agent_image, build_product_images
from e2e.support.kubernetes import Kubectl
from e2e.support.world import World


@pytest.fixture(scope="session")
def cluster() -> Connection:
    """How the cluster is reached."""
    try:
        return connection.load()
    except ClusterError as error:
        pytest.fail(str(error))


@pytest.fixture
def kubectl(cluster: Connection) -> Iterator[Kubectl]:
    """kubectl in a namespace of the test's own, which goes with the test."""
    kubectl = Kubectl(cluster, f"e2e-{uuid.uuid4().hex[:8]}")
    kubectl("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")


@pytest.fixture
def restricted_kubectl(kubectl: Kubectl) -> Kubectl:
    """kubectl in a namespace that admits nothing outside Pod Security's `restricted` profile."""
    kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    return kubectl


@pytest.fixture(scope="session")
def images(cluster: Connection) -> Images:
    """The product's images, on the node."""
    return build_product_images(cluster)


@pytest.fixture(scope="session")
def agent_image(cluster: Connection) -> Callable[[str], str]:
    """The image of a test agent by its folder's name."""
    return lambda name: build_agent_image(cluster, name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The control plane's authority and a client of it."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def control_plane(
    cluster: Connection, images: Images, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    namespace = f"axiom-{uuid.uuid4().hex[:8]}"
    admin = Kubectl(cluster, namespace)
    admin("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    admin("wait", "--for=condition=Established", "crd/agenttasks.axiom.dev", "crd/agentclasses.axiom.dev")
    admin("create", "namespace", namespace)
    control_plane = make_control_plane(
        cluster, images, authority, namespace, tmp_path_factory.mktemp("control-plane")
    )
    control_plane.operator.start()
    control_plane.gateway.start()
    control_plane.operator.wait_until_ready()
    control_plane.gateway.wait_until_ready()
    yield control_plane
    control_plane.stop()
    admin.run("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def world(
    kubectl: Kubectl, control_plane: ControlPlane, agent_image: Callable[[str], str]
) -> Iterator[World]:
    world = World(kubectl, f"plain-{uuid.uuid4().hex[:8]}", agent_image("plain"), control_plane)
    yield world
    kubectl.run("delete", "agentclass", world.class_name, "--ignore-not-found")
