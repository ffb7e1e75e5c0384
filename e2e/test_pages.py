"""Pages in pods: a real Chromium, in a container of its own, beside a verifier and beside an agent."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axiom.api.agentclass import AgentClassSpec
from axiom.channel import Channel
from axiom_sandbox.protocol.channel import AgentProgram, Phase, SandboxState, Stop, Verify
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.pictures import PagePictures, PictureSettings
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.snapshots.archives import read_tree
from axiom_sandbox.snapshots.captures import capture
from axiom_sandbox.verifying.pictures import read_png
from e2e.cluster.connection import Connection
from e2e.support.authority import Authority
from e2e.support.images import Images, build_browser_image
from e2e.support.kubernetes import Kubectl
from e2e.support.sandboxes import SandboxPods, base_archive, give, reached, start_agent
from e2e.test_one_pod import named

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("pod_network")]

PORT = 18080
SERVE = (
    "import http.server\n"
    f"http.server.ThreadingHTTPServer(('127.0.0.1', {PORT}), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
)
PAGE = "<!doctype html><body style='background: #0af'><h1>Leap</h1><script>document.write(Date())</script>"
CRITERION = Criterion.model_validate(
    {
        "name": "site",
        "probe": {
            "argv": ["python3", "serve.py"],
            "port": PORT,
            "requests": [{"path": "/"}],
            "pictures": [{"name": "home", "path": "/", "width": 320, "height": 200}],
        },
    }
)


@pytest.fixture
def pods(
    cluster: Connection, restricted_kubectl: Kubectl, images: Images, authority: Authority
) -> SandboxPods:
    """In a namespace that enforces Pod Security `restricted`."""
    agent_class = AgentClassSpec(image=images.verifier, command=["/bin/sh", "-c", "$(AXIOM_PROMPT)"])
    made = SandboxPods.of(restricted_kubectl, images, authority, agent_class)
    return replace(made, browser=build_browser_image(cluster, images))


async def verified(
    pods: SandboxPods, folder: Path, trial: int, base: dict[str, bytes], page: str
) -> tuple[SandboxState, bytes]:
    """The verdict on a change of the page, and the picture that was taken of it."""
    (folder / "tree").mkdir(parents=True)
    for path, content in base.items():
        (folder / "tree" / path).write_bytes(content)
    archive, info = base_archive(folder, {})
    (folder / "tree" / "index.html").write_text(page)
    captured = capture(read_tree(archive), folder / "tree", folder / "capture")
    async with pods.create(Role.VERIFIER, attempt=trial, photographs=True).attach() as channel:
        await reached(channel, lambda state: state.phase is Phase.WAITING_FOR_WORKSPACE)
        await channel.put_workspace(archive, info.digest)
        await channel.put_changes(captured.archive, captured.digest)
        deadline = int((time.time() + 300) * 1000)
        await give(channel, Verify(round=1, criteria=(CRITERION,), deadline_ms=deadline))
        state = await reached(channel, lambda state: state.phase is Phase.VERIFIED)
        shots = named(await lines_of_now(channel, state), "screenshot")
        [digest] = [shot["digest"] for shot in shots if shot["path"] == "site/home/picture.png"]
        await channel.fetch_blob(digest, folder / "home.png")
        await give(channel, Stop(reason="the test is over"))
    return state, (folder / "home.png").read_bytes()


async def test_a_picture_becomes_a_baseline_and_decides(pods: SandboxPods, tmp_path: Path) -> None:
    base: dict[str, bytes] = {"serve.py": SERVE.encode(), "index.html": b"<!doctype html>"}
    first, picture = await verified(pods, tmp_path / "first", 1, base, PAGE)
    assert first.verification
    [result] = first.verification.results
    assert (result.verdict, result.strength) == (Verdict.INCONCLUSIVE, Strength.PROCESS)
    assert "There is no file home.png of the base" in result.message
    assert read_png(picture).size == "320x200"

    known = {**base, "home.png": picture}
    second, _ = await verified(pods, tmp_path / "second", 2, known, f"{PAGE}<!-- the same -->")
    assert second.verification
    assert second.verification.verdict is Verdict.PASS, second.verification.results
    third, _ = await verified(pods, tmp_path / "third", 3, known, PAGE.replace("#0af", "#fa0"))
    assert third.verification
    assert third.verification.verdict is Verdict.FAIL, third.verification.results
    assert "differs from its baseline in" in third.verification.results[0].message


async def test_an_agents_page_is_photographed(pods: SandboxPods, tmp_path: Path) -> None:
    pod = pods.create(photographs=True)
    page = PagePictures(port=PORT, path="/", seconds=600, width=320, height=200)
    start = start_agent("")
    program = AgentProgram(command=("python3", "serve.py"), pictures=PictureSettings(pages=(page,)))
    async with pod.attach() as channel:
        await reached(channel, lambda state: state.phase is Phase.WAITING_FOR_WORKSPACE)
        archive, info = base_archive(tmp_path, {"serve.py": SERVE, "index.html": PAGE})
        await channel.put_workspace(archive, info.digest)
        await reached(channel, lambda state: state.phase is Phase.READY)
        await give(channel, start.model_copy(update={"program": program}))
        async with asyncio.timeout(180):
            shot = await first_page(channel)
        assert (shot["path"], shot["width"]) == (f"http://127.0.0.1:{PORT}/", 320)
        await give(channel, Stop(reason="the test is over"))
        await reached(channel, lambda state: state.phase is Phase.STOPPED)


async def first_page(channel: Channel) -> dict[str, Any]:
    """The first picture of a page that the ledger tells of."""
    async for line in channel.events():
        for shot in named([line], "screenshot"):
            if shot["why"] == ["page"]:
                return shot
    raise AssertionError("the ledger ended without one")


async def lines_of_now(channel: Channel, state: SandboxState) -> list[bytes]:
    """What the ledger holds so far: its stream has no end while the sandbox lives."""
    found: list[bytes] = []
    async for line in channel.events():
        found.append(line)
        if len(found) >= state.ledger.records:
            break
    return found
