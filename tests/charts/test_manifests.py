"""What holds for every object of the chart, however it is installed. That the API server would take them: e2e/test_schemas.py."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml
from tests.charts.rendering import VALUES_FILES, Object, kinds, render

VERBS = {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "use", "review"}
CLUSTER_WIDE = {
    "AgentClass", "ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}  # fmt: skip


@pytest.fixture(params=VALUES_FILES, ids=lambda file: file.stem)
def items(request: pytest.FixtureRequest) -> list[Object]:
    return render(yaml.safe_load(request.param.read_text()))


def pods(items: list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Name, metadata and spec of every pod."""
    for item in items:
        if item["kind"] == "Pod":
            yield item["metadata"]["name"], item["metadata"], item["spec"]
        elif template := item.get("spec", {}).get("template"):
            yield item["metadata"]["name"], template["metadata"], template["spec"]


def rules(items: list[Object]) -> Iterator[tuple[str, Object]]:
    """The name of each role, and each of its rules."""
    for item in items:
        if item["kind"] in ("Role", "ClusterRole"):
            yield from ((f"{item['kind']} {item['metadata']['name']}", rule) for rule in item["rules"])


def is_hook(item: Object) -> bool:
    return "helm.sh/hook" in item["metadata"].get("annotations", {})


def test_every_object_says_what_it_belongs_to(items: list[Object]) -> None:
    for item in items:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "axiom"
        assert labels["app.kubernetes.io/instance"] == "axiom"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/component"]
        is_cluster_wide = item["kind"] in CLUSTER_WIDE
        assert item["metadata"].get("namespace") == (None if is_cluster_wide else "axiom-system"), item[
            "metadata"
        ]


def test_no_object_is_there_twice(items: list[Object]) -> None:
    named = [(item["apiVersion"], item["kind"], item["metadata"]["name"]) for item in items]

    assert sorted(set(named)) == sorted(named)


def test_every_pod_is_held_as_tightly_as_a_namespace_can_demand(items: list[Object]) -> None:
    for name, _, pod in pods(items):
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers"} & pod.keys(), name
        assert pod["enableServiceLinks"] is False
        security = pod["securityContext"]
        assert security["runAsNonRoot"]
        assert security["runAsUser"] == 65532
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "privileged": False,
                "readOnlyRootFilesystem": True,
            }
            assert not any("hostPort" in port for port in container.get("ports", ()))


def test_nothing_of_the_node_is_mounted_and_every_folder_has_an_end(items: list[Object]) -> None:
    for name, _, pod in pods(items):
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}, name
        for volume in pod["volumes"]:
            assert {"emptyDir", "secret", "configMap", "persistentVolumeClaim"} & volume.keys()
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]


def test_every_container_is_bounded_and_its_image_is_named_in_full(items: list[Object]) -> None:
    for name, _, pod in pods(items):
        for container in pod["containers"]:
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert container["resources"]["limits"]["memory"]
            assert re.fullmatch(r"[\w.-]+\.[\w.-]+/[\w./-]+:[\w.-]+", container["image"])
            assert not container["image"].endswith(":latest")
            assert container["imagePullPolicy"] == "IfNotPresent"


def test_what_stays_up_is_probed_and_what_is_several_survives_a_drain(items: list[Object]) -> None:
    budgets = [item["spec"]["selector"]["matchLabels"] for item in kinds(items, "PodDisruptionBudget")]
    for item in kinds(items, "Deployment"):
        [container] = item["spec"]["template"]["spec"]["containers"]
        assert {"livenessProbe", "readinessProbe"} <= container.keys()
        assert (item["spec"]["replicas"] > 1) == (item["spec"]["selector"]["matchLabels"] in budgets)


def test_only_keys_that_a_program_needs_are_in_its_pod(items: list[Object]) -> None:
    for name, _, pod in pods(items):
        secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        secrets |= {
            variable["valueFrom"]["secretKeyRef"]["name"]
            for container in pod["containers"]
            for variable in container.get("env", ())
            if "secretKeyRef" in variable.get("valueFrom", {})
        }
        most = 3 if name.endswith("-gateway") else 2  # it also makes tokens, for errands of verifiers
        assert len(secrets) <= most, (name, secrets)
        if name == "axiom-test":
            assert secrets <= {"axiom-storage", "evidence"}


def test_rights_name_what_they_are_for(items: list[Object]) -> None:
    for role, rule in rules(items):
        assert rule.keys() <= {"apiGroups", "resources", "resourceNames", "verbs"}, role
        assert set(rule["verbs"]) <= VERBS, role  # neither * nor escalate, bind, impersonate
        assert "*" not in rule["resources"] + rule["apiGroups"], role
        forbidden = {"pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "nodes"}
        forbidden |= {"roles", "rolebindings", "clusterroles", "clusterrolebindings", "serviceaccounts/token"}
        assert not forbidden & set(rule["resources"]), role
        if "secrets" in rule["resources"]:
            assert role == "Role axiom-egress"
            assert rule["verbs"] == ["get"]


def test_every_role_is_bound_to_its_own_account_alone(items: list[Object]) -> None:
    accounts = {item["metadata"]["name"] for item in kinds(items, "ServiceAccount")}
    for item in [*kinds(items, "RoleBinding"), *kinds(items, "ClusterRoleBinding")]:
        name = item["metadata"]["name"]
        assert item["roleRef"]["name"] == name
        assert item["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "axiom-system"}]
        assert name in accounts
    assert not any(item["automountServiceAccountToken"] for item in kinds(items, "ServiceAccount"))


def test_services_lead_to_ports_that_are_there(items: list[Object]) -> None:
    for service in kinds(items, "Service"):
        ports = {
            port["name"]
            for _, metadata, pod in pods(items)
            if service["spec"]["selector"].items() <= metadata["labels"].items()
            for container in pod["containers"]
            for port in container.get("ports", ())
        }
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_what_is_for_helm_test_is_there_only_while_it_runs(items: list[Object]) -> None:
    for item in items:
        belongs = item["metadata"]["labels"]["app.kubernetes.io/component"] == "test"
        assert is_hook(item) == belongs, item["metadata"]["name"]
        if belongs:
            annotations = item["metadata"]["annotations"]
            assert annotations["helm.sh/hook"] == "test"
            assert "hook-succeeded" in annotations["helm.sh/hook-delete-policy"]


def test_what_holds_evidence_outlives_the_release(items: list[Object]) -> None:
    kept = {
        (item["kind"], item["metadata"]["name"])
        for item in items
        if item["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    claims = {
        ("PersistentVolumeClaim", item["metadata"]["name"]) for item in kinds(items, "PersistentVolumeClaim")
    }

    assert kept == (claims | {("Secret", "axiom-storage")} if claims else set())
