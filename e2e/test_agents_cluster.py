"""The three real CLIs in pods, spoken with in messages: only their models are scripted.

Their images come from the Dockerfiles, and their classes from the examples, that users have. Each agent plays each
story; all tasks run at the same time.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.captures.clis import CLIS, ON_SCREEN
from tests.fakes.git_server import serve_git

from e2e.cluster.connection import Connection
from e2e.inputs.leap_repository import REVISION, make_leap_repository
from e2e.support.buckets import bucket
from e2e.support.chart import image_values
from e2e.support.images import Images, build_cli_image
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.local_runs import INPUTS
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
from e2e.support.real_clis import EXAMPLES, FIX, HONEST, turns_of
from e2e.support.witness import Witness

pytestmark = pytest.mark.e2e

LIMIT_SECONDS = 420
AGENTS = ON_SCREEN
TURNS = turns_of("two_rounds.json")
FAULTS: list[Object] = [
    {"error": {"status": 429, "retryAfterSeconds": 1}},
    {"error": {"status": 529}},
    {"close": 1},
]
STORIES: dict[str, list[list[Object]]] = {
    "honest": [HONEST],
    "denied": [[{"shell": "git push || touch pushed"}, *HONEST]],
    "killed": [
        [
            {"shell": "touch begun.txt"},
            {"shell": "echo half > half.txt; kill -9 $PPID; sleep 60"},
            {"say": "Never said."},
        ],
        [{"shell": "rm half.txt begun.txt"}, *HONEST],
    ],
    "two-rounds": TURNS,
    "faults": [[*FAULTS, *HONEST]],
}
every = pytest.mark.parametrize("agent", AGENTS)


def class_name(agent: str, story: str, kubectl: Kubectl) -> str:
    return f"{agent}-{story}-{kubectl.namespace}"


def apply(kubectl: Kubectl, agent: str, story: str, image: str, server: Model, repository: str) -> None:
    agent_class = yaml.safe_load((EXAMPLES / f"{agent}.yaml").read_text())
    agent_class["metadata"]["name"] = class_name(agent, story, kubectl)
    agent_class["spec"]["image"] = image
    agent_class["spec"]["credentials"][0]["route"]["upstream"] = server.url
    task = yaml.safe_load((INPUTS / "leap-task.yaml").read_text())
    task["metadata"]["name"] = f"{agent}-{story}"
    task["spec"]["agentClassName"] = agent_class["metadata"]["name"]
    task["spec"]["workspace"]["git"]["url"] = repository
    kubectl.apply(agent_class)
    kubectl.apply(task)


@pytest.fixture(scope="module")
def stories(
    cluster: Connection, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Outcome]]:
    folder, namespace, key = tmp_path_factory.mktemp("agents"), new_name(), f"sk-{secrets.token_hex(24)}"
    cli_images = {agent: build_cli_image(cluster, agent) for agent in AGENTS}
    address = cluster.machine_address
    assert make_leap_repository(folder / "served" / "leap.git") == REVISION
    (folder / "keys").mkdir()
    told = list(product(AGENTS, STORIES))
    with ExitStack() as stack:
        git = stack.enter_context(serve_git(folder / "served", folder / "keys", address))
        models = {one: stack.enter_context(playing(folder, *one, address, key)) for one in told}
        stack.enter_context(bucket(cluster, namespace))
        names = {
            agent: yaml.safe_load((EXAMPLES / f"{agent}.yaml").read_text())["spec"]["credentials"][0]["name"]
            for agent in AGENTS
        }
        values: dict[str, Any] = {
            **image_values(images, storage="unused:1"),
            "operator": {"fetchAlso": [f"{address}/32:{git.port}"], "fetchCa": git.authority},
            "egress": {"privateUpstreams": [address], "credentialSecrets": list(names.values())},
            "objectStorage": {"endpoint": cluster.s3.endpoint, "bucket": namespace, "secretName": "evidence"},
        }
        admin = stack.enter_context(release(cluster, values, namespace, dict.fromkeys(names.values(), key)))
        kubectl = stack.enter_context(
            team(cluster, lambda kubectl: [class_name(*one, kubectl) for one in told])
        )
        witness = Witness(kubectl.api(), ())
        for one in told:
            apply(kubectl, *one, cli_images[one[0]], models[one], f"{git.url}/leap.git")
        statuses = wait_complete(kubectl, witness, LIMIT_SECONDS)
        token, base = viewer_token(kubectl), f"{gateway_url(admin)}/v1/tasks/{kubectl.namespace}"
        yield {
            (agent, story): Outcome(
                status=statuses[f"{agent}-{story}"],
                events=read(f"{base}/{agent}-{story}/events", token),
                diff=read(f"{base}/{agent}-{story}/diff", token),
                recording=read(f"{base}/{agent}-{story}/recording", token),
                requests=models[agent, story].requests(),
            )
            for agent, story in told
        }


def playing(folder: Path, agent: str, story: str, address: str, key: str) -> Any:
    script = folder / f"{agent}-{story}.json"
    script.write_text(json.dumps({"turns": STORIES[story]}))
    return model(script, address, key, folder / f"{agent}-{story}.jsonl")


@every
@pytest.mark.parametrize("story", STORIES)
def test_every_story_ends_with_the_fix_and_a_pass(
    stories: dict[tuple[str, str], Outcome], agent: str, story: str
) -> None:
    outcome = stories[agent, story]
    assert outcome.status["verdict"] == "Pass", (outcome.status, outcome.events[-4000:])
    assert (outcome.status["attempt"], outcome.status["round"]) == (1, 2 if story == "two-rounds" else 1)
    assert FIX in outcome.changed_lines
    assert outcome.status["claim"]["says"] == "Success"
    if (agent, story) != ("gemini", "faults"):  # which forgets what was said in a turn that failed
        assert len({request["conversation"] for request in outcome.requests if request["items"]}) == 1


@every
def test_the_ledger_says_what_was_done(stories: dict[tuple[str, str], Outcome], agent: str) -> None:
    outcome = stories[agent, "honest"]
    calls = {item["id"] for item in outcome.payloads("tool_call")}
    assert calls
    assert {item["id"] for item in outcome.payloads("tool_return")} == calls
    [session] = outcome.payloads("session")
    assert (session["version"], session["warning"]) == (CLIS[agent].version, "")
    assert outcome.payloads("usage")[-1]["total"]["input"] == outcome.status["usage"]["inputTokens"]
    [claim] = outcome.payloads("claim")
    written = {(one["kind"], one["subject"]) for one in claim["statements"]}
    assert ("FileWritten", "src/leap/years.py") in written


@every
def test_a_tool_that_the_class_denies_does_not_run(
    stories: dict[tuple[str, str], Outcome], agent: str
) -> None:
    outcome = stories[agent, "denied"]
    given = outcome.payloads("approval_given")
    assert [item["by"] for item in given if item["permission"] == "Deny"] == ["policy/no-push"]
    assert "pushed" not in outcome.diff
    assert not outcome.payloads("tool_return")[0]["ok"]


@every
def test_a_killed_agent_goes_on_in_the_same_session(
    stories: dict[tuple[str, str], Outcome], agent: str
) -> None:
    outcome = stories[agent, "killed"]
    first, second = outcome.payloads("session")
    assert first["session"] == second["session"]
    [resumed] = outcome.payloads("resumed")
    assert (resumed["fresh"], resumed["why"]) == (False, "signal 9")
    assert [item["lost"] for item in outcome.payloads("tool_return")].count(True) == 1
    assert "Never said." not in str(outcome.payloads("assistant_msg"))


@every
def test_rounds_share_a_session_and_tokens_are_counted_once(
    stories: dict[tuple[str, str], Outcome], agent: str
) -> None:
    outcome = stories[agent, "two-rounds"]
    assert [item["verdict"] for item in outcome.status["rounds"]] == ["Fail", "Pass"]
    assert len({item["session"] for item in outcome.payloads("session")}) == 1
    usages = outcome.payloads("usage")
    assert sum(item["turn"]["input"] for item in usages) == usages[-1]["total"]["input"]
    assert "test_2000" in outcome.payloads("user_msg")[1]["text"]


@every
def test_a_model_that_refuses_and_hangs_up_is_asked_again(
    stories: dict[tuple[str, str], Outcome], agent: str
) -> None:
    statuses = [request["status"] for request in stories[agent, "faults"].requests]
    assert {429, 529} <= set(statuses)
