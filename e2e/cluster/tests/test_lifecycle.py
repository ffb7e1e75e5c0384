"""A cluster comes up beside others, serves, and goes without a trace."""

import os
import signal
from collections.abc import Iterator

import pytest

from e2e.cluster.connection import load
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import Cluster
from e2e.cluster.processes import started
from e2e.cluster.selftest import selftest
from e2e.cluster.starting import is_up, up
from e2e.cluster.stopping import down, leftovers

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.hermetic("it makes clusters of its own"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a cluster needs root"),
]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    one = Cluster(f"test-{os.getpid()}")
    yield one
    down(one)


def test_a_cluster_serves_and_leaves_nothing(cluster: Cluster) -> None:
    up(cluster)
    assert selftest(cluster) == 0
    down(cluster)
    assert leftovers(cluster) == []
    with pytest.raises(ClusterError, match="is not up"):
        load(cluster)


def test_up_again_changes_nothing(cluster: Cluster) -> None:
    up(cluster)
    before = (started(cluster), load(cluster))
    up(cluster)
    assert (started(cluster), load(cluster)) == before


def test_a_cluster_whose_daemon_died_is_made_anew(cluster: Cluster) -> None:
    up(cluster)
    scheduler = next(one for one in started(cluster) if one.name == "kube-scheduler")
    os.kill(scheduler.pid, signal.SIGKILL)
    os.waitid(os.P_PID, scheduler.pid, os.WEXITED)
    assert not is_up(cluster)
    up(cluster)
    assert is_up(cluster)


def test_down_twice_is_fine(cluster: Cluster) -> None:
    down(cluster)
    down(cluster)
    assert leftovers(cluster) == []
