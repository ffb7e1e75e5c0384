"""What the chart makes for Prometheus and Grafana."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from tests.charts.test_chart import CHART, Object, environment, find, kinds, refusal, render

PORTS = {"operator": 9090, "gateway": 9091, "egress": 8789}
RULES = yaml.safe_load((CHART / "alerts/axiom.yaml").read_text())


def monitoring(**values: Any) -> list[Object]:
    return render({"monitoring": values})


def test_each_dashboard_comes_in_a_config_map_of_its_own() -> None:
    found = [item for item in kinds(render(), "ConfigMap") if "dashboard" in item["metadata"]["name"]]
    files = {name: text for item in found for name, text in item["data"].items()}

    assert {item["metadata"]["labels"]["grafana_dashboard"] for item in found} == {"1"}
    assert files.keys() == {f"axiom-{path.name}" for path in (CHART / "dashboards").glob("*.json")}
    for name, text in files.items():
        assert json.loads(text) == json.loads(
            (CHART / "dashboards" / name.removeprefix("axiom-")).read_text()
        )
    assert all(len(text) < 500_000 for text in files.values()), "a ConfigMap holds a MiB"


def test_labels_and_folder_of_dashboards_are_chosen() -> None:
    items = monitoring(dashboards={"labels": {"mine": "yes"}, "annotations": {"grafana_folder": "Axiom"}})
    metadata = find(items, "ConfigMap", "axiom-dashboard-overview")["metadata"]

    assert metadata["labels"]["mine"] == "yes"
    assert metadata["annotations"] == {"grafana_folder": "Axiom"}


def test_dashboards_can_be_left_out() -> None:
    assert not kinds(monitoring(dashboards={"enabled": False}), "ConfigMap")


def test_nothing_of_the_prometheus_operator_is_made_unasked() -> None:
    assert {item["apiVersion"] for item in render()} & {"monitoring.coreos.com/v1"} == set()


@pytest.mark.parametrize("kind", ["PrometheusRule", "ConfigMap"])
def test_rules_come_as_they_are(kind: str) -> None:
    items = monitoring(
        prometheusRule={"enabled": True, "labels": {"release": "stack"}},
        rulesConfigMap={"enabled": True, "labels": {"release": "stack"}},
    )
    item = find(items, kind, "axiom" if kind == "PrometheusRule" else "axiom-rules")
    rules = item["spec"] if kind == "PrometheusRule" else yaml.safe_load(item["data"]["axiom.yaml"])

    assert rules == RULES
    assert item["metadata"]["labels"]["release"] == "stack"


def test_a_service_monitor_selects_a_service_that_selects_pods_with_metrics() -> None:
    items = monitoring(serviceMonitor={"enabled": True, "interval": "15s", "labels": {"release": "stack"}})
    monitor, service = find(items, "ServiceMonitor", "axiom"), find(items, "Service", "axiom-metrics")
    wanted = monitor["spec"]["selector"]["matchLabels"]

    assert wanted.items() <= service["metadata"]["labels"].items()
    assert [
        item["metadata"]["name"]
        for item in kinds(items, "Service")
        if wanted.items() <= item["metadata"]["labels"].items()
    ] == ["axiom-metrics"]
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "15s"}]
    assert monitor["metadata"]["labels"]["release"] == "stack"
    for component in PORTS:
        template = find(items, "Deployment", f"axiom-{component}")["spec"]["template"]
        assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        assert "metrics" in {port["name"] for port in template["spec"]["containers"][0]["ports"]}


@pytest.mark.parametrize("component", PORTS)
def test_the_annotated_port_serves_metrics(component: str) -> None:
    items = render()
    annotations = find(items, "Deployment", f"axiom-{component}")["spec"]["template"]["metadata"][
        "annotations"
    ]
    listening = environment(items, component)[f"AXIOM_{component.upper()}_METRICS"]

    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(PORTS[component]),
        "prometheus.io/path": "/metrics",
    }
    assert listening == f"0.0.0.0:{PORTS[component]}"


@pytest.mark.parametrize("component", PORTS)
def test_only_the_chosen_prometheus_may_read_metrics(component: str) -> None:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    port = {"protocol": "TCP", "port": PORTS[component]}

    def way_in(items: list[Object]) -> Object:
        policy = find(items, "NetworkPolicy", f"axiom-{component}")
        *_, rule = (rule for rule in policy["spec"]["ingress"] if port in rule["ports"])
        return rule

    assert way_in(render()) == {"ports": [port]}
    assert way_in(monitoring(scrapeFrom=[peer])) == {"ports": [port], "from": [peer]}


def test_the_operator_learns_what_tasks_used_whoever_may_read_metrics() -> None:
    peer = {"ipBlock": {"cidr": "192.0.2.1/32"}}
    items = monitoring(scrapeFrom=[peer])
    rules = [
        rule
        for rule in find(items, "NetworkPolicy", "axiom-egress")["spec"]["ingress"]
        if {"protocol": "TCP", "port": PORTS["egress"]} in rule["ports"]
    ]
    operator = find(items, "Deployment", "axiom-operator")["spec"]["selector"]["matchLabels"]

    assert [rule["from"] for rule in rules] == [[{"podSelector": {"matchLabels": operator}}], [peer]]


def test_the_values_that_the_documentation_shows_are_accepted() -> None:
    text = (CHART.parent.parent / "docs/monitoring.md").read_text()
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    shown = [block for block in blocks if "monitoring" in block]

    assert len(shown) == 2
    for values in shown:
        render(values)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"scrapeFrom": ["monitoring"]}, "/monitoring/scrapeFrom/0"),
        ({"scrapeFrom": [{}]}, "/monitoring/scrapeFrom/0"),
        ({"scrapeFrom": [{"namespace": "monitoring"}]}, "/monitoring/scrapeFrom/0"),
        ({"serviceMonitor": {"interval": "often"}}, "/monitoring/serviceMonitor/interval"),
        (
            {"dashboards": {"labels": {"grafana_dashboard": 1}}},
            "/monitoring/dashboards/labels/grafana_dashboard",
        ),
    ],
)
def test_bad_values_are_refused_by_name(values: Object, named: str) -> None:
    assert named in refusal({"monitoring": values})
