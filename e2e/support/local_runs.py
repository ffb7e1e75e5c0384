"""`axiom run` on the task of the inputs, with a real agent and a scripted model; and everything that such a run leaves."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
import zstandard
from tests.fakes.scripted_model import Script, ScriptedModel

from e2e.inputs.leap_repository import REVISION, make_leap_repository

INPUTS = Path(__file__).parents[1] / "inputs"
CANARY = "sk-canary-0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Story:
    """What one run came to, and everything that it left."""

    code: int
    body: dict[str, Any]
    told: str
    state: Path
    model: ScriptedModel

    @property
    def diff(self) -> str:
        return Path(self.body["diff"]).read_text()

    @property
    def records(self) -> list[dict[str, Any]]:
        lines = content(Path(self.body["ledger"]["path"])).splitlines()
        return [json.loads(line) for line in lines if line]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [record["payload"] for record in self.records if record["event"] == name]


def content(folder: Path) -> bytes:
    """Everything in a folder, unpacked."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return b"\n".join(unpacked(path.read_bytes()) for path in files)


def unpacked(data: bytes) -> bytes:
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return data


def task_on(repository: Path, **limits: Any) -> dict[str, Any]:
    """The very task of the inputs, on a repository of this machine."""
    assert make_leap_repository(repository) == REVISION
    task: dict[str, Any] = yaml.safe_load((INPUTS / "leap-task.yaml").read_text())
    task["spec"]["workspace"]["git"]["url"] = f"file://{repository}"
    task["spec"]["limits"] |= limits
    return task


async def run_locally(
    folder: Path, task: dict[str, Any], agent_class: dict[str, Any], script: Script, watched_for: str = ""
) -> Story:
    """Runs it to its end. The key reaches the model, and stands in nothing that is left.

    `watched_for`: the model notes which requests hold this text.
    """
    task["spec"]["agentClassName"] = agent_class["metadata"]["name"]
    credential = agent_class["spec"]["credentials"][0]
    async with ScriptedModel(script, expected_key=CANARY, watched_for=watched_for) as model:
        credential["route"]["upstream"] = model.url
        files = folder / "task.yaml", folder / "class.yaml"
        for path, document in zip(files, (task, agent_class), strict=True):
            path.write_text(yaml.safe_dump(document))
        state = folder / "state"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "axiom.cli.main", "run", files[0], "--class", files[1]),
            *("--json", "--state", state),
            env={**os.environ, f"AXIOM_CREDENTIAL_{credential['name'].upper()}": CANARY},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(300):
            output, errors = await process.communicate()
    told = errors.decode()
    assert process.returncode is not None
    story = Story(process.returncode, json.loads(output or b"{}"), told, state, model)
    assert CANARY.encode() not in output + errors + content(state)
    assert sha256(CANARY.encode()).hexdigest() in {record.key_digest for record in model.requests}, told
    return story
