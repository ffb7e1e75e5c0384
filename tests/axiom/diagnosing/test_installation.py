"""What `axiom doctor` says of an installation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from axiom.diagnosing.findings import Fault, Level
from axiom.diagnosing.installation import Installation, diagnose_installation

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
COMPONENTS = ("operator", "gateway", "egress", "storage")


def thing(name: str, component: str, **fields: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": component}
    return {"metadata": {"name": name, "namespace": "axiom", "labels": labels}, **fields}


def workload(component: str, ready: int = 1) -> dict[str, Any]:
    return thing(f"axiom-{component}", component, spec={"replicas": 1}, status={"readyReplicas": ready})


def lease(seconds_ago: float = 1, holder: str = "pod-1") -> dict[str, Any]:
    renewed = (NOW - timedelta(seconds=seconds_ago)).isoformat()
    return thing("axiom-operator", "operator", spec={"holderIdentity": holder, "renewTime": renewed})


def installation(**changed: Any) -> Installation:
    parts: dict[str, Any] = {
        "workloads": [workload(component) for component in COMPONENTS],
        "leases": [lease()],
        "classes": [{"metadata": {"name": "codex"}}],
    }
    return Installation(**{**parts, **changed})


def faults(seen: Installation) -> list[Any]:
    return [found.entry for found in diagnose_installation(seen, NOW) if found.level is Level.PROBLEM]


def test_a_healthy_installation_has_no_problem() -> None:
    found = list(diagnose_installation(installation(), NOW))
    assert {item.level for item in found} == {Level.GOOD}
    assert "held by pod-1" in [item.what for item in found]


def test_each_part_that_is_away_is_named() -> None:
    wanted = (Fault.OPERATOR_AWAY, Fault.GATEWAY_AWAY, Fault.EGRESS_AWAY, Fault.STORAGE_AWAY)
    for away, fault in zip(COMPONENTS, wanted, strict=True):
        parts = [workload(component, ready=int(component != away)) for component in COMPONENTS]
        assert faults(installation(workloads=parts)) == [fault]


def test_the_pod_of_a_part_that_is_away_says_why() -> None:
    waiting = {"name": "gateway", "image": "g:1", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    broken = thing("gateway-x", "gateway", status={"containerStatuses": [waiting]})
    seen = installation(workloads=[workload("gateway", ready=0), workload("operator")], pods=[broken])
    assert faults(seen) == [Fault.GATEWAY_AWAY, Fault.POD_IN_TROUBLE]


def test_a_lease_that_nobody_renews_is_an_operator_that_is_away() -> None:
    assert faults(installation(leases=[lease(seconds_ago=90)])) == [Fault.OPERATOR_AWAY]
    assert faults(installation(leases=[lease(holder="")])) == [Fault.OPERATOR_AWAY]
    assert faults(installation(leases=[])) == [Fault.OPERATOR_AWAY]


def test_a_cluster_without_axiom_is_told_from_one_that_may_not_be_read() -> None:
    assert faults(Installation(is_served=False)) == [Fault.NOT_INSTALLED]
    assert faults(installation(workloads=[], leases=[])) == [Fault.NOT_INSTALLED]
    refused = {"deployments": "forbidden"}
    found = list(diagnose_installation(installation(workloads=[], leases=[], refused=refused), NOW))
    assert [item.entry for item in found if item.level is not Level.GOOD] == [Fault.NOT_ALLOWED]


def test_an_api_server_that_is_away_hides_the_rest() -> None:
    [found] = diagnose_installation(Installation(unreachable="refused"), NOW)
    assert (found.entry, found.what) == (Fault.API_SERVER_AWAY, "refused")


def test_an_installation_without_a_class_says_so() -> None:
    assert faults(installation(classes=[])) == [Fault.NO_CLASSES]
