"""One real pod: launcher and supervisor as on one machine, under a kubelet, with an image that holds nothing but the agent."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from axiom.api.agentclass import AgentClassSpec
from axiom.channel import Channel, ChannelError, pod_context
from axiom.manifests.pods import CHANNEL_PORT, SUPERVISOR, UNTRUSTED
from axiom_sandbox.ledger.checking import verify
from axiom_sandbox.protocol.channel import Phase, SandboxState, Stop, Verify
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.verdicts import Saying, Verdict
from axiom_sandbox.snapshots.archives import read_tree
from axiom_sandbox.snapshots.captures import capture
from e2e.support.authority import Authority, make_authority
from e2e.support.images import Images
from e2e.support.kubernetes import Kubectl
from e2e.support.sandboxes import (
    COMMAND,
    SandboxPod,
    SandboxPods,
    base_archive,
    give,
    reached,
    seal,
    start_agent,
)

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("pod_network")]

GRACE_SECONDS = 30
FEWEST_ASSERTIONS = 60


@pytest.fixture
def pods(
    restricted_kubectl: Kubectl,
    images: Images,
    authority: Authority,
    agent_image: Callable[[str], str],
) -> SandboxPods:
    """In a namespace that enforces Pod Security `restricted`."""
    agent_class = AgentClassSpec(image=agent_image("plain"), command=list(COMMAND))
    return SandboxPods.of(restricted_kubectl, images, authority, agent_class)


async def lines_of(channel: Channel) -> list[bytes]:
    return [line async for line in channel.events()]


def events(lines: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def named(lines: list[bytes], name: str) -> list[dict[str, Any]]:
    return [event["payload"] for event in events(lines) if event["event"] == name]


async def stopped(channel: Channel) -> tuple[SandboxState, list[bytes]]:
    """Stops the sandbox, checks its ledger against the head that it gave, and confirms everything."""
    await give(channel, Stop(reason="the test is over"))
    state = await reached(channel, lambda state: state.phase is Phase.STOPPED)
    lines = await lines_of(channel)
    findings = verify(lines, state.ledger.head)
    assert findings.intact, findings.broken
    assert findings.records == state.ledger.records == len(lines)
    await seal(channel, state)
    return state, lines


async def ready(pod: SandboxPod, channel: Channel, tmp_path: Path) -> SandboxState:
    """Waits for the probe and pushes a workspace of one file."""
    await reached(channel, lambda state: state.phase is Phase.WAITING_FOR_WORKSPACE)
    archive, info = base_archive(tmp_path, {"README.md": "hello\n"})
    await channel.put_workspace(archive, info.digest)
    return await reached(channel, lambda state: state.phase is Phase.READY)


async def changed_files(channel: Channel, state: SandboxState, tmp_path: Path) -> str:
    diff = next(blob for blob in state.blobs if blob.name == "diff-1")
    await channel.fetch_blob(diff.digest, tmp_path / "diff.patch")
    return (tmp_path / "diff.patch").read_text()


async def test_an_agent_without_python_or_shell_does_its_round(pods: SandboxPods, tmp_path: Path) -> None:
    pod = pods.create()
    async with pod.attach() as channel:
        state = await ready(pod, channel, tmp_path)
        assert state.isolation
        assert state.isolation.passed
        assert state.isolation.assertions >= FEWEST_ASSERTIONS
        await give(channel, start_agent("say working\nwrite out/result.txt done"))
        state = await reached(channel, lambda state: state.phase is Phase.ROUND_ENDED)
        assert state.first_output_ms
        assert state.rounds[0].claim.says is Saying.SUCCESS
        assert "working" in state.rounds[0].claim.text
        assert "+done" in await changed_files(channel, state, tmp_path)
        _, lines = await stopped(channel)
    (probe,) = named(lines, "isolation")
    layers = {assertion["layer"] for assertion in probe["assertions"]}
    assert layers >= {"user_namespace", "read_only_root", "no_capabilities", "landlock", "seccomp", "network"}
    assert pod.delete() < GRACE_SECONDS / 2


async def test_a_pod_that_is_deleted_in_the_middle_ends_in_order(pods: SandboxPods, tmp_path: Path) -> None:
    pod = pods.create()
    async with pod.attach() as channel:
        await ready(pod, channel, tmp_path)
        await give(channel, start_agent("say working\nawait never"))
        await reached(channel, lambda state: state.first_output_ms is not None)
        pod.kubectl("delete", "pod", pod.name, "--wait=false")
        state = await reached(channel, lambda state: state.phase is Phase.STOPPED)
        lines = await lines_of(channel)
        assert verify(lines, state.ledger.head).intact
        await seal(channel, state)
    begun = time.monotonic()
    pod.delete()
    assert time.monotonic() - begun < GRACE_SECONDS / 2


async def test_only_clients_of_the_control_plane_are_answered(pods: SandboxPods, tmp_path: Path) -> None:
    pod = pods.create()
    async with pod.attach() as channel:
        await channel.state(timeout=0)
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anonymous.check_hostname = False
    anonymous.load_verify_locations(cadata=pod.certificate)
    strange = pod_context(pod.certificate, make_authority(tmp_path).client)
    for context in (anonymous, strange):
        async with Channel.over_tls(pod.address, CHANNEL_PORT, context) as channel:
            with pytest.raises(ChannelError, match="does not answer"):
                await channel.state(timeout=0)


@pytest.mark.hermetic("kills a process of a container from outside")
async def test_the_agent_outlives_its_supervisor(pods: SandboxPods, tmp_path: Path) -> None:
    pod = pods.create()
    async with pod.attach() as channel:
        await ready(pod, channel, tmp_path)
        await give(channel, start_agent("say before\nawait go\nsay after"))
        await reached(channel, lambda state: state.first_output_ms is not None)
        pod.kill_supervisor()
    pod.kubectl.wait_for("pod", pod.name, lambda found: _restarts(found, SUPERVISOR) == 1)
    async with pod.attach() as channel:
        pod.kubectl.execute(pod.name, SUPERVISOR, "touch", "/axiom/files/workspace/go")
        state = await reached(channel, lambda state: state.phase is Phase.ROUND_ENDED)
        assert state.rounds[0].claim.says is Saying.SUCCESS
        assert "after" in state.rounds[0].claim.text
        _, lines = await stopped(channel)
    assert [started["restart"] for started in named(lines, "sandbox_started")] == [False, True]
    assert len(named(lines, "agent_started")) == 1
    assert _restarts(pod.refresh(), UNTRUSTED) == 0


def _restarts(pod: dict[str, Any], container: str) -> int:
    status = pod["status"]
    found = [*status["initContainerStatuses"], *status.get("containerStatuses", ())]
    return next(int(item["restartCount"]) for item in found if item["name"] == container)


PROJECT = {
    "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['src']\n",
    "src/leap.py": "def is_leap(year):\n    return year % 4 == 0\n",
    "tests/test_leap.py": (
        "from leap import is_leap\n\n\n"
        "def test_1900():\n    assert not is_leap(1900)\n\n\n"
        "def test_2000():\n    assert is_leap(2000)\n"
    ),
}
MENDED = "def is_leap(year):\n    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)\n"
CRITERIA = (
    {"name": "lint", "command": {"argv": ["ruff", "check", "."]}},
    {
        "name": "tests",
        "tests": {
            "failToPass": ["tests/test_leap.py::test_1900"],
            "passToPass": ["tests/test_leap.py::test_2000"],
        },
    },
)


@pytest.fixture
async def verifier(pods: SandboxPods) -> AsyncIterator[Channel]:
    async with pods.create(Role.VERIFIER).attach() as channel:
        yield channel


@pytest.mark.parametrize(
    ("content", "verdict"),
    [(MENDED, Verdict.PASS), (PROJECT["src/leap.py"] + "\n", Verdict.FAIL)],
    ids=["mended", "not mended"],
)
async def test_a_verifier_decides(verifier: Channel, tmp_path: Path, content: str, verdict: Verdict) -> None:
    archive, info = base_archive(tmp_path, PROJECT)
    (tmp_path / "tree" / "src" / "leap.py").write_text(content)
    captured = capture(read_tree(archive), tmp_path / "tree", tmp_path / "capture")
    await reached(verifier, lambda state: state.phase is Phase.WAITING_FOR_WORKSPACE)
    await verifier.put_workspace(archive, info.digest)
    await verifier.put_changes(captured.archive, captured.digest)
    criteria = tuple(Criterion.model_validate(criterion) for criterion in CRITERIA)
    await give(verifier, Verify(round=1, criteria=criteria, deadline_ms=int((time.time() + 300) * 1000)))
    state = await reached(verifier, lambda state: state.phase is Phase.VERIFIED)
    assert state.verification
    results = {result.name: result for result in state.verification.results}
    assert state.verification.verdict is verdict, results
    assert results["lint"].verdict is Verdict.PASS, results["lint"]
    assert results["tests"].verdict is verdict
    await stopped(verifier)
