"""Fixtures of the end-to-end tests. The cluster must be up: `make cluster`; which one, E2E_CLUSTER says."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator

import pytest

from e2e.cluster import connection
from e2e.cluster.binaries import binary
from e2e.cluster.connection import Connection, ForeignConnection, Provider, Storage, chosen
from e2e.cluster.errors import ClusterError, NotHereError
from e2e.support.authority import Authority, make_authority
from e2e.support.control_plane import ControlPlane, make_control_plane
from e2e.support.images import ROOT, Images, build_agent_image, build_product_images
from e2e.support.keeping import Keeper
from e2e.support.kubernetes import Kubectl
from e2e.support.object_storage import object_storage
from e2e.support.pod_network import require_pod_network
from e2e.support.world import World

HERMETIC_FOLDERS = {"faults": "what fails are parts of it"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Some tests need the hermetic cluster: its node, or what it records."""
    if chosen() is Provider.HERMETIC:
        return
    for item in items:
        marker = item.get_closest_marker("hermetic")
        reason = marker.args[0] if marker else HERMETIC_FOLDERS.get(item.path.parent.name)
        if reason:
            item.add_marker(pytest.mark.skip(f"needs the hermetic cluster: {reason}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None]:
    """As pytest_runtest_call, of what fixtures ask for."""
    try:
        yield
    except NotHereError as error:
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """A test that asks for what this cluster does not have is skipped."""
    try:
        yield
    except NotHereError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """How the cluster is reached. A foreign one without an S3 server of the user's gets one on this machine."""
    try:
        found = connection.load()
    except ClusterError as error:
        pytest.fail(str(error))
    if not isinstance(found, ForeignConnection) or found.has_storage or not binary("versitygw").exists():
        yield found
        return
    host = found.machine_address if found.has_machine_address else "127.0.0.1"
    with object_storage(host, tmp_path_factory.mktemp("s3"), https=False) as s3:
        yield found.with_storage(Storage(f"http://{s3.address}", s3.access_key, s3.secret_key))


@pytest.fixture(scope="session")
def pod_network(cluster: Connection) -> None:
    """Pods can be spoken with from this machine, as operator and gateway do that run on it. Skips where not."""
    if cluster.provider is not Provider.HERMETIC:
        require_pod_network(Kubectl(cluster))


@pytest.fixture
def kubectl(cluster: Connection) -> Iterator[Kubectl]:
    """kubectl in a namespace of the test's own, which goes with the test."""
    kubectl = Kubectl(cluster, f"e2e-{uuid.uuid4().hex[:8]}")
    kubectl.create_namespace()
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
def git_authority() -> str:
    """Certificates (PEM) that git servers of the module's tests have."""
    return ""


@pytest.fixture(scope="module")
def control_plane_settings() -> dict[str, str]:
    """Further variables of operator and gateway in the module's tests."""
    return {}


@pytest.fixture(scope="module")
def control_plane(
    cluster: Connection,
    pod_network: None,
    images: Images,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
    git_authority: str,
    control_plane_settings: dict[str, str],
) -> Iterator[ControlPlane]:
    namespace = f"axiom-{uuid.uuid4().hex[:8]}"
    admin = Kubectl(cluster, namespace)
    admin("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    admin("wait", "--for=condition=Established", "crd/agenttasks.axiom.dev", "crd/agentclasses.axiom.dev")
    admin("create", "namespace", namespace)
    control_plane = make_control_plane(
        cluster, images, authority, namespace, tmp_path_factory.mktemp("control-plane"), git_authority,
        control_plane_settings,
    )  # fmt: skip
    control_plane.operator.start()
    control_plane.gateway.start()
    control_plane.operator.wait_until_ready()
    control_plane.gateway.wait_until_ready()
    with Keeper(control_plane.operator, control_plane.gateway):
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
