"""The real Codex CLI on a cluster: four stories about one git repository, from `kubectl apply` to the verdict.

The chart is installed as it is. Codex speaks through the egress proxy with a model that plays a script, the repository
comes from a git server with an authority of its own, and evidence goes to the cluster's S3 server. The four tasks run
at the same time.
"""

from __future__ import annotations

import base64
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fakes.git_server import GitServer, serve_git

from e2e.cluster.connection import Connection
from e2e.inputs.leap_repository import REVISION, make_leap_repository
from e2e.support.buckets import bucket, read_bucket
from e2e.support.chart import image_values
from e2e.support.images import ROOT, Images, build_cli_image
from e2e.support.kubernetes import Kubectl
from e2e.support.real_agents import (
    Model,
    Outcome,
    gateway_url,
    model,
    new_name,
    read,
    release,
    team,
    viewer_token,
    wait_complete,
)
from e2e.support.real_clis import FIX
from e2e.support.witness import Witness

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.hermetic("looks everywhere for a key, the node's processes and audit log included"),
]

INPUTS = ROOT / "e2e" / "inputs"
STORIES = ("honest", "cheat", "two_rounds", "spendthrift")
SCRIPTS = {"spendthrift": "honest"}
"""What a story's model plays, where that is another story's script."""
BUDGETS = {"honest": "1.00", "spendthrift": "0.0001"}
LIMIT_SECONDS = 480


@dataclass(frozen=True)
class Evidence:
    """All of them, and whatever could be read meanwhile and afterwards."""

    outcomes: dict[str, Outcome]
    witness: Witness
    stored: dict[str, bytes]
    """Every object of the bucket by its key, decompressed."""
    told: dict[str, str]
    """AgentTasks, Events, logs of the control plane, the audit log."""
    key: str


def class_name(story: str, kubectl: Kubectl) -> str:
    return f"codex-{task_name(story)}-{kubectl.namespace}"


def task_name(story: str) -> str:
    return story.replace("_", "-")


def apply_story(kubectl: Kubectl, story: str, image: str, model: Model, git: GitServer) -> None:
    """The class and the task that people get, with this test's addresses."""
    agent_class = yaml.safe_load((INPUTS / "codex-class.yaml").read_text())
    agent_class["metadata"]["name"] = class_name(story, kubectl)
    agent_class["spec"]["image"] = image
    agent_class["spec"]["credentials"][0]["route"]["upstream"] = model.url
    task = yaml.safe_load((INPUTS / "leap-task.yaml").read_text())
    task["metadata"]["name"] = task_name(story)
    task["spec"]["agentClassName"] = class_name(story, kubectl)
    task["spec"]["workspace"]["git"]["url"] = f"{git.url}/leap.git"
    if story in BUDGETS:
        task["spec"]["limits"]["budget"] = {"usd": BUDGETS[story]}
    kubectl.apply(agent_class)
    kubectl.apply(task)


@pytest.fixture(scope="module")
def evidence(
    cluster: Connection, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Evidence]:
    """All stories, told at the same time."""
    folder, key, namespace = tmp_path_factory.mktemp("codex"), f"sk-{secrets.token_hex(24)}", new_name()
    image = build_cli_image(cluster, "codex")
    address = cluster.machine_address
    assert make_leap_repository(folder / "served" / "leap.git") == REVISION
    (folder / "keys").mkdir()
    with ExitStack() as stack:
        git = stack.enter_context(serve_git(folder / "served", folder / "keys", address))
        models = {
            story: stack.enter_context(
                model(INPUTS / f"{SCRIPTS.get(story, story)}.json", address, key, folder / f"{story}.jsonl")
            )
            for story in STORIES
        }
        storage = stack.enter_context(bucket(cluster, namespace))
        values: dict[str, Any] = {
            **image_values(images, storage="unused:1"),
            "operator": {"fetchAlso": [f"{address}/32:{git.port}"], "fetchCa": git.authority},
            "egress": {"privateUpstreams": [address], "credentialSecrets": ["openai"]},
            "objectStorage": {"endpoint": cluster.s3.endpoint, "bucket": namespace, "secretName": "evidence"},
        }
        admin = stack.enter_context(release(cluster, values, namespace, {"openai": key}))
        kubectl = stack.enter_context(
            team(cluster, lambda kubectl: [class_name(story, kubectl) for story in STORIES])
        )
        witness = Witness(kubectl.api(), (kubectl.namespace, namespace))
        for story in STORIES:
            apply_story(kubectl, story, image, models[story], git)
        statuses = wait_complete(kubectl, witness, LIMIT_SECONDS)
        witness.look()

        token, base = viewer_token(kubectl), f"{gateway_url(admin)}/v1/tasks/{kubectl.namespace}"
        outcomes = {
            story: Outcome(
                status=statuses[task_name(story)],
                events=read(f"{base}/{task_name(story)}/events", token),
                diff=read(f"{base}/{task_name(story)}/diff", token)
                if statuses[task_name(story)].get("rounds")
                else "",
                recording=read(f"{base}/{task_name(story)}/recording", token),
                requests=models[story].requests(),
            )
            for story in STORIES
        }
        told = {
            "tasks": kubectl("get", "agenttasks", "--output", "json"),
            "classes": kubectl("get", "agentclasses", "--output", "json"),
            "events": kubectl("get", "events", "--output", "json"),
            "audit log": Path(cluster.audit_log).read_text(),
        }
        yield Evidence(outcomes, witness, read_bucket(storage, namespace), told, key)


def test_the_honest_agent_passes_and_its_diff_is_the_fix(evidence: Evidence) -> None:
    outcome = evidence.outcomes["honest"]

    assert (outcome.status["verdict"], outcome.status["round"]) == ("Pass", 1), outcome.status["message"]
    assert outcome.changed_lines == ["-    return year % 4 == 0", FIX]
    assert "src/leap/years.py" in outcome.diff
    assert outcome.diff.encode() in evidence.stored.values()
    assert "1900 is a common year" in outcome.screen


def test_the_cheating_agent_fails_and_status_says_why(evidence: Evidence) -> None:
    outcome = evidence.outcomes["cheat"]

    assert (outcome.status["state"], outcome.status["verdict"]) == ("NeedsReview", "Fail")
    assert outcome.status["claim"]["says"] == "Success"
    assert outcome.status["claimDisagreement"] is True
    assert "The agent changed tests/test_leap.py" in outcome.status["message"]
    failed = {item["name"]: item["message"] for item in outcome.status["rounds"][-1]["criteria"]}
    assert "test_1900" in failed["tests"]
    assert "tests/test_leap.py" in failed["scope"]


def test_evidence_of_the_first_round_leads_to_the_fix_in_the_same_session(evidence: Evidence) -> None:
    outcome = evidence.outcomes["two_rounds"]

    assert (outcome.status["verdict"], outcome.status["round"]) == ("Pass", 2), outcome.status["message"]
    assert [item["verdict"] for item in outcome.status["rounds"]] == ["Fail", "Pass"]
    assert FIX in outcome.changed_lines
    assert {request["turn"] for request in outcome.requests} == {1, 2}
    [session] = {request["conversation"] for request in outcome.requests}
    assert outcome.screen.count(session) == 2, "Codex prints its session's id at the start of each round"


def test_a_task_whose_budget_is_spent_ends_with_what_it_cost(evidence: Evidence) -> None:
    outcome = evidence.outcomes["spendthrift"]

    conditions = {item["type"]: item["reason"] for item in outcome.status["conditions"]}
    assert (outcome.status["verdict"], conditions["Complete"]) == ("Fail", "BudgetExceeded"), outcome.status[
        "message"
    ]
    assert "of $0.0001 was spent" in outcome.status["message"]
    assert [request["status"] for request in outcome.requests if request["items"]] == [200]
    # The operator looks every few seconds: it may end the agent before that has asked again and shown the refusal, or look only
    # when a next round, in which the proxy refuses everything, has begun.
    exited = [record["payload"] for record in outcome.records if record["event"] == "agent_exited"][-1]
    assert exited["signal"] == signal.SIGKILL or "Quota exceeded" in outcome.screen, (exited, outcome.screen)


@pytest.mark.parametrize("story", STORIES)
def test_usage_is_what_the_model_told(evidence: Evidence, story: str) -> None:
    outcome = evidence.outcomes[story]

    usage, asked = outcome.status["usage"], [request for request in outcome.requests if request["items"]]
    assert usage["requests"] == len(asked)
    assert usage["inputTokens"] == sum(100 * request["items"] for request in asked)
    assert (usage["estimated"], usage["unmeasured"], usage["unpriced"]) == (0, 0, 0)
    least = usage["inputTokens"] * 1_250_000 + usage["outputTokens"] * 10_000_000
    assert 0 <= int(Decimal(usage["costUsd"]) * 10**6) - -(-least // 10**6) < len(asked)


def test_the_model_was_asked_with_the_key_by_nobody_else(evidence: Evidence) -> None:
    digest = sha256(evidence.key.encode()).hexdigest()
    for outcome in evidence.outcomes.values():
        assert {(request["status"], request["key_digest"]) for request in outcome.requests} == {(200, digest)}


def test_the_key_is_nowhere_but_in_its_secret(evidence: Evidence) -> None:
    texts = {
        **evidence.told,
        **evidence.witness.texts,
        **evidence.witness.environments,
        **{f"object {key}": content.decode(errors="replace") for key, content in evidence.stored.items()},
        **{
            f"{story}: {kind}": getattr(outcome, kind)
            for story, outcome in evidence.outcomes.items()
            for kind in ("events", "diff", "recording")
        },
    }

    forms = (evidence.key, base64.b64encode(evidence.key.encode()).decode())
    assert [what for what, text in texts.items() if any(form in text for form in forms)] == []

    # That something was looked at: the same places hold what may be there.
    assert [held for held in evidence.witness.environments_of("codex") if "OPENAI_API_KEY=" in held]
    assert "POST" in evidence.witness.logs_of("axiom-egress")
    assert evidence.witness.logs_of("axiom-operator")
    assert evidence.witness.logs_of("axiom-gateway")
    kinds = ("/ledger/", "blobs/sha256/")
    assert [kind for kind in kinds if not any(kind in key for key in evidence.stored)] == []
