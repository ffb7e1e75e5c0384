"""One contract for every backend: the same tasks under bubblewrap, Docker and pods, by the same command line.

Every scenario is run once for each backend, some at a time, and then looked at from several sides: verdict, ledger,
what is left behind.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from axiom.backends.contract import SandboxSpec
from axiom.backends.docker import DockerBackend
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.launching import Network
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
    "agent_started", "terminal", "agent_exited", "claim", "captured", "checkpoint",
    "closed",
]  # fmt: skip
"""Every ledger of an agent that does its work in one round, records of a kind that follow each other taken as one."""

BESIDE = {"files_changed", "screenshot"}
"""Told as they come, wherever the round is by then."""


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
        "plain", "say working\nwrite greeting.txt hello\nexit 0", (GREETING,), 0, "Pass", "Passed", "Success"
    ),
    "two-rounds": Scenario(
        "plain",
        "write out/one hello\nexit 0",
        ({"name": "two", "command": {"argv": ["/bin/false"]}},),
        1,
        "Fail",
        "Failed",
        "Success",
        {"maxRounds": 2},
    ),
    "flood": Scenario("hostile", "flood 72", (NOTHING,), 0, "Pass", "Passed", "Success"),
    "lingers": Scenario(
        "hostile", "linger", (NOTHING,), 1, "Fail", "DeadlineExceeded", None, {"deadline": "15s"}
    ),
    "fills": Scenario("hostile", "fill", (NOTHING,), 1, "Fail", "StorageExceeded", None),
    "forks": Scenario("hostile", "fork", (NOTHING,), 1, "Fail", "ProcessLimitExceeded", None),
}


@dataclass
class Told:
    """What `axiom run` said, and the agent's ledger."""

    code: int
    body: Object
    errors: str
    read: Callable[[], list[Object]]

    @cached_property
    def records(self) -> list[Object]:
        return self.read()

    @property
    def shape(self) -> list[str]:
        events = (record["event"] for record in self.records if record["event"] not in BESIDE)
        return [event for event, _ in itertools.groupby(events)]

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
        return self.results[name].result(timeout=600)

    def run(
        self,
        name: str,
        scenario: Scenario,
        classes: list[Object] | None = None,
        environment: dict[str, str] | None = None,
        **spec: Any,
    ) -> Told:
        ended = subprocess.run(
            self.command(self.write(name, scenario, classes, **spec)),
            env={**self.full_environment(), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=420,
            check=False,
        )
        body = json.loads(ended.stdout)
        return Told(ended.returncode, body, ended.stderr, lambda: self.records(name, body))

    def full_environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def write(
        self,
        name: str,
        scenario: Scenario,
        classes: list[Object] | None = None,
        **spec: Any,
    ) -> Path:
        """The file that the command is given."""
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
                **spec,
            },
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump_all([task, *(self.classes() if classes is None else classes)]))
        return file

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
        shown = subprocess.run(
            [sys.executable, "-m", "axiom.cli.main", "ledger", "show", "--json", body["ledger"]["path"]],
            capture_output=True,
            check=True,
        )
        return [json.loads(line) for line in shown.stdout.splitlines()]

    def running(self) -> list[str]:
        """Containers that run."""
        return [item.name for item in self.daemon.client.containers.list()] if self.daemon else []

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
    kubectl.create_namespace()
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
    assert told.payloads("screenshot")
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
        "task", "verdict", "reason", "claim", "assisted", "rounds", "criteria", "ledger", "diff", "workspace",
        "agent", "usage", "durationSeconds",
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
        limit_seconds=120,
    )


# --- this machine's two ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["bubblewrap", "docker"])
def local(request: pytest.FixtureRequest) -> Here:
    found: Here = request.getfixturevalue(request.param)
    return found


def test_a_run_that_is_killed_leaves_no_process_and_the_next_removes_the_rest(local: Here) -> None:
    waiting = Scenario("plain", "say begun\nawait never", (NOTHING,), 0, "Pass", "Passed", None)
    state = local.folder / "killed"
    file = local.write("killed", waiting)
    command = [*local.command(file), "--state", str(state)]
    with subprocess.Popen(
        command, env=local.full_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        wait_until(
            "the agent to work",
            lambda: None if any(state.glob("runs/*/scratch/1-agent/state/fed-1")) else "not yet",
            limit_seconds=180,
        )
        run.kill()
    wait_until(
        "its processes to end",
        lambda: f"{processes_of(str(state))} live" if processes_of(str(state)) or local.running() else None,
        limit_seconds=120,
    )

    again = subprocess.run(
        [*local.command(local.write("again", SCENARIOS["honest"])), "--state", str(state)],
        env=local.full_environment(), capture_output=True, text=True, timeout=420, check=False,
    )  # fmt: skip

    assert again.returncode == 0, again.stderr
    assert "removed what a killed run had left" in again.stderr
    assert list(state.glob("runs/*/scratch")) == []
    wait_until("nothing to be left", lambda: "; ".join(local.leftovers()) or None, limit_seconds=120)


@pytest.fixture
def vendor() -> Iterator[tuple[str, list[str]]]:
    """A vendor's API on loopback: its address, and the keys that it was shown."""
    keys: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"pong")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", keys
        server.shutdown()
        serving.join()


def test_the_egress_proxy_is_the_only_way_out_and_puts_the_key_in(
    local: Here, vendor: tuple[str, list[str]]
) -> None:
    upstream, keys = vendor
    answered = {"name": "answer", "files": {"expect": [{"path": "answer", "matches": "^200 OK pong"}]}}
    closed = {"name": "closed", "files": {"expect": [{"path": "closed/vendor"}]}}
    prompt = f"reach vendor {upstream.removeprefix('http://')}\ncall v1\nexit 0"
    scenario = Scenario("plain", prompt, (answered, closed), 0, "Pass", "Passed", "Success")
    route = {"prefix": "/model", "upstream": upstream}
    classes = [
        {**item, "spec": {
            **item["spec"],
            "network": "Strict",
            "credentials": [{"name": "key", "secretRef": {"name": "s", "key": "k"}, "route": route}],
            "env": [
                {"name": "MODEL_URL", "value": "$(AXIOM_PROXY_URL)/model"},
                {"name": "MODEL_KEY", "value": "$(AXIOM_TOKEN)"},
            ],
        }}
        for item in local.classes()
    ]  # fmt: skip
    told = local.run("egress", scenario, classes, {"AXIOM_CREDENTIAL_KEY": "sk-real"})
    assert told.code == 0, (told.body, told.errors)
    assert keys == ["Bearer sk-real"]
    assert "sk-real" not in json.dumps(told.records)


def test_an_image_that_is_not_to_be_had_is_told_with_the_cure(docker: Here) -> None:
    classes = [
        {**item, "spec": {**item["spec"], "image": "registry.invalid/no/agent:1"}}
        for item in docker.classes()
    ]
    told = docker.run("missing", SCENARIOS["honest"], classes)
    assert told.code == 4
    assert "registry.invalid/no/agent:1" in told.body["error"]["message"]
    assert "docker load" in told.body["error"]["message"]


def test_a_class_without_an_image_runs_on_this_machines_system(docker: Here) -> None:
    """The tests of the criterion run in the clean room that is made of this machine, too."""
    test = "from pathlib import Path\n\n\ndef test_it():\n    assert Path('out').read_text() == 'done\\n'\n"
    task = {"path": "tests/test_it.py", "content": test}
    criterion = {"name": "tests", "tests": {"runner": "Pytest", "failToPass": ["tests/test_it.py::test_it"]}}
    shell = docker.agent_class("plain", "/bin/sh")
    shell["spec"]["command"] = ["/bin/sh", "-euc", "$(AXIOM_PROMPT)"]
    scenario = Scenario("plain", "id -u; echo done > out", (criterion,), 0, "Pass", "Passed", "Success")
    told = docker.run("shell", scenario, [shell], workspace={"files": [task]})
    assert told.code == 0, (told.body, told.errors)


def test_auto_takes_docker_for_an_agent_that_is_in_its_image_alone_and_the_tasks_image_is_the_clean_room(
    docker: Here,
) -> None:
    """The clean room's image holds nothing but the agent, so only there the agent's program can be the criterion."""
    options = tuple(option for option in docker.options if option not in ("--backend", "docker"))
    criterion = {"name": "there", "command": {"argv": ["/agent", "exit 0"]}}
    scenario = Scenario("plain", "write out done\nexit 0", (criterion,), 0, "Pass", "Passed", "Success")
    place = replace(docker, options=options, results={})
    told = place.run("room", scenario, verification={"image": "axiom.dev/plain:test"})
    assert told.code == 0, (told.body, told.errors)
    [isolation] = told.payloads("isolation")
    assert not any(item["layer"] == "user_namespace" for item in isolation["assertions"])


def test_a_container_that_somebody_kills_costs_an_attempt(docker: Here, daemon: DockerDaemon) -> None:
    waiting = Scenario(
        "plain", "say begun\nawait go\nwrite greeting.txt hello", (GREETING,), 0, "Pass", "Passed", None
    )
    state = docker.folder / "lost"
    command = [*docker.command(docker.write("lost", waiting)), "--state", str(state)]
    with subprocess.Popen(
        command, env=docker.full_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        for attempt in (1, 2):
            wait_until(
                f"the agent of attempt {attempt} to work",
                lambda attempt=attempt: (
                    None if any(state.glob(f"runs/*/scratch/{attempt}-agent/state/fed-1")) else "not yet"
                ),  # type: ignore[misc]
                limit_seconds=180,
            )
            if attempt == 1:
                [container] = daemon.client.containers.list()
                container.kill()
        [workspace] = state.glob("runs/*/scratch/2-agent/workspace")
        (workspace / "go").touch()
        out, errors = run.communicate(timeout=300)
    body = json.loads(out)
    assert body["verdict"] == "Pass", errors
    assert "/attempts/2/agent" in body["ledger"]["path"]
    assert "the container ended with code 137" in errors


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"read_only": False}, "read_only_root.mounted-read-only"),
        ({"cap_drop": [], "cap_add": ["SYS_ADMIN"]}, "no_capabilities.bounding-empty"),
        ({"pid_mode": "host"}, "pid_namespace.launcher-is-first"),
        ({"user": "0:0"}, "no_capabilities.not-root"),
    ],
    ids=["writable root", "capabilities", "machine's processes", "root"],
)
async def test_a_container_that_lacks_a_layer_never_gets_its_agent(
    daemon: DockerDaemon, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], found: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.address)
    backend = DockerBackend()
    identity = Identity(namespace="n", task="weak", task_id=str(uuid.uuid4()), attempt=1, role=Role.AGENT)
    spec = SandboxSpec(identity, Network.STRICT, 64, 2**28, image="axiom.dev/plain:test")
    with tempfile.TemporaryDirectory(prefix="axiom-e2e-") as folder:
        box = backend.sandbox(spec, Path(folder), lambda: None)
        whole = box.container
        monkeypatch.setattr(box, "container", lambda launcher: {**whole(launcher), **change})
        try:
            await box.start()
            async with asyncio.timeout(180), box.attach() as channel:
                state = await channel.state()
                while state.isolation is None and state.failure is None:
                    state = await channel.state(since=state.revision)
        finally:
            await box.stop()
            await backend.close()
    assert state.isolation is not None, state.failure
    assert not state.isolation.passed
    assert found in state.isolation.failed
    assert box.name not in daemon.containers()
