"""The real CLIs in pods, in messages and on their screens: only their models are scripted.

Their images come from the Dockerfiles, and their classes from the examples, that users have. Each agent plays each
story in each of its modes; as many tasks run at the same time as find room.
"""

from __future__ import annotations

import json
import os
import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from tests.captures.clis import CLIS, ON_SCREEN
from tests.fakes.git_server import serve_git

from e2e.cluster.connection import Connection
from e2e.inputs.leap_repository import REVISION, make_leap_repository
from e2e.support.buckets import bucket
from e2e.support.chart import image_values
from e2e.support.command_line import Person
from e2e.support.images import Images, build_cli_image
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.local_runs import INPUTS
from e2e.support.real_agents import (
    Model,
    Outcome,
    forwarded_gateway,
    gateway_url,
    is_complete,
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

LIMIT_SECONDS = 1200
AT_ONCE = 6
"""So many find room on a small node, each with its verifier: where a verifier finds none, its agent leaves, and its session ends."""
SHELL = {"claude": "Bash", "codex": "commandExecution", "gemini": "run_shell_command", "opencode": "bash"}
MODES = [*product(ON_SCREEN, ("Structured", "Terminal")), ("opencode", "Structured")]
FAULTS: list[Object] = [
    {"error": {"status": 429, "retryAfterSeconds": 1}},
    {"error": {"status": 529}},
    {"close": 1},
]
NEVER: Object = {"say": "Never said."}
BUSY: Object = {"shell": f"for second in {' '.join(map(str, range(50)))}; do sleep 1; done"}
"""Without a substitution, which Gemini CLI does not run."""
TOLD = "Mind the leap years."
ENDED_BY_NO = {("codex", "Terminal"), ("gemini", "Terminal"), ("opencode", "Structured")}
"""Where a No ends the turn. The reason is the next prompt, but for OpenCode, which goes on in the next round."""


@dataclass(frozen=True)
class Story:
    """What the model says, and what the class says besides."""

    turns: list[list[Object]]
    spec: Object = field(default_factory=dict)


def stories_of(agent: str, mode: str) -> dict[str, Story]:
    """What one agent plays in one mode."""
    pushing: list[Object] = [{"shell": "touch begun.txt"}, {"shell": "git push || touch pushed"}]
    rest: list[Object] = [{"shell": "rm begun.txt"}, *HONEST]
    dying: list[Object] = [
        {"shell": "touch begun.txt"},
        {"shell": "echo half > half.txt; kill -9 $PPID; sleep 60"},
        NEVER,
    ]
    # Claude Code gives what it is told in mid-turn with a tool's outcome; to the model of the others it is a turn of its own.
    heard = HONEST if (agent, mode) == ("claude", "Structured") else [{"say": "I have waited."}]
    asking = {"name": "a-person", "tool": SHELL[agent], "pattern": "permitted", "permission": "Ask"}
    return {
        "honest": Story([HONEST]),
        "denied": Story([[*pushing, NEVER], rest] if (agent, mode) in ENDED_BY_NO else [[*pushing, *rest]]),
        "asked": Story(
            [[{"shell": "touch permitted.txt && rm permitted.txt"}, *HONEST]],
            {"approvals": {"rules": [asking]}},
        ),
        "told": Story([[BUSY, *heard], HONEST]),
        "killed": Story([dying, [{"shell": "rm half.txt begun.txt"}, *HONEST]]),
        "two-rounds": Story(turns_of("two_rounds.json")),
        "faults": Story([[*FAULTS, *HONEST], HONEST]),
        "hung": Story(
            [[{"shell": "touch begun.txt; rm begun.txt"}, {"hang": 1}, *HONEST], HONEST, HONEST],
            {"silences": {"hungAfter": "60s", "waitHungAfter": "90s", "resumes": 3}},
        ),
    }


class Cast(NamedTuple):
    """Who plays what."""

    agent: str
    mode: str
    story: str

    @property
    def name(self) -> str:
        return f"{self.agent}-{self.mode.lower()}-{self.story}"


LEFT_OUT = {Cast("gemini", "Terminal", name) for name in ("killed", "two-rounds", "faults")}
"""What does not work, or not always: docs/drivers.md."""
FORGETS = {Cast("gemini", "Structured", "faults"), Cast("codex", "Terminal", "faults")}
"""Who begins a new conversation after a turn that failed."""
ALL_BUT_THE_LONGEST = ("honest", "denied", "asked", "told", "killed", "two-rounds", "faults")
IS_WHOLE = bool(os.environ.get("E2E_EVERY_STORY"))
"""Else each agent plays all but the longest in messages, and the first ones on its screen."""


def is_played(cast: Cast) -> bool:
    if IS_WHOLE:
        return cast not in LEFT_OUT
    first = ("honest", "asked") if cast.mode == "Terminal" else ALL_BUT_THE_LONGEST
    return cast.agent in ON_SCREEN and cast.story in first


STORIES = {
    cast: story
    for agent, mode in MODES
    for name, story in stories_of(agent, mode).items()
    if is_played(cast := Cast(agent, mode, name))
}
TWO_ROUNDS = {cast for cast in STORIES if cast.story == "two-rounds"} | {
    Cast("opencode", "Structured", "denied")
}


def every(*stories: str) -> pytest.MarkDecorator:
    """Every agent in each mode, in these stories."""
    return pytest.mark.parametrize(
        "cast", [pytest.param(cast, id=cast.name) for cast in STORIES if not stories or cast.story in stories]
    )


def apply(kubectl: Kubectl, cast: Cast, image: str, server: Model, repository: str) -> None:
    agent_class = yaml.safe_load((EXAMPLES / f"{cast.agent}.yaml").read_text())
    agent_class["metadata"]["name"] = f"{cast.name}-{kubectl.namespace}"
    agent_class["spec"].update(image=image, mode=cast.mode, **STORIES[cast].spec)
    agent_class["spec"]["credentials"][0]["route"]["upstream"] = server.url
    task = yaml.safe_load((INPUTS / "leap-task.yaml").read_text())
    task["metadata"]["name"] = cast.name
    task["spec"]["limits"]["resources"] = {"cpu": "600m"}
    task["spec"]["agentClassName"] = agent_class["metadata"]["name"]
    task["spec"]["workspace"]["git"]["url"] = repository
    kubectl.apply(agent_class)
    kubectl.apply(task)


class Helper:
    """Answers agents that ask, and tells those something that are at work, by the command line, each until it is done."""

    def __init__(self, person: Person, models: Mapping[Cast, Model]) -> None:
        self._person, self._models = person, models
        self._done: set[str] = set()

    def look(self, statuses: Mapping[str, Object]) -> None:
        """Does what is to be done by now."""
        for cast in STORIES:
            status = statuses.get(cast.name, {})
            if cast.name in self._done or status.get("state") in (None, "Pending", "Starting"):
                continue
            if cast.story == "asked" and status.get("questions"):
                self._axiom(cast, "approve", cast.name, "--message", "go on")
            elif cast.story == "told" and any(item["items"] for item in self._models[cast].requests()):
                self._axiom(cast, "tell", cast.name, TOLD)

    def _axiom(self, cast: Cast, *words: str) -> None:
        """What does not get through is tried again."""
        if self._person.axiom(*words)[0] == 0:
            self._done.add(cast.name)


@pytest.fixture(scope="module")
def outcomes(
    cluster: Connection, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Cast, Outcome]]:
    folder, namespace, key = tmp_path_factory.mktemp("agents"), new_name(), f"sk-{secrets.token_hex(24)}"
    cli_images = {agent: build_cli_image(cluster, agent) for agent in {cast.agent for cast in STORIES}}
    address = cluster.machine_address
    assert make_leap_repository(folder / "served" / "leap.git") == REVISION
    (folder / "keys").mkdir()
    with ExitStack() as stack:
        git = stack.enter_context(serve_git(folder / "served", folder / "keys", address))
        models = {cast: stack.enter_context(playing(folder, cast, address, key)) for cast in STORIES}
        stack.enter_context(bucket(cluster, namespace))
        names = {
            agent: yaml.safe_load((EXAMPLES / f"{agent}.yaml").read_text())["spec"]["credentials"][0]["name"]
            for agent in {cast.agent for cast in STORIES}
        }
        values: dict[str, Any] = {
            **image_values(images, storage="unused:1"),
            "operator": {"fetchAlso": [f"{address}/32:{git.port}"], "fetchCa": git.authority},
            "egress": {"privateUpstreams": [address], "credentialSecrets": list(names.values())},
            "objectStorage": {"endpoint": cluster.s3.endpoint, "bucket": namespace, "secretName": "evidence"},
        }
        admin = stack.enter_context(release(cluster, values, namespace, dict.fromkeys(names.values(), key)))
        kubectl = stack.enter_context(
            team(cluster, lambda kubectl: [f"{cast.name}-{kubectl.namespace}" for cast in STORIES])
        )
        here = stack.enter_context(forwarded_gateway(admin))
        rule = "create agenttasks.axiom.dev/interventions"
        helper = Helper(Person(kubectl, here, folder, "person", rule), models)
        to_come = deque(sorted(STORIES, key=lambda cast: cast.story != "hung"))  # which takes longest
        begun: set[str] = set()

        def direct(statuses: Mapping[str, Object]) -> list[str]:
            helper.look(statuses)
            while to_come and sum(not is_complete(statuses.get(name, {})) for name in begun) < AT_ONCE:
                cast = to_come.popleft()
                apply(kubectl, cast, cli_images[cast.agent], models[cast], f"{git.url}/leap.git")
                begun.add(cast.name)
            return [cast.name for cast in to_come]

        statuses = wait_complete(kubectl, Witness(kubectl.api(), ()), LIMIT_SECONDS, direct)
        token, base = viewer_token(kubectl), f"{gateway_url(admin)}/v1/tasks/{kubectl.namespace}"
        yield {
            cast: Outcome(
                status=statuses[cast.name],
                events=read(f"{base}/{cast.name}/events", token),
                diff=read(f"{base}/{cast.name}/diff", token),
                recording=read(f"{base}/{cast.name}/recording", token),
                requests=models[cast].requests(),
            )
            for cast in STORIES
        }


def playing(folder: Path, cast: Cast, address: str, key: str) -> Any:
    script = folder / f"{cast.name}.json"
    script.write_text(json.dumps({"turns": STORIES[cast].turns}))
    return model(script, address, key, folder / f"{cast.name}.jsonl", watched_for=TOLD)


@every()
def test_every_story_ends_with_the_fix_and_a_pass(outcomes: dict[Cast, Outcome], cast: Cast) -> None:
    outcome = outcomes[cast]
    assert outcome.status["verdict"] == "Pass", (outcome.status, outcome.events[-4000:])
    assert (outcome.status["attempt"], outcome.status["round"]) == (1, 2 if cast in TWO_ROUNDS else 1)
    assert FIX in outcome.changed_lines
    assert outcome.status["claim"]["says"] == "Success"
    if cast not in FORGETS:
        assert len({request["conversation"] for request in outcome.requests if request["items"]}) == 1


@every("honest")
def test_the_ledger_says_what_was_done(outcomes: dict[Cast, Outcome], cast: Cast) -> None:
    outcome = outcomes[cast]
    calls = {item["id"] for item in outcome.payloads("tool_call")}
    assert calls
    assert {item["id"] for item in outcome.payloads("tool_return")} == calls
    [session] = outcome.payloads("session")
    assert (session["version"], session["warning"]) == (CLIS[cast.agent].version, "")
    if cast.agent != "opencode":  # which tells of a turn's last call alone
        assert outcome.payloads("usage")[-1]["total"]["input"] == outcome.status["usage"]["inputTokens"]
    [claim] = outcome.payloads("claim")
    written = {(one["kind"], one["subject"]) for one in claim["statements"]}
    assert ("FileWritten", "src/leap/years.py") in written


@every("honest")
def test_the_terminal_was_photographed(outcomes: dict[Cast, Outcome], cast: Cast) -> None:
    pictures = outcomes[cast].payloads("screenshot")
    assert pictures
    assert all(picture["width"] > 0 and picture["height"] > 0 for picture in pictures)
    if cast.mode == "Terminal":
        assert len({picture["digest"] for picture in pictures}) > 1


@every("denied")
def test_a_tool_that_the_class_denies_does_not_run(outcomes: dict[Cast, Outcome], cast: Cast) -> None:
    outcome = outcomes[cast]
    given = outcome.payloads("approval_given")
    assert [item["by"] for item in given if item["permission"] == "Deny"] == ["policy/no-push"]
    assert "pushed" not in outcome.diff
    assert NEVER["say"] not in str(outcome.payloads("assistant_msg"))


@every("asked")
def test_a_person_is_asked_and_allows_a_tool(outcomes: dict[Cast, Outcome], cast: Cast) -> None:
    outcome = outcomes[cast]
    assert outcome.status["assisted"]
    given = [item for item in outcome.payloads("approval_given") if item["by"].endswith(":person")]
    assert [(item["permission"], item["message"]) for item in given] == [("Allow", "go on")]
    assert "WaitingForApproval" in {item["state"]["activity"] for item in outcome.payloads("state")}


@every("told")
def test_what_a_person_says_in_mid_turn_reaches_the_model(outcomes: dict[Cast, Outcome], cast: Cast) -> None:
    outcome = outcomes[cast]
    assert outcome.status["assisted"]
    [told] = [item for item in outcome.payloads("user_msg") if item["by"]]
    assert told["text"] == TOLD
    assert len(outcome.payloads("agent_started")) == 1
    assert any(request["holds"] for request in outcome.requests)


@every("killed")
def test_a_killed_agent_goes_on_in_the_same_session(outcomes: dict[Cast, Outcome], cast: Cast) -> None:
    outcome = outcomes[cast]
    first, second = outcome.payloads("session")
    assert first["session"] == second["session"]
    [resumed] = outcome.payloads("resumed")
    assert (resumed["fresh"], resumed["why"]) == (False, "signal 9")
    assert [item["lost"] for item in outcome.payloads("tool_return")].count(True) == 1
    assert NEVER["say"] not in str(outcome.payloads("assistant_msg"))


@every("two-rounds")
def test_rounds_share_a_session_and_tokens_are_counted_once(
    outcomes: dict[Cast, Outcome], cast: Cast
) -> None:
    outcome = outcomes[cast]
    assert [item["verdict"] for item in outcome.status["rounds"]] == ["Fail", "Pass"]
    assert len({item["session"] for item in outcome.payloads("session")}) == 1
    usages = outcome.payloads("usage")
    assert sum(item["turn"]["input"] for item in usages) == usages[-1]["total"]["input"]
    assert "test_2000" in outcome.payloads("user_msg")[1]["text"]


@every("faults")
def test_a_model_that_refuses_and_hangs_up_is_asked_again(outcomes: dict[Cast, Outcome], cast: Cast) -> None:
    statuses = [request["status"] for request in outcomes[cast].requests]
    assert {429, 529} <= set(statuses)


@every("hung")
def test_a_model_that_hangs_ends_in_a_process_that_goes_on(outcomes: dict[Cast, Outcome], cast: Cast) -> None:
    outcome = outcomes[cast]
    assert "Hung" in {item["state"]["activity"] for item in outcome.payloads("state")}
    [resumed] = outcome.payloads("resumed")
    assert "silent for" in resumed["why"]
    assert len({item["session"] for item in outcome.payloads("session")}) == 1
