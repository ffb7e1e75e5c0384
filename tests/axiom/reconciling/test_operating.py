"""The whole operator against a small API server and scripted trusted sides: observe, plan, apply, and what may go wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kopf
import pytest
from tests.fakes.api_server import FakeApiServer, fake_api_server
from tests.fakes.trusted_side import FakeTrustedSide, fake_trusted_side

import axiom.reconciling.reconciler as reconciler_module
from axiom.channel import Channel
from axiom.clocks import SteadyClock
from axiom.cluster.api import Api
from axiom.cluster.resources import Object, uid_of
from axiom.cluster.watching import Cache
from axiom.egress.tokens import read as read_token
from axiom.reconciling.lease import LeaseSettings
from axiom.reconciling.metrics import Metrics
from axiom.reconciling.serving import Operator
from axiom.reconciling.settings import OperatorSettings
from axiom_sandbox.protocol.channel import Failure, FailureReason, Isolation, LedgerHead, Phase, StartAgent
from axiom_sandbox.protocol.identity import Identity, Role

KEY = "k" * 40
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
CLASS: dict[str, Any] = {
    "apiVersion": "axiom.dev/v1alpha1",
    "kind": "AgentClass",
    "metadata": {"name": "plain"},
    "spec": {
        "image": "agent:1",
        "command": ["/agent", "$(AXIOM_PROMPT)"],
        "credentials": [
            {
                "name": "openai",
                "secretRef": {"name": "s", "key": "k"},
                "route": {"prefix": "/openai", "upstream": "https://api.example"},
            }
        ],
    },
}
TASK: dict[str, Any] = {
    "apiVersion": "axiom.dev/v1alpha1",
    "kind": "AgentTask",
    "metadata": {"name": "t", "namespace": "ns"},
    "spec": {
        "agentClassName": "plain",
        "prompt": "do",
        "criteria": [{"name": "f", "files": {"expect": [{"path": "x"}]}}],
        "limits": {"deadline": "5m"},
    },
}


@dataclass
class World:
    """An operator without its watches: what the server holds is put into its caches by `look`."""

    server: FakeApiServer
    operator: Operator
    metrics: Metrics
    stack: AsyncExitStack
    folder: Path
    sides: dict[str, FakeTrustedSide]
    told: list[str]

    def look(self) -> None:
        """What the watches would bring."""
        for cache in (self.operator.classes, self.operator.profiles, self.operator.tasks, self.operator.pods):
            _sync(cache, self.server)

    async def until(self, is_so: Callable[[], Any], what: str = "") -> Any:
        """Looks until something holds; the server's content arrives meanwhile."""
        async with asyncio.timeout(60):
            while not (found := is_so()):
                self.look()
                await asyncio.sleep(0.005)
        return found

    @property
    def task(self) -> Object:
        """The task as the server holds it."""
        found = self.server.get("agenttasks", "ns", "t")
        assert found is not None
        return found

    def condition(self, kind: str) -> Object:
        """One of its conditions."""
        conditions = self.task.get("status", {}).get("conditions", [])
        return next((item for item in conditions if item["type"] == kind), {})

    async def until_reason(self, kind: str, reason: str) -> Object:
        """Until a condition has this reason."""
        await self.until(lambda: self.condition(kind).get("reason") == reason)
        return self.condition(kind)

    async def pod(self, number: int = 1) -> Object:
        """The only pods there are, once there are so many; the last of them."""
        await self.until(lambda: len(self.server.all("pods")) == number)
        return self.server.all("pods")[-1]

    async def bring_up(self, pod: Object, phase: Phase) -> FakeTrustedSide:
        """The pod runs, and its trusted side answers."""
        labels = pod["metadata"]["labels"]
        identity = Identity(
            namespace="ns",
            task="t",
            task_id=uid_of(self.task),
            attempt=int(labels["axiom.dev/attempt"]),
            role=Role(labels["axiom.dev/role"]),
            round=int(labels["axiom.dev/round"]),
            trial=int(labels["axiom.dev/trial"]),
        )
        folder = self.folder / uuid.uuid4().hex[:6]
        folder.mkdir()
        side = await self.stack.enter_async_context(fake_trusted_side(folder, identity, phase))
        self.sides[uid_of(pod)] = side
        told = {"name": "certificate", "state": {"terminated": {"exitCode": 0, "message": CERTIFICATE}}}
        self.server.change(
            "pods", "ns", pod["metadata"]["name"],
            status={"phase": "Running", "podIP": "10.0.0.9", "containerStatuses": [told]},
        )  # fmt: skip
        return side


def _sync(cache: Cache, server: FakeApiServer) -> None:
    cache.sync(server.all(cache.resource.plural), cache.uids)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(reconciler_module, "_FIRST_PAUSE", 0.01)
    (tmp_path / "ca.crt").write_text("CA")
    (tmp_path / "keys").write_text(KEY)
    settings = OperatorSettings(
        namespace="axiom",
        lease=LeaseSettings("axiom", "axiom-operator", "me"),
        channel_tls=tmp_path,
        token_keys=tmp_path / "keys",
        supervisor_image="sandbox:1",
        verifier_image="verifier:1",
        egress=("10.96.0.5", 8788),
        network_policies=False,
    )
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(fake_api_server())
        metrics = Metrics()
        login = kopf.ConnectionInfo(server=server.url)
        api = await stack.enter_async_context(Api("test", lambda: login, metrics.count_write))
        sides: dict[str, FakeTrustedSide] = {}

        def connect(pod: Object) -> Channel:
            side = sides.get(uid_of(pod))
            return side.channel() if side else Channel.over_unix(tmp_path / "nobody")

        operator = Operator(api, settings, metrics, connect, SteadyClock())
        narrating = asyncio.create_task(operator.narrator.run())
        stack.callback(narrating.cancel)
        stack.push_async_callback(operator.close)
        operator.reconciler.open()
        yield World(server, operator, metrics, stack, tmp_path, sides, [])


async def test_a_task_gets_its_attempt_before_its_pod_and_its_pod_once(world: World) -> None:
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", TASK)

    pod = await world.pod()

    methods = [
        (method, path.rpartition("/")[2]) for method, path, _ in world.server.requests if "events" not in path
    ]
    assert methods[:2] == [("PUT", "status"), ("POST", "pods")]
    assert world.task["status"]["attempt"] == 1
    assert pod["metadata"]["ownerReferences"][0]["uid"] == uid_of(world.task)
    assert pod["spec"]["hostAliases"][0]["ip"] == "10.96.0.5"


async def test_a_pod_that_is_there_already_is_success(world: World) -> None:
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", TASK)
    pod = await world.pod()
    world.operator.pods._items.clear()
    world.operator.sandboxes.forget_task(uid_of(world.task))

    world.operator.reconciler.wake(uid_of(world.task))

    async with asyncio.timeout(60):
        while world.operator.pods.get(uid_of(pod)) is None:
            await asyncio.sleep(0.005)
    assert len(world.server.all("pods")) == 1


async def test_the_token_is_put_in_for_the_pods_address_and_never_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", TASK)
    side = await world.bring_up(await world.pod(), Phase.READY)

    await world.until(lambda: side.commands)

    envelope = side.commands[0]
    command = envelope.command
    assert isinstance(command, StartAgent)
    grant = read_token([KEY.encode()], command.token, time.time())
    assert (grant.address, grant.attempt, grant.agent_class) == ("10.0.0.9", 1, "plain")
    assert grant.expires > time.time() + 6 * 3600, "a proxy whose clock is an hour ahead takes it, too"
    assert abs(envelope.sent_ms / 1000 - time.time()) < 60
    assert grant.task_id == uid_of(world.task)
    assert command.token not in caplog.text
    assert "axm1." not in str(world.server.requests)
    assert world.condition("Running")["reason"] == "AgentRunning"


async def test_a_status_that_somebody_changed_is_observed_again_not_overwritten(world: World) -> None:
    world.server.add("agentclasses", CLASS)
    world.server.refuse("PUT", "/status", 409, "Conflict", "the object has been modified", times=2)
    world.server.add("agenttasks", TASK)

    await world.pod()

    assert len(world.server.writes("PUT", "agenttasks")) == 3
    assert 'kind="ConflictError"} 2.0' in world.metrics.render().decode()


async def test_a_missing_class_is_told_and_waited_for(world: World) -> None:
    world.server.add("agenttasks", TASK)
    found = await world.until_reason("Accepted", "ClassNotFound")
    assert "'plain'" in found["message"]
    assert world.server.all("pods") == []

    world.server.add("agentclasses", CLASS)

    await world.pod()


async def test_a_missing_profile_is_waited_for_and_counts_as_it_was_when_the_task_was_accepted(
    world: World,
) -> None:
    world.server.add("agentclasses", CLASS)
    spec = {**TASK["spec"], "verification": {"profiles": ["common"]}}
    world.server.add("agenttasks", {**TASK, "spec": spec})
    found = await world.until_reason("Accepted", "ProfileInvalid")
    assert "no VerificationProfile 'common'" in found["message"]
    assert world.server.all("pods") == []

    profile = {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "VerificationProfile",
        "metadata": {"name": "common", "namespace": TASK["metadata"]["namespace"]},
        "spec": {"criteria": [{"name": "changed", "diff": {}}]},
    }
    world.server.add(
        "verificationprofiles", {**profile, "metadata": {"name": "common", "namespace": "other"}}
    )
    world.server.add("verificationprofiles", profile)
    await world.pod()
    kept = world.task["status"]["profileCriteria"]
    assert json.loads(kept) == [{"name": "changed", "diff": {}}]

    world.server.change(
        "verificationprofiles", TASK["metadata"]["namespace"], "common", spec={"criteria": []}
    )
    world.look()
    assert world.task["status"]["profileCriteria"] == kept


async def test_a_refused_pod_is_told_and_tried_again_when_the_class_changes(world: World) -> None:
    world.server.add("agentclasses", CLASS)
    world.server.refuse("POST", "/pods", 403, "Forbidden", "exceeded quota: compute", times=2)
    world.server.add("agenttasks", TASK)
    found = await world.until_reason("SandboxReady", "CreationRefused")
    assert "exceeded quota" in found["message"]
    assert len(world.server.writes("POST", "pods")) == 1

    world.server.change("agentclasses", "", "plain", mark=1)
    await world.until(lambda: len(world.server.writes("POST", "pods")) == 2)
    world.server.change("agentclasses", "", "plain", mark=2)

    await world.pod()


async def test_an_image_that_cannot_be_pulled_is_replaced_when_the_class_names_another(world: World) -> None:
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", TASK)
    pod = await world.pod()
    waits = {
        "name": "agent",
        "image": "agent:1",
        "state": {"waiting": {"reason": "ErrImagePull", "message": "x"}},
    }
    world.server.change(
        "pods", "ns", pod["metadata"]["name"], status={"phase": "Pending", "containerStatuses": [waits]}
    )
    await world.until_reason("SandboxReady", "ImagePullFailed")

    world.server.change("agentclasses", "", "plain", spec={**CLASS["spec"], "image": "agent:2"})

    await world.until(lambda: world.task["status"]["attempt"] == 2)
    await world.until(
        lambda: [p["metadata"]["labels"]["axiom.dev/attempt"] for p in world.server.all("pods")] == ["2"]
    )
    assert world.task["status"].get("lostAttempts", 0) == 0


async def test_a_pod_that_goes_is_followed_by_another_attempt(world: World) -> None:
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", TASK)
    pod = await world.pod()
    side = await world.bring_up(pod, Phase.READY)
    await world.until(lambda: side.commands)

    world.server.remove("pods", "ns", pod["metadata"]["name"])

    await world.until(lambda: world.task["status"]["attempt"] == 2)
    assert world.task["status"]["lostAttempts"] == 1
    await world.until(lambda: world.server.all("pods"))


async def test_a_failure_ends_the_task_and_all_its_pods_in_one_request(world: World) -> None:
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", TASK)
    side = await world.bring_up(await world.pod(), Phase.STARTING)
    side.update(
        phase=Phase.FAILED,
        isolation=Isolation(passed=False, failed=("raw-socket",)),
        failure=Failure(reason=FailureReason.ISOLATION_FAILED, message="raw-socket"),
        ledger=LedgerHead(records=3, head="h", segments=1, sealed=1, closed=True),
    )

    await world.until_reason("Complete", "IsolationFailed")

    await world.until(lambda: world.server.all("pods") == [])
    assert 'reason="IsolationFailed",verdict="None"} 1.0' in world.metrics.render().decode()
    events = await world.until(
        lambda: [e for e in world.server.all("events") if e["reason"] == "IsolationFailed"]
    )
    assert events[-1]["involvedObject"]["name"] == "t"
    assert events[-1]["type"] == "Warning"


async def test_a_pod_whose_state_was_never_asked_for_is_not_judged(world: World) -> None:
    """After a restart: the status alone must not lead to an outcome while the sandbox may have more to tell."""
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", TASK)
    pod = await world.pod()
    side = await world.bring_up(pod, Phase.READY)
    world.operator.sandboxes.forget_task(uid_of(world.task))
    world.operator.sandboxes.see(side.state.identity, world.server.all("pods")[0])
    assert world.operator.sandboxes.views(uid_of(world.task)) is None
    await world.until(lambda: world.operator.sandboxes.views(uid_of(world.task)))


async def test_errors_are_told_after_a_while_and_end_by_themselves(world: World) -> None:
    world.server.add("agentclasses", CLASS)
    world.server.refuse("PUT", "/status", 503, "", "etcd is away", times=4)
    world.server.add("agenttasks", TASK)

    await world.pod()

    events = await world.until(
        lambda: [e for e in world.server.all("events") if e["reason"] == "ReconcileFailed"]
    )
    assert "etcd is away" in events[0]["message"]


async def test_suspension_deletes_the_pod_and_resumption_is_no_loss(world: World) -> None:
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", TASK)
    side = await world.bring_up(await world.pod(), Phase.READY)
    await world.until(lambda: side.commands)

    world.server.change("agenttasks", "ns", "t", spec={**TASK["spec"], "suspend": True})
    await world.until_reason("Running", "Suspended")
    assert world.server.all("pods") == []
    world.server.change("agenttasks", "ns", "t", spec=TASK["spec"])

    await world.until(lambda: world.task["status"]["attempt"] == 2)
    assert world.task["status"].get("lostAttempts", 0) == 0


def _with_checkpoint(namespace: str) -> dict[str, Any]:
    kept = {
        "number": 1, "attempt": 1, "round": 1, "turnOver": True, "reason": "Turn", "size": 1,
        "time": "2026-01-01T00:00:00.000Z", "digest": "c" * 64,
    }  # fmt: skip
    status = {"attempt": 1, "checkpoints": [kept], "workspace": {"digest": "b" * 64}}
    return {**TASK, "metadata": {"name": "other", "namespace": namespace}, "status": status}


async def test_a_task_is_forked_from_its_own_namespaces_checkpoint_alone(world: World) -> None:
    fork = {**TASK, "spec": {**TASK["spec"], "workspace": {"checkpoint": {"task": "other"}}}}
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", _with_checkpoint("elsewhere"))
    world.server.add("agenttasks", fork)
    told = await world.until_reason("Accepted", "WaitingForTask")
    assert "there is no AgentTask 'other' in this namespace" in told["message"]
    assert not [pod for pod in world.server.all("pods") if pod["metadata"]["namespace"] == "ns"]

    mine = {**_with_checkpoint("ns"), "spec": {**TASK["spec"], "suspend": True}}
    world.server.add("agenttasks", mine)
    await world.until(lambda: world.task["status"].get("forkedFrom"))
    pod = await world.until(
        lambda: [
            one for one in world.server.all("pods") if one["metadata"]["labels"]["axiom.dev/task"] == "t"
        ]
    )
    settings = str(pod[0]["spec"]["initContainers"][0]["env"])
    assert f'"checkpoint":"{"c" * 64}"' in settings


async def test_a_request_for_a_checkpoint_reaches_the_sandbox_once(world: World) -> None:
    asked = {**TASK, "metadata": {**TASK["metadata"], "annotations": {"axiom.dev/checkpoint": "now"}}}
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", asked)
    side = await world.bring_up(await world.pod(), Phase.READY)
    await world.until(lambda: side.commands)
    side.update(phase=Phase.RUNNING, round=1)
    await world.until(lambda: [one for one in side.commands if one.command.kind == "TakeCheckpoint"])
    side.update(checkpoint_request="now")
    await world.until(lambda: world.condition("Running").get("status") == "True")
    keys = {one.key for one in side.commands if one.command.kind == "TakeCheckpoint"}
    assert len(keys) == 1


async def test_a_task_whose_retention_is_over_is_deleted(world: World) -> None:
    done = {
        "type": "Complete", "status": "True", "reason": "Passed", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    status = {
        "attempt": 1,
        "completionTime": "2026-01-01T00:00:00.000Z",
        "conditions": [done],
        "state": "Complete",
    }
    spec = {**TASK["spec"], "retention": {"ttlAfterComplete": "1h"}}
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", {**TASK, "spec": spec, "status": status})

    await world.until(lambda: world.server.get("agenttasks", "ns", "t") is None)


async def test_a_task_that_is_gone_is_forgotten(world: World) -> None:
    world.server.add("agentclasses", CLASS)
    world.server.add("agenttasks", TASK)
    await world.pod()
    task_id = uid_of(world.task)
    world.server.remove("agenttasks", "ns", "t")
    world.look()
    assert world.operator.sandboxes.views(task_id) == ()
    assert list(world.operator.tasks) == []
