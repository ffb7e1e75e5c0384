"""One contract for every backend: the same tasks under bubblewrap, Docker and pods, by the same command line.

Every scenario is run once for each backend, some at a time, and then looked at from several sides: verdict, ledger,
what is left behind.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from e2e.cluster.waiting import wait_until
from e2e.support.docker_daemon import DockerDaemon, docker_daemon
from e2e.support.images import compile_agent
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.world import SMALL

pytestmark = pytest.mark.e2e

AGENTS = ("plain", "hostile")
AT_ONCE = 3
NOTHING = {"name": "nothing", "diff": {"requireChange": False}}
GREETING = {"name": "greeting", "files": {"expect": [{"path": "greeting.txt", "matches": "^hello\n$"}]}}
LIFE = [
    "sandbox_started", "launcher_connected", "isolation", "workspace", "task_declared", "user_msg",
    "agent_started", "terminal", "agent_exited", "claim", "captured", "closed",
]  # fmt: skip
"""Every ledger of an agent that does its work in one round, records of a kind that follow each other taken as one."""


@dataclass(frozen=True)
class Scenario:
    """A task, and what it must come to."""

    agent: str
    prompt: str
    criteria: tuple[Object, ...]
    exit_code: int
    verdict: str
    reason: str
    claim: str | None
    limits: Object = field(default_factory=dict)


SCENARIOS = {
    "honest": Scenario(
        "plain", "say working\nwrite greeting.txt hello\nexit 0", (GREETING,), 0, "Pass", "Passed", "Done"
    ),
    "idle-talk": Scenario("plain", "say all done\nexit 0", (GREETING,), 1, "Fail", "Failed", "Done"),
    "gives-up": Scenario("plain", "say no\nexit 3", (GREETING,), 1, "Fail", "Failed", "Failed"),
    "two-rounds": Scenario(
        "plain",
        "write out/one hello\nexit 0",
        ({"name": "two", "command": {"argv": ["/bin/false"]}},),
        1,
        "Fail",
        "Failed",
        "Done",
        {"maxRounds": 2},
    ),
    "flood": Scenario("hostile", "flood 96", (NOTHING,), 0, "Pass", "Passed", "Done"),
    "lingers": Scenario(
        "hostile", "linger", (NOTHING,), 1, "Fail", "DeadlineExceeded", None, {"deadline": "15s"}
    ),
    "silent": Scenario("hostile", "linger", (NOTHING,), 0, "Pass", "Passed", "Silent", {"idle": "3s"}),
    "fills": Scenario("hostile", "fill", (NOTHING,), 1, "Fail", "StorageExceeded", None),
    "forks": Scenario("hostile", "fork", (NOTHING,), 1, "Fail", "ProcessLimitExceeded", None),
}


@dataclass(frozen=True)
class Told:
    """What `axiom run` said, and the agent's ledger."""

    code: int
    body: Object
    errors: str
    records: list[Object]

    @property
    def shape(self) -> list[str]:
        return [event for event, _ in itertools.groupby(record["event"] for record in self.records)]

    def payloads(self, event: str) -> list[Object]:
        return [record["payload"] for record in self.records if record["event"] == event]


@dataclass
class Place:
    """Where tasks run: the rest is the same."""

    name: str
    folder: Path
    options: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    results: dict[str, Future[Told]] = field(default_factory=dict)

    def told(self, name: str) -> Told:
        """The result of a scenario. The first question starts them all."""
        if not self.results:
            pool = ThreadPoolExecutor(AT_ONCE)
            self.results = {each: pool.submit(self.run, each, SCENARIOS[each]) for each in SCENARIOS}
            pool.shutdown(wait=False)
        return self.results[name].result(timeout=300)

    def run(self, name: str, scenario: Scenario) -> Told:
        task = {
            "apiVersion": "axiom.dev/v1alpha1",
            "kind": "AgentTask",
            "metadata": {"name": name},
            "spec": {
                "agentClassName": self.class_name(scenario.agent),
                "prompt": scenario.prompt,
                "workspace": {"files": [{"path": "README.md", "content": "Say hello.\n"}]},
                "criteria": list(scenario.criteria),
                "limits": {"deadline": "5m", "maxRounds": 1, "resources": SMALL, **scenario.limits},
            },
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump_all([task, *self.classes()]))
        ended = subprocess.run(
            self.command(file),
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        body = json.loads(ended.stdout)
        return Told(ended.returncode, body, ended.stderr, self.records(name, body))

    def command(self, file: Path) -> list[str]:
        return [sys.executable, "-m", "axiom.cli.main", "run", str(file), "--json", *self.options]

    def class_name(self, agent: str) -> str:
        return agent

    def classes(self) -> list[Object]:
        """Documents that go with the task."""
        return []

    def records(self, name: str, body: Object) -> list[Object]:
        raise NotImplementedError

    def leftovers(self) -> list[str]:
        """What is still there of all runs."""
        raise NotImplementedError

    def agent_class(self, agent: str, command: str, **spec: Any) -> Object:
        return {
            "apiVersion": "axiom.dev/v1alpha1",
            "kind": "AgentClass",
            "metadata": {"name": self.class_name(agent)},
            "spec": {
                "command": [command, "$(AXIOM_PROMPT)"],
                "showCriteria": False,
                "ceilings": {"processes": 64},
                **spec,
            },
        }


@dataclass
class Here(Place):
    """This machine."""

    daemon: DockerDaemon | None = None
    agents: Path = Path()

    def classes(self) -> list[Object]:
        if self.daemon:
            return [self.agent_class(agent, "/agent", image=f"axiom.dev/{agent}:test") for agent in AGENTS]
        shown = {"readOnlyPaths": [str(self.agents)]}
        return [self.agent_class(agent, str(self.agents / agent), local=shown) for agent in AGENTS]

    def records(self, name: str, body: Object) -> list[Object]:
        if not body.get("ledger", {}).get("path"):
            return []
        shown = subprocess.run(
            [sys.executable, "-m", "axiom.cli.main", "ledger", "show", "--json", body["ledger"]["path"]],
            capture_output=True,
            check=True,
        )
        return [json.loads(line) for line in shown.stdout.splitlines()]

    def leftovers(self) -> list[str]:
        found = [str(path) for path in self.folder.glob("state/runs/*/scratch")]
        found += [str(path) for path in self.folder.glob("tmp/*")]
        found += [f"process {pid}" for pid in processes_of(str(self.folder))]
        found += [
            line for line in Path("/proc/self/mounts").read_text().splitlines() if str(self.folder) in line
        ]
        if self.daemon:
            found += self.daemon.containers()
        return found


@dataclass
class Cluster(Place):
    """Pods."""

    kubectl: Kubectl | None = None
    gateway_url: str = ""
    token: str = ""
    suffix: str = ""

    def class_name(self, agent: str) -> str:
        return f"{agent}-{self.suffix}"

    def records(self, name: str, body: Object) -> list[Object]:
        assert self.kubectl
        url = f"{self.gateway_url}/v1/tasks/{self.kubectl.namespace}/{name}/events"
        request = Request(url, headers={"Authorization": f"Bearer {self.token}"})
        with urlopen(request, timeout=60) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def leftovers(self) -> list[str]:
        assert self.kubectl
        return self.kubectl("get", "pods", "-o", "name").split()


def processes_of(text: str) -> list[int]:
    """Processes whose command line or environment holds this text."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if (
                process.name.isdigit()
                and text.encode() in (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agents")
    for agent in AGENTS:
        compile_agent(agent, folder / agent)
    return folder


@pytest.fixture(scope="module")
def daemon(agents: Path) -> Iterator[DockerDaemon]:
    with docker_daemon() as daemon:
        for agent in AGENTS:
            daemon.make_image(agent, {"agent": agents / agent})
        yield daemon


@pytest.fixture(scope="module")
def bubblewrap(agents: Path) -> Iterator[Here]:
    yield from here(agents, None)


@pytest.fixture(scope="module")
def docker(agents: Path, daemon: DockerDaemon) -> Iterator[Here]:
    yield from here(agents, daemon)


def here(agents: Path, daemon: DockerDaemon | None) -> Iterator[Here]:
    # Not below pytest's own folder: names of Unix sockets are short.
    folder = Path(tempfile.mkdtemp(prefix="axiom-e2e-"))
    (folder / "tmp").mkdir()
    name = "docker" if daemon else "bubblewrap"
    options = ("--backend", name, "--state", str(folder / "state"))
    environment = {"TMPDIR": str(folder / "tmp"), **({"DOCKER_HOST": daemon.address} if daemon else {})}
    yield Here(name, folder, options, environment, daemon=daemon, agents=agents)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def pods(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = request.getfixturevalue("cluster")
    images = {agent: request.getfixturevalue("agent_image")(agent) for agent in AGENTS}
    control_plane = request.getfixturevalue("control_plane")
    suffix = uuid.uuid4().hex[:8]
    kubectl = Kubectl(cluster, f"e2e-{suffix}")
    kubectl("create", "namespace", kubectl.namespace)
    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "role", "reader", "--verb=get", "--resource=agenttasks.axiom.dev")
    account = f"--serviceaccount={kubectl.namespace}:reader"
    kubectl("create", "rolebinding", "reader", "--role=reader", account)
    place = Cluster(
        "pods",
        tmp_path_factory.mktemp("pods"),
        ("--cluster", "--kubeconfig", cluster.kubeconfig, "--namespace", kubectl.namespace),
        kubectl=kubectl,
        gateway_url=control_plane.gateway_url,
        token=kubectl("create", "token", "reader").strip(),
        suffix=suffix,
    )
    for agent, image in images.items():
        kubectl.apply(place.agent_class(agent, "/agent", image=image))
    yield place
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")
    for agent in AGENTS:
        kubectl.run("delete", "agentclass", place.class_name(agent), "--ignore-not-found")


@pytest.fixture(params=["bubblewrap", "docker", "pods"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


# --- the contract -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_task_comes_to_the_same_verdict_everywhere(place: Place, name: str) -> None:
    wanted, told = SCENARIOS[name], place.told(name)
    assert (told.code, told.body["verdict"], told.body["reason"]) == (
        wanted.exit_code, wanted.verdict, wanted.reason,
    ), told.errors  # fmt: skip
    if wanted.claim:
        assert told.body["claim"]["says"] == wanted.claim
    assert told.body["rounds"] <= wanted.limits.get("maxRounds", 1)


def test_the_ledger_of_a_round_has_the_same_shape_everywhere(place: Place) -> None:
    told = place.told("honest")
    assert told.shape == LIFE
    assert [record["seq"] for record in told.records] == list(range(1, len(told.records) + 1))
    assert told.records[-1]["hash"] == told.body["ledger"]["head"]
    [isolation] = told.payloads("isolation")
    assert isolation["passed"]
    layers = {assertion["layer"] for assertion in isolation["assertions"]}
    common = {
        "container",
        "launcher",
        "pid_namespace",
        "read_only_root",
        "no_capabilities",
        "landlock",
        "seccomp",
    }
    assert layers >= common
    assert ("user_namespace" in layers) == (place.name != "docker")


def test_the_result_has_the_same_fields_everywhere(place: Place) -> None:
    body = place.told("honest").body
    assert list(body) == [
        "task", "verdict", "reason", "claim", "rounds", "criteria", "ledger", "diff", "workspace",
        "durationSeconds",
    ]  # fmt: skip
    assert [sorted(item) for item in body["criteria"]] == [
        ["enforcement", "message", "name", "type", "verdict"]
    ]
    assert body["ledger"]["path"]
    assert body["diff"]


def test_what_a_flood_loses_is_declared_everywhere(place: Place) -> None:
    [gap] = place.told("flood").payloads("gap")
    assert gap["what"] == "recording"
    assert gap["size"] > 0


def test_nothing_is_left_behind_anywhere(place: Place) -> None:
    for name in SCENARIOS:
        place.told(name)
    wait_until(
        "nothing to be left",
        lambda: "; ".join(place.leftovers())[:2000] or None,
        limit_seconds=60,
    )
