"""The life of the supervisor's process: serve one sandbox, and leave in order when told to."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from axiom_sandbox.protocol.channel import Phase
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.supervising.sandbox import Sandbox
from axiom_sandbox.supervising.serving import serve
from axiom_sandbox.supervising.settings import SandboxSettings

_TERMINATED = 128 + signal.SIGTERM
"""A pod all of whose containers end with 0 has succeeded for the kubelet, which then forgets that it had evicted it."""


def sandbox_class(role: Role) -> type[Sandbox]:
    """The sandbox of a role. Only what the role needs is imported: a pod's start waits for it."""
    match role:
        case Role.AGENT:
            from axiom_sandbox.supervising.agent import AgentSandbox

            return AgentSandbox
        case Role.VERIFIER:
            from axiom_sandbox.supervising.verifier import VerifierSandbox

            return VerifierSandbox
        case Role.FETCHER:
            from axiom_sandbox.supervising.fetcher import FetcherSandbox

            return FetcherSandbox
        case Role.COPIER:
            from axiom_sandbox.supervising.copier import CopierSandbox

            return CopierSandbox
        case Role.PUSHER:
            from axiom_sandbox.supervising.pusher import PusherSandbox

            return PusherSandbox


async def supervise(make: Callable[[SandboxSettings], Sandbox], settings: SandboxSettings) -> None:
    """Serves and lives until SIGTERM. What is stopped stays to be read: only whoever deletes the sandbox knows that all is."""
    sandbox = make(settings)
    loop = asyncio.get_running_loop()
    terminated = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, terminated.set)
    runner = await serve(sandbox, settings)
    living = asyncio.ensure_future(sandbox.run())
    leaving = asyncio.ensure_future(terminated.wait())
    await asyncio.wait((living, leaving), return_when=asyncio.FIRST_COMPLETED)
    code = _TERMINATED
    if living.done():
        living.result()
        await leaving
        code = 0
    else:
        sandbox.leave(settings.saving_grace)
        await living
    await _until_sealed(sandbox, settings.sealing_grace)
    await sandbox.end_untrusted(code)
    await sandbox.close()
    await runner.cleanup()


async def _until_sealed(sandbox: Sandbox, grace: float) -> None:
    """Leaves the gateway a little time to copy what is not sealed yet."""
    loop = asyncio.get_running_loop()
    until = loop.time() + grace
    state = sandbox.board.state
    while state.phase in (Phase.STOPPED, Phase.FAILED) and not _sealed(sandbox) and loop.time() < until:
        state = await sandbox.board.wait(state.revision, 1)


def _sealed(sandbox: Sandbox) -> bool:
    state = sandbox.board.state
    return state.ledger.sealed >= state.ledger.segments and all(blob.sealed for blob in state.blobs)
