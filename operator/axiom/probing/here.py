"""The probe in a sandbox of this machine: the one that `axiom run` would make for a task of the class."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path

from axiom.api.agentclass import AgentClassSpec
from axiom.api.agenttask import Resources
from axiom.backends.contract import Backend, CannotRunError, SandboxSpec
from axiom.channel import ChannelError
from axiom.manifests.resources import allowance
from axiom.planning.observed import Presence
from axiom.probing.report import Report
from axiom_sandbox.ledger.files import stored_lines
from axiom_sandbox.protocol.channel import SandboxState
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.launching import Assertion

_PATIENCE_SECONDS = 120.0
_RETRY_SECONDS = 0.1


async def probe_here(
    agent_class: AgentClassSpec, backend: Backend, folder: Path, say: Callable[[str], None]
) -> Report:
    """Makes a sandbox in `folder`, an empty one, and ends it. Raises CannotRunError."""
    allowed = allowance(Resources(), agent_class.ceilings)
    task_id = str(uuid.uuid4())
    spec = SandboxSpec(
        identity=Identity(namespace="local", task="probe", task_id=task_id, attempt=1, role=Role.AGENT),
        network=agent_class.network.to_protocol(),
        processes=agent_class.ceilings.processes,
        memory_bytes=allowed.memory,
        cpu_millis=allowed.cpu_millis,
        tmp_bytes=allowed.tmp,
        image=agent_class.image,
        read_only_paths=tuple(Path(path) for path in agent_class.local.read_only_paths),
        may_miss=agent_class.isolation.layers,
    )
    try:
        await backend.prepare([agent_class.image] if agent_class.image else [], say)
        state = await _probed(backend, spec, folder)
    finally:
        await backend.close()
    found = state.isolation
    assert found is not None
    return Report(
        where=f"this machine, {backend.name}",
        passed=found.passed,
        layers=found.layers,
        missing=found.missing_layers,
        assertions=_assertions(folder),
        took_ms=found.took_ms,
    )


async def _probed(backend: Backend, spec: SandboxSpec, folder: Path) -> SandboxState:
    sandbox = backend.sandbox(spec, folder, lambda: None)
    await sandbox.start()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), sandbox.attach() as channel:
            state, revision = None, -1
            while sandbox.presence is not Presence.GONE:
                try:
                    state = await channel.state(since=revision, timeout=1)
                except ChannelError:
                    await asyncio.sleep(_RETRY_SECONDS)  # it is being started again, or gone
                    continue
                revision = state.revision
                if state.isolation:
                    return state
                if state.failure:
                    break
            said = state.failure.message if state and state.failure else sandbox.diagnosis()
            raise CannotRunError(f"the sandbox did not come as far as the probe: {said or 'it says nothing'}")
    except TimeoutError as error:
        raise CannotRunError(f"the probe gave no answer within {_PATIENCE_SECONDS:g} s") from error
    finally:
        await sandbox.stop()


def _assertions(folder: Path) -> tuple[Assertion, ...]:
    for line in stored_lines(folder / "state" / "ledger"):
        record = json.loads(line)
        if record["event"] == "isolation":
            return tuple(Assertion.model_validate(item) for item in record["payload"]["assertions"])
    raise CannotRunError("the sandbox's ledger does not hold what the probe found")
