"""Fixtures of the end-to-end tests. The hermetic cluster must be up: `make cluster`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from e2e.cluster import connection
from e2e.cluster.connection import Connection
from e2e.cluster.errors import ClusterError
from e2e.support.authority import Authority, make_authority
from e2e.support.images import Images, build_agent_image, build_product_images
from e2e.support.kubernetes import Kubectl


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
