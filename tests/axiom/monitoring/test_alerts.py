"""Each alert fires when it should, is quiet when it should be, and has a page that says what to do."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.axiom.monitoring.promql import mistakes

ROOT = Path(__file__).parents[3]
RULES = ROOT / "charts/axiom/alerts/axiom.yaml"
RUNBOOKS = ROOT / "docs/runbooks"
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}

each = pytest.mark.parametrize("name", ALERTS)

Series = dict[str, str]
"""A series, and its values minute by minute in promtool's notation: `0x5` is 0 six times, `0+2x5` is 0, 2, … 10."""


@dataclass(frozen=True)
class Case:
    """What is measured, and whether the alert fires after so many minutes."""

    firing: Series
    quiet: Series
    minutes: int = 30


def build(component: str) -> Series:
    return {f'axiom_build_info{{component="{component}"}}': "1x60"}


CASES = {
    "AxiomOperatorDown": Case(build("gateway"), build("operator")),
    "AxiomNoLeader": Case(
        {'axiom_lease_held{pod="a"}': "0x60", 'axiom_lease_held{pod="b"}': "0x60"},
        {'axiom_lease_held{pod="a"}': "0x60", 'axiom_lease_held{pod="b"}': "1x60"},
    ),
    "AxiomGatewayDown": Case(build("operator"), build("gateway")),
    "AxiomEgressDown": Case(
        build("egress") | {"axiom_egress_ready": "0x60"}, build("egress") | {"axiom_egress_ready": "1x60"}
    ),
    "AxiomCertificateExpiring": Case(
        {'axiom_certificate_expiry_timestamp_seconds{certificate="channel"}': f"{20 * 86400}x60"},
        {'axiom_certificate_expiry_timestamp_seconds{certificate="channel"}': f"{30 * 86400}x60"},
    ),
    "AxiomTasksNotNoticed": Case(
        {'axiom_tasks_waiting_longest_seconds{reason="NotNoticed"}': "0+60x60"},
        {
            'axiom_tasks_waiting_longest_seconds{reason="NotNoticed"}': "2x60",
            'axiom_tasks_waiting_longest_seconds{reason="Unschedulable"}': "0+60x60",
        },
    ),
    "AxiomTasksStuck": Case(
        {'axiom_tasks_waiting_longest_seconds{reason="Unschedulable"}': "0+60x60"},
        {'axiom_tasks_waiting_longest_seconds{reason="Unschedulable"}': "0+60x10 0x50"},
    ),
    "AxiomApprovalsWaiting": Case(
        {'axiom_approvals_waiting_longest_seconds{agent_class="a"}': "0+60x60"},
        {'axiom_approvals_waiting_longest_seconds{agent_class="a"}': "0+60x9 0x50"},
    ),
    "AxiomAttemptsLost": Case(
        {'axiom_attempts_lost_total{agent_class="a"}': "0+1x60"},
        {'axiom_attempts_lost_total{agent_class="a"}': "0x10 3x50"},
    ),
    "AxiomClaimsDisagree": Case(
        {
            'axiom_claims_total{agent_class="a",claim="Success",verdict="Fail"}': "0+2x120",
            'axiom_claims_total{agent_class="a",claim="Success",verdict="Pass"}': "0+1x120",
        },
        {
            'axiom_claims_total{agent_class="a",claim="Success",verdict="Fail"}': "0x50 4x70",
            'axiom_claims_total{agent_class="a",claim="Success",verdict="Pass"}': "0x120",
            'axiom_claims_total{agent_class="b",claim="Success",verdict="Fail"}': "0+1x120",
            'axiom_claims_total{agent_class="b",claim="Success",verdict="Pass"}': "0+2x120",
        },
        120,
    ),
    "AxiomReconcileErrors": Case(
        {
            'axiom_reconcile_errors_total{kind="UnavailableError"}': "0+20x60",
            "axiom_reconcile_seconds_count": "0+100x60",
        },
        {
            'axiom_reconcile_errors_total{kind="ConflictError"}': "0+20x60",
            'axiom_reconcile_errors_total{kind="UnavailableError"}': "0+5x60",
            "axiom_reconcile_seconds_count": "0+100x60",
        },
    ),
    "AxiomReconcileQueue": Case(
        {"axiom_reconcile_queue_oldest_seconds": "40x60"}, {"axiom_reconcile_queue_oldest_seconds": "40 1x60"}
    ),
    "AxiomApiServerFailing": Case(
        {
            'axiom_api_requests_total{verb="get",outcome="Unavailable"}': "0+10x60",
            'axiom_api_requests_total{verb="get",outcome="Ok"}': "0+90x60",
        },
        {
            'axiom_api_requests_total{verb="get",outcome="Unavailable"}': "0+1x60",
            'axiom_api_requests_total{verb="get",outcome="Conflict"}': "0+50x60",
            'axiom_api_requests_total{verb="get",outcome="Ok"}': "0+90x60",
        },
    ),
    "AxiomWatchStalled": Case(
        {'axiom_watch_missed_total{resource="pods"}': "0+5x60"},
        {
            'axiom_watch_missed_total{resource="pods"}': "0x10 5x50",
            'axiom_watch_missed_total{resource="agenttasks"}': "0x10 5x50",
        },
    ),
    "AxiomLedgerLag": Case(
        {'axiom_gateway_ledger_lag_seconds{pod="a"}': "0+60x60"},
        {
            'axiom_gateway_ledger_lag_seconds{pod="a"}': "0+60x60",
            'axiom_gateway_ledger_lag_seconds{pod="b"}': "3x60",
        },
    ),
    "AxiomEvidenceLost": Case(
        {
            'axiom_gateway_ledgers_lost_total{pod="a"}': "0x20 1x40",
            'axiom_gateway_ledgers_lost_total{pod="b"}': "0x60",
        },
        {'axiom_gateway_ledgers_lost_total{pod="a"}': "1x60"},
    ),
    "AxiomLedgerGaps": Case(
        {'axiom_ledger_gaps_total{role="agent"}': "0+1x60"},
        {'axiom_ledger_gaps_total{role="agent"}': "0x20 3x40"},
    ),
    "AxiomObjectStorageFailing": Case(
        {'axiom_storage_operations_total{operation="put",result="Unavailable"}': "0+1x60"},
        {
            'axiom_storage_operations_total{operation="put",result="Unavailable"}': "0x10 1x50",
            'axiom_storage_operations_total{operation="get",result="Missing"}': "0+1x60",
        },
    ),
    "AxiomIsolationFailed": Case(
        {'axiom_sandboxes_failed_total{role="agent",reason="IsolationFailed"}': "0x25 1x30"},
        {
            'axiom_sandboxes_failed_total{role="agent",reason="IsolationFailed"}': "1x60",
            'axiom_sandboxes_failed_total{role="agent",reason="StartFailed"}': "0+1x60",
        },
    ),
    "AxiomTokenUsedElsewhere": Case(
        {'axiom_egress_denials_total{reason="axiom_wrong_address"}': "0x25 1x30"},
        {'axiom_egress_denials_total{reason="axiom_bad_token"}': "0+5x60"},
    ),
    "AxiomEvidenceConflict": Case(
        {'axiom_storage_operations_total{operation="put",result="Conflict"}': "0x25 1x30"},
        {'axiom_storage_operations_total{operation="put",result="Ok"}': "0+5x60"},
    ),
    "AxiomEgressDenials": Case(
        {'axiom_egress_denials_total{reason="axiom_no_route"}': "0+10x60"},
        {
            'axiom_egress_denials_total{reason="axiom_no_route"}': "0+1x60",
            'axiom_egress_denials_total{reason="axiom_upstream_failed"}': "0+10x60",
        },
    ),
    "AxiomCredentialMissing": Case(
        {'axiom_egress_denials_total{reason="axiom_no_credential"}': "0x25 1x30"},
        {'axiom_egress_denials_total{reason="axiom_no_credential"}': "0 1x60"},
    ),
    "AxiomCostBurst": Case(
        {'axiom_egress_cost_usd_total{agent_class="a"}': "0+0.01x1440 14+0.5x120"},
        {
            'axiom_egress_cost_usd_total{agent_class="a"}': "0+0.5x1560",
            'axiom_egress_cost_usd_total{agent_class="b"}': "0+0.001x1440 1.4+0.1x120",
        },
        1500,
    ),
    "AxiomUsageUnknown": Case(
        {
            'axiom_egress_usage_readings_total{agent_class="a",certainty="untold"}': "0+1x120",
            'axiom_egress_usage_readings_total{agent_class="a",certainty="told"}': "0+2x120",
        },
        {
            'axiom_egress_usage_readings_total{agent_class="a",certainty="estimated"}': "0+1x120",
            'axiom_egress_usage_readings_total{agent_class="a",certainty="told"}': "0+9x120",
            'axiom_egress_usage_readings_total{agent_class="b",certainty="untold"}': "0x30 3x90",
        },
        90,
    ),
    "AxiomVendorDown": Case(
        {'axiom_vendor_breaker_open{vendor="api.example"}': "1x60"},
        {'axiom_vendor_breaker_open{vendor="api.example"}': "1 1 1 0x60"},
    ),
    "AxiomUpstreamFailing": Case(
        {
            'axiom_egress_requests_total{agent_class="a",route="/m",status="5xx"}': "0+3x60",
            'axiom_egress_requests_total{agent_class="a",route="/m",status="2xx"}': "0+7x60",
        },
        {
            'axiom_egress_requests_total{agent_class="a",route="/m",status="5xx"}': "0+1x60",
            'axiom_egress_requests_total{agent_class="a",route="/m",status="4xx"}': "0+9x60",
        },
    ),
}


def test_every_alert_has_its_cases() -> None:
    assert set(CASES) == set(ALERTS)


@pytest.mark.thorough
def test_each_alert_fires_and_is_quiet(promtool: str, tmp_path: Path) -> None:
    tests = [
        _test(name, case.minutes, series, fires)
        for name, case in CASES.items()
        for series, fires in ((case.firing, True), (case.quiet, False))
    ]
    assert _promtool(promtool, tmp_path, tests) == ""


def test_the_test_of_alerts_can_fail(promtool: str, tmp_path: Path) -> None:
    case = CASES["AxiomNoLeader"]
    wrong = [_test("AxiomNoLeader", 30, case.quiet, True), _test("AxiomNoLeader", 30, case.firing, False)]
    assert _promtool(promtool, tmp_path, wrong).count("expr:") == 2


def _test(name: str, minutes: int, series: Series, fires: bool) -> dict[str, Any]:
    alert = f'count by (alertname) (ALERTS{{alertname="{name}", alertstate="firing"}}) > bool 0'
    wanted = [{"labels": f'{{alertname="{name}"}}', "value": 1}] if fires else []
    return {
        "name": f"{name} {'fires' if fires else 'is quiet'}",
        "interval": "1m",
        "input_series": [{"series": what, "values": values} for what, values in series.items()],
        "promql_expr_test": [{"expr": alert, "eval_time": f"{minutes}m", "exp_samples": wanted}],
    }


def _promtool(promtool: str, folder: Path, tests: list[dict[str, Any]]) -> str:
    file = folder / "tests.json"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    command = [promtool, "test", "rules", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def test_prometheus_accepts_the_rules(promtool: str) -> None:
    command = [promtool, "check", "rules", "--lint-fatal", str(RULES)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@each
def test_an_alert_asks_for_what_there_is(name: str) -> None:
    assert list(mistakes(ALERTS[name]["expr"])) == []


@each
def test_an_alert_says_how_bad_it_is_and_what_it_means(name: str) -> None:
    rule = ALERTS[name]
    assert re.fullmatch(r"Axiom[A-Z][A-Za-z]+", name)
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    for text in ("summary", "description"):
        assert rule["annotations"][text].endswith(".")
        assert len(rule["annotations"][text].split()) >= 3
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{name}.md")


@each
def test_an_alert_has_a_page_that_says_what_to_do(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert text.startswith(f"# {name}\n")
    assert sections == ["What it means", "What to look at", "What to do"]
    for section in text.split("\n## ")[1:]:
        assert len(section.split()) >= 15, section.partition("\n")[0]


def test_no_page_is_left_without_its_alert() -> None:
    pages = {page.stem for page in RUNBOOKS.glob("Axiom*.md")}
    assert pages == set(ALERTS)
    index = (RUNBOOKS / "README.md").read_text()
    assert set(re.findall(r"\]\((\w+)\.md\)", index)) == pages
