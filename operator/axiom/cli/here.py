"""`axiom run` on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from axiom.api.agentclass import Credential, budget_fault, capability_fault, judge_fault, routed
from axiom.api.agenttask import AgentTask, AgentTaskStatus, ResultSpec
from axiom.api.explaining import Problem
from axiom.api.loading import Manifest, RefusedError, load_manifest
from axiom.backends.choosing import choose_backend
from axiom.backends.contract import Backend
from axiom.backends.host import find_launcher
from axiom.cli.asking import Asker, has_terminal
from axiom.cli.forking import from_checkpoint
from axiom.cli.run import Order
from axiom.cli.showing import Interruption, Progress
from axiom.planning.checkpoints import shown
from axiom.running.checkpoints import take_up
from axiom.running.hidden_tests import HiddenTestsError, find_hidden, pack_hidden
from axiom.running.intervening import whoever_runs_this
from axiom.running.local import LocalRun
from axiom.running.places import default_state, run_place, sandboxes_in
from axiom.running.results import Result, collect
from axiom.running.workspaces import make_base, secret_folder, secret_variable
from axiom_sandbox.repositories.access import SECRET_KEYS

_INTERRUPTED = "interrupted: the agent was ended; what was sealed by then is kept"


def run_here(order: Order, console: Console) -> Result:
    """Raises RefusedError, CannotRunError, WorkspaceError, Interruption."""
    manifest = load_manifest([path for path in (order.task, order.agent_class) if path])
    manifest = manifest._replace(task=from_checkpoint(manifest.task, order.checkpoint))
    check_runnable(manifest)
    hidden = hidden_tests(manifest, order.task.parent)
    find_launcher()
    backend = choose_backend(order.backend, manifest.agent_class.spec)
    try:
        return asyncio.run(_run(manifest, hidden, backend, order.state or default_state(), console))
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        raise Interruption(error, _INTERRUPTED) from error


def check_runnable(manifest: Manifest) -> None:
    """Refuses what only a cluster can do."""
    spec = manifest.task.spec
    if spec.workspace.config_map:
        cure = "a ConfigMap exists on a cluster alone; give the files under workspace.files, or use kubectl apply"
        raise RefusedError(manifest.task.name, [Problem("spec.workspace.configMap", cure)])
    if claim := spec.workspace.persistent_volume_claim:
        cure = (
            f"the volume {claim.claim_name!r} exists on a cluster alone; give its files as workspace.archive (a tar of them),"
            " or use kubectl apply"
        )
        raise RefusedError(manifest.task.name, [Problem("spec.workspace.persistentVolumeClaim", cure)])
    if git := spec.workspace.git:
        _check_secret(manifest.task.name, "spec.workspace.git.credentialsSecret", git.credentials_secret)
    if (fork := spec.workspace.checkpoint) and fork.stored:
        cure = "names a checkpoint in a cluster's object storage; here, the last run of a task is found by its name: remove it"
        raise RefusedError(manifest.task.name, [Problem("spec.workspace.checkpoint.stored", cure)])
    if spec.suspend:
        raise RefusedError(
            manifest.task.name, [Problem("spec.suspend", "is true, so nothing would run; remove it")]
        )
    if fault := budget_fault(manifest.agent_class, spec.limits.budget is not None):
        raise RefusedError(manifest.task.name, [Problem("spec.limits.budget", fault)])
    if fault := capability_fault(manifest.agent_class, spec):
        raise RefusedError(manifest.task.name, [Problem("spec.capabilities.destinations", fault)])
    if fault := judge_fault(manifest.agent_class, [*spec.criteria, *manifest.profile_criteria]):
        raise RefusedError(manifest.task.name, [Problem("spec.criteria", fault)])
    missing = [
        credential.name
        for credential in credentials_of(manifest)
        if not os.environ.get(credential_variable(credential.name))
    ]
    if missing:
        cure = f"set the variable {credential_variable(missing[0])} to the key; it stays outside the sandbox"
        raise RefusedError(manifest.agent_class.name, [Problem(f"spec.credentials[{missing[0]}]", cure)])
    for path in manifest.agent_class.spec.local.read_only_paths:
        if not Path(path).exists():
            cure = f"{path} does not exist on this machine; install what belongs there, or correct the path"
            raise RefusedError(manifest.agent_class.name, [Problem("spec.local.readOnlyPaths", cure)])


def hidden_tests(manifest: Manifest, beside: Path) -> Mapping[str, Path]:
    """Where the hidden tests and baselines of each criterion lie. Raises RefusedError, also where the agent could see them."""
    try:
        found = find_hidden([*manifest.task.spec.criteria, *manifest.profile_criteria], beside)
    except HiddenTestsError as error:
        raise RefusedError(manifest.task.name, [Problem(f"spec.{error.field}", error.cure)]) from error
    for visible in manifest.agent_class.spec.local.read_only_paths:
        for name, path in found.items():
            if path.resolve().is_relative_to(Path(visible).resolve()):
                cure = f"{path} lies below {visible}, which the class shows to the agent (local.readOnlyPaths); move it"
                field = f"spec.criteria[{name}]"
                raise RefusedError(manifest.task.name, [Problem(field, cure)])
    return found


def without_push(task: AgentTask) -> AgentTask:
    """The task as it is run here: pushing is a pod's business, with credentials of its own."""
    return task.model_copy(update={"spec": task.spec.model_copy(update={"result": ResultSpec()})})


def _check_secret(task: str, field: str, secret: str | None) -> None:
    folder = secret_folder(secret)
    if secret and (folder is None or not folder.is_dir()):
        cure = (
            f"set the variable {secret_variable(secret)} to a folder with a file for each key of the Secret"
            f" ({', '.join(SECRET_KEYS)})"
        )
        raise RefusedError(task, [Problem(field, cure)])


def credential_variable(name: str) -> str:
    """The variable that holds a credential of local runs."""
    return "AXIOM_CREDENTIAL_" + name.upper().replace("-", "_")


async def _run(
    manifest: Manifest, hidden: Mapping[str, Path], backend: Backend, state: Path, console: Console
) -> Result:
    cancel_on_signals()
    began = time.monotonic()
    uid = str(uuid.uuid4())
    task = manifest.task.model_copy(update={"metadata": {**manifest.task.metadata, "uid": uid}})
    progress = Progress(console, began)
    with run_place(state, f"{task.name}-{uid[:8]}", progress.say) as place:
        await backend.prepare(images_of(manifest), progress.say)
        if task.spec.result.push:
            progress.say("spec.result.push: no branch is pushed from here; the patch is left for you")
            task = without_push(task)
        if fork := task.spec.workspace.checkpoint:
            base, point = await take_up(fork, place.store, task.namespace, place.scratch)
            status = task.status.model_copy(update={"restored": point, "forked_from": point})
            task = task.model_copy(update={"status": status})
            progress.say(f"goes on from {shown(point)}")
        else:
            base = await make_base(task.spec.workspace, place.scratch, place.runs, progress.tell_amount)
        for note in base.notes:
            progress.say(f"workspace: {note}")
        local = LocalRun(
            task=task,
            agent_class=manifest.agent_class,
            base=base,
            store=place.store,
            folder=place.scratch,
            make_sandbox=sandboxes_in(backend, place.scratch),
            get_ready=backend.get_ready,
            credentials=_credentials(manifest),
            profile_criteria=manifest.profile_criteria,
            hidden=await asyncio.to_thread(pack_hidden, hidden, place.scratch),
            on_status=progress,
        )
        asker = Asker(progress.say, lambda wish: local.intervene(wish, whoever_runs_this()))
        asks = has_terminal() and manifest.agent_class.spec.asks_people
        if asks:

            def tell_and_ask(status: AgentTaskStatus) -> None:
                progress(status)
                asker(status)

            local.on_status = tell_and_ask
        try:
            with asker.listening() if asks else nullcontext():
                status = await local.run()
        finally:
            await backend.close()
        seconds = time.monotonic() - began
        return await collect(
            task, status, place.store, place.store_folder, place.folder, base.archive.path, seconds
        )


def cancel_on_signals() -> None:
    """SIGTERM and SIGHUP end the present task, which then removes what it made."""
    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)


def images_of(manifest: Manifest) -> frozenset[str]:
    """The images that a run needs, where its backend knows images."""
    named = (manifest.agent_class.spec.image, manifest.task.spec.verification.image)
    return frozenset(image for image in named if image)


def credentials_of(manifest: Manifest) -> list[Credential]:
    """Those of the agent, and those of judges where a criterion asks one."""
    spec = manifest.agent_class.spec
    asks = any(one.judge for one in [*manifest.task.spec.criteria, *manifest.profile_criteria])
    return [*routed(spec), *(judge.credential for judge in spec.judges if asks)]


def _credentials(manifest: Manifest) -> dict[str, str]:
    names = [credential.name for credential in credentials_of(manifest)]
    return {name: os.environ[credential_variable(name)] for name in names}
