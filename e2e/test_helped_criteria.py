"""Criteria that are decided with help from outside, in pods: judges at their vendors, pages of a web server, people.

The chart is installed as it is. What the clean room may not reach, the gateway asks for through the egress proxy: judges that
play scripts, and a web server of this machine under a name of the cluster's own DNS.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from minio import Minio

from axiom.benching.cases import shipped_cases
from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.buckets import bucket, read_bucket
from e2e.support.chart import image_values, installed
from e2e.support.images import ROOT, Images, build_agent_image
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.real_agents import Model, model, new_name, team, wait_complete
from e2e.support.witness import Witness

pytestmark = pytest.mark.e2e

LIMIT_SECONDS = 480
QUOTATION = "Landlock was merged in Linux 5.13"
PAGE = f"<html><head><title>Landlock</title></head><body><p>{QUOTATION}, in June 2021.</p>{'<p>More.</p>' * 80}</body></html>"
CHANGED = {"name": "greeting", "files": {"expect": [{"path": "greeting.txt", "matches": "hello"}]}}


class Site(BaseHTTPRequestHandler):
    """One page; everything else is not there."""

    def do_GET(self) -> None:
        found = self.path == "/landlock"
        body = (
            PAGE.encode() if found else b"<html><head><title>404</title></head><body>Not found</body></html>"
        )
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@dataclass(frozen=True)
class Told:
    """All tasks, complete, and who was asked."""

    statuses: dict[str, Object]
    judges: dict[str, Model]
    cluster: Connection
    kubectl: Kubectl
    admin: Kubectl
    """In the namespace of the installation."""
    client: Minio
    bucket: str
    key: str

    def result(self, task: str, criterion: str) -> Object:
        [last] = self.statuses[task]["rounds"][-1:]
        [found] = [one for one in last["criteria"] if one["name"] == criterion]
        return dict(found)


def judged(by: str, **fields: object) -> Object:
    return {"name": "judged", "judge": {"question": "Is it honest work?", "by": by}, **fields}


def cited(**fields: object) -> Object:
    return {"name": "cited", "research": {"files": ["*.md"], "minCitations": 1, "fetched": False, **fields}}


def stories(site: str) -> dict[str, tuple[tuple[str, ...], list[Object]]]:
    """Name of a task → what its agent does, and by what it is decided."""
    greets = ("write greeting.txt hello", "exit 0")
    return {
        "vetoed": (greets, [CHANGED, judged("strict")]),
        "advised": (greets, [CHANGED, judged("strict", enforcement="Advisory")]),
        "agreed": (greets, [CHANGED, judged("kind")]),
        "cites": ((f'write note.md It says "{QUOTATION}, in June 2021" ({site}/landlock).', "exit 0"), [cited()]),
        "misquotes": ((f'write note.md "Landlock was removed in Linux 5.14" ({site}/landlock).', "exit 0"), [cited()]),
        "dead-link": ((f"write note.md See {site}/nothing for more.", "exit 0"), [cited()]),
    }  # fmt: skip


def answer(folder: Path, name: str, verdict: str) -> Path:
    finding = {"quotation": "=== greeting.txt: Added", "explanation": "there"}
    said = json.dumps({"verdict": verdict, "findings": [finding], "summary": "seen"})
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"turns": [[{"say": said}]]}))
    return path


def site_of(kubectl: Kubectl, address: str, port: int) -> str:
    """A name of the cluster's DNS for a server of this machine."""
    ports = [{"name": "http", "port": port}]
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "site"},
            "spec": {"clusterIP": "None", "ports": ports},
        }
    )
    kubectl.apply(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "site", "labels": {"kubernetes.io/service-name": "site"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address]}],
            "ports": ports,
        }
    )
    return f"site.{kubectl.namespace}.svc.cluster.local"


def class_name(kubectl: Kubectl) -> str:
    return f"helped-{kubectl.namespace}"


def judge(name: str, vendor: str, model_name: str, url: str) -> Object:
    reference = {"name": "judges", "key": "api-key"}
    return {"name": name, "vendor": vendor, "model": model_name, "secretRef": reference, "upstream": url}


@pytest.fixture(scope="module")
def told(cluster: Connection, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder, key, name = tmp_path_factory.mktemp("helped"), f"sk-{secrets.token_hex(24)}", new_name()
    image, address = build_agent_image(cluster, "plain"), cluster.machine_address
    verdicts = {"strict": "FAIL", "kind": "PASS"}
    with ExitStack() as stack:
        judges = {
            one: stack.enter_context(
                model(answer(folder, one, verdict), address, key, folder / f"{one}.jsonl", asides=False)
            )
            for one, verdict in verdicts.items()
        }
        server = stack.enter_context(ThreadingHTTPServer((address, 0), Site))
        Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        client = stack.enter_context(bucket(cluster, name))
        kubectl = stack.enter_context(team(cluster, lambda kubectl: [class_name(kubectl)]))
        host = site_of(kubectl, address, server.server_port)
        values = {
            **image_values(images, storage="unused:1"),
            "egress": {"privateUpstreams": [address, host], "credentialSecrets": ["judges"]},
            "objectStorage": {"endpoint": cluster.s3.endpoint, "bucket": name, "secretName": "evidence"},
            # never by itself
            "judgeBench": {"schedule": "0 0 31 2 *", "keptNamespaces": [kubectl.namespace]},
        }
        storage = {"accessKey": cluster.s3.access_key, "secretKey": cluster.s3.secret_key}
        there = {"evidence": storage, "judges": {"api-key": key}}
        release = stack.enter_context(installed(cluster, values, there))
        kubectl.apply(
            {
                "apiVersion": "axiom.dev/v1alpha1",
                "kind": "AgentClass",
                "metadata": {"name": class_name(kubectl)},
                "spec": {
                    "image": image,
                    "command": ["/agent", "$(AXIOM_PROMPT)"],
                    "showCriteria": False,
                    "agentVendor": "OpenAI",
                    "judges": [
                        judge("strict", "Google", "gemini-x", judges["strict"].url),
                        judge("kind", "Anthropic", "claude-x", judges["kind"].url),
                    ],
                    "egress": {
                        "destinations": [{"host": host, "ports": [], "http": {"ports": [server.server_port]}}]
                    },
                },
            }
        )
        for task, (steps, criteria) in stories(f"http://{host}:{server.server_port}").items():
            kubectl.create(
                {
                    "apiVersion": "axiom.dev/v1alpha1",
                    "kind": "AgentTask",
                    "metadata": {"name": task},
                    "spec": {
                        "agentClassName": class_name(kubectl),
                        "prompt": "\n".join(steps),
                        "workspace": {"files": [{"path": "README.txt", "content": "Say hello.\n"}]},
                        "criteria": criteria,
                        "limits": {
                            "deadline": "10m",
                            "maxRounds": 1,
                            "resources": {"cpu": "100m", "memory": "96Mi", "storage": "64Mi"},
                        },
                    },
                }
            )
        witness = Witness(kubectl.api(), (kubectl.namespace,))
        statuses = wait_complete(kubectl, witness, LIMIT_SECONDS)
        admin = Kubectl(cluster, release.namespace)
        yield Told(statuses, judges, cluster, kubectl, admin, client, name, key)


def test_a_hard_veto_fails_what_everything_else_passed(told: Told) -> None:
    assert told.statuses["vetoed"]["verdict"] == "Fail", told.statuses["vetoed"]["message"]
    assert told.result("vetoed", "greeting")["verdict"] == "Pass"
    found = told.result("vetoed", "judged")
    assert found["verdict"] == "Fail"
    assert "“=== greeting.txt: Added”: there" in found["message"]


def test_an_advisory_veto_is_a_remark(told: Told) -> None:
    assert told.statuses["advised"]["verdict"] == "Pass", told.statuses["advised"]["message"]
    assert told.result("advised", "judged")["verdict"] == "Fail"


def test_a_judge_that_has_nothing_against_it_lets_it_pass(told: Told) -> None:
    assert told.statuses["agreed"]["verdict"] == "Pass", told.statuses["agreed"]["message"]


def test_a_judge_of_the_agents_own_vendor_is_refused(told: Told) -> None:
    judges = [judge("own", "OpenAI", "gpt-x", told.judges["kind"].url)]
    patch = json.dumps({"spec": {"judges": judges}})
    refused = told.kubectl.run(
        "patch", "agentclass", class_name(told.kubectl), "--type=merge", "--patch", patch
    )
    assert refused.returncode != 0
    assert "of the same vendor as the agent's own model" in refused.stderr


def test_judges_are_asked_with_a_key_that_no_evidence_holds(told: Told) -> None:
    for name in ("strict", "kind"):
        assert {one["status"] for one in told.judges[name].requests()} == {200}
    stored = read_bucket(told.client, told.bucket)
    assert any(b"Is it honest work?" in content for content in stored.values())
    assert [key for key, content in stored.items() if told.key.encode() in content] == []


def test_a_page_that_says_what_it_is_cited_for_passes(told: Told) -> None:
    assert told.statuses["cites"]["verdict"] == "Pass", told.statuses["cites"]["message"]


@pytest.mark.parametrize("task", ["misquotes", "dead-link"])
def test_a_page_that_says_something_else_or_is_not_there_fails(told: Told, task: str) -> None:
    assert told.statuses[task]["verdict"] == "Fail", told.statuses[task]["message"]
    assert told.result(task, "cited")["verdict"] == "Fail"


def test_a_decision_is_kept_with_the_evidence_and_makes_a_case_of_what_the_judge_was_shown(
    told: Told,
) -> None:
    program = str(Path(sys.executable).with_name("axiom"))
    where = ("--kubeconfig", told.cluster.kubeconfig, "--namespace", told.kubectl.namespace)
    seen = subprocess.run(
        [program, "review", "vetoed", *where],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert "judged (Judge, Hard, Process): Fail" in seen.stdout, seen.stderr
    assert "it claimed Outcome: Success; found: Fail" in seen.stdout
    decided = subprocess.run(
        [program, "review", "vetoed", "--accept", "--why", "it is honest", *where],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert decided.returncode == 0, decided.stderr
    kept: dict[str, Object] = {}

    def missing() -> str | None:
        for key, content in read_bucket(told.client, told.bucket).items():
            if "/reviews/" in key or "/cases/" in key:
                kept["review" if "/reviews/" in key else "case"] = json.loads(content)
        return None if len(kept) == 2 else f"only {sorted(kept)} is kept"

    wait_until("the decision to be kept", missing, limit_seconds=120, interval_seconds=1)
    assert (kept["review"]["decision"], kept["review"]["why"]) == ("Accept", "it is honest")
    assert (kept["case"]["label"], kept["case"]["by"]) == ("PASS", kept["review"]["by"])
    assert "=== greeting.txt: Added" in kept["case"]["shown"]

    told.admin("create", "job", "measured", "--from=cronjob/axiom-judge-bench")
    told.admin("wait", "--for=condition=Complete", "--timeout=300s", "job/measured", timeout=330)
    said = told.admin("logs", "job/measured")
    lines = (line.partition("axiom.benching: ")[2] for line in said.splitlines())
    measured = [json.loads(line) for line in lines if line.startswith("{")]
    cases = {one["vendor"]: one["cases"] for one in measured}
    shipped = len(shipped_cases())
    assert (cases["Google"], cases["Anthropic"]) == (shipped + 1, shipped), said
    assert kept["case"]["name"] in {name for one in measured for name in one["falseRejects"]}
    stored = read_bucket(told.client, told.bucket)
    runs = [json.loads(text) for key, text in stored.items() if key.startswith("judge-bench/")]
    [own] = [one for run in runs for one in run["decided"] if one["name"] == kept["case"]["name"]]
    assert (own["verdict"], own["why"]) == ("Fail", ""), "what a judge says of a task's code is not kept"
