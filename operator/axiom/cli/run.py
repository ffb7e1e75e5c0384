"""`axiom run`: a task on this machine, and what it came to."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from axiom.api.agenttask import AgentTaskStatus, RoundStatus
from axiom.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from axiom.api.explaining import Problem
from axiom.api.loading import Manifest, RefusedError, load_manifest
from axiom.backends.bubblewrap import BubblewrapSandbox, find_bubblewrap
from axiom.backends.contract import CannotRunError, SandboxFactory, SandboxSpec
from axiom.backends.host import find_launcher
from axiom.running.local import LocalRun
from axiom.running.results import Result, collect
from axiom.running.workspaces import WorkspaceError, make_base, secret_folder, secret_variable
from axiom.storage.folder import FolderStore
from axiom.storage.store import StorageError
from axiom_sandbox.protocol.progress import Progress as Amount
from axiom_sandbox.protocol.verdicts import Verdict
from axiom_sandbox.repositories.access import SECRET_KEYS
from axiom_sandbox.snapshots.writing import clear

_MARKS = {ConditionStatus.TRUE: "✓", ConditionStatus.FALSE: "·", ConditionStatus.UNKNOWN: "?"}
_TELLING_ORDER = (
    ConditionType.ACCEPTED,
    ConditionType.SANDBOX_READY,
    ConditionType.ISOLATED,
    ConditionType.VERIFIED,
    ConditionType.RUNNING,
    ConditionType.COMPLETE,
)
_LONGEST_LINE = 1200
_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}


class ExitCode(IntEnum):
    """What the exit code of `axiom run` means."""

    PASS = 0
    FAIL = 1
    INCONCLUSIVE = 2
    REFUSED = 3
    COULD_NOT_RUN = 4
    INTERRUPTED = 130
    TERMINATED = 143


def run(
    task: Annotated[
        Path,
        typer.Argument(help="YAML file with an AgentTask, and perhaps its AgentClass.", metavar="TASK.yaml"),
    ],
    agent_class: Annotated[
        Path | None, typer.Option("--class", help="YAML file with the AgentClass.", metavar="CLASS.yaml")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")
    ] = False,
    state: Annotated[
        Path | None, typer.Option("--state", help="Folder that keeps evidence and results.", metavar="DIR")
    ] = None,
) -> None:
    """Run a task on this machine, in bubblewrap sandboxes, and decide from evidence whether it succeeded.

    Exit code: 0 Pass, 1 Fail, 2 Inconclusive, 3 refused (bad input), 4 could not run, 130 interrupted.
    """
    console = Console(stderr=True, highlight=False)
    paths = [task] if agent_class is None else [task, agent_class]
    try:
        manifest = load_manifest(paths)
        check_runnable(manifest)
        find_bubblewrap()
        find_launcher()
        result = asyncio.run(_run(manifest, state or default_state(), console))
    except RefusedError as error:
        _leave(console, as_json, ExitCode.REFUSED, str(error))
    except (CannotRunError, WorkspaceError) as error:
        _leave(console, as_json, ExitCode.COULD_NOT_RUN, str(error))
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        code = ExitCode.INTERRUPTED if isinstance(error, KeyboardInterrupt) else ExitCode.TERMINATED
        _leave(console, as_json, code, "interrupted: the agent was ended; what was sealed by then is kept")
    else:
        _print_result(result, console, as_json)
        raise typer.Exit(exit_code(result.status.verdict))


def default_state() -> Path:
    """`$XDG_STATE_HOME/axiom`, usually ~/.local/state/axiom."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "axiom"


def exit_code(verdict: Verdict | None) -> ExitCode:
    """The exit code for a verdict; None is a task that could not be run."""
    match verdict:
        case Verdict.PASS:
            return ExitCode.PASS
        case Verdict.FAIL:
            return ExitCode.FAIL
        case Verdict.INCONCLUSIVE:
            return ExitCode.INCONCLUSIVE
        case None:
            return ExitCode.COULD_NOT_RUN


def check_runnable(manifest: Manifest) -> None:
    """Refuses what only a cluster can do."""
    spec = manifest.task.spec
    if spec.workspace.config_map:
        cure = "a ConfigMap exists on a cluster alone; give the files under workspace.files, or use kubectl apply"
        raise RefusedError(manifest.task.name, [Problem("spec.workspace.configMap", cure)])
    if git := spec.workspace.git:
        _check_secret(manifest.task.name, "spec.workspace.git.credentialsSecret", git.credentials_secret)
    if spec.suspend:
        raise RefusedError(
            manifest.task.name, [Problem("spec.suspend", "is true, so nothing would run; remove it")]
        )
    missing = [
        credential.name
        for credential in manifest.agent_class.spec.credentials
        if not os.environ.get(credential_variable(credential.name))
    ]
    if missing:
        cure = f"set the variable {credential_variable(missing[0])} to the key; it stays outside the sandbox"
        raise RefusedError(manifest.agent_class.name, [Problem(f"spec.credentials[{missing[0]}]", cure)])
    for path in manifest.agent_class.spec.local.read_only_paths:
        if not Path(path).exists():
            cure = f"{path} does not exist on this machine; install what belongs there, or correct the path"
            raise RefusedError(manifest.agent_class.name, [Problem("spec.local.readOnlyPaths", cure)])


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


async def _run(manifest: Manifest, state: Path, console: Console) -> Result:
    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    began = time.monotonic()
    uid = str(uuid.uuid4())
    task = manifest.task.model_copy(update={"metadata": {**manifest.task.metadata, "uid": uid}})
    try:
        store = FolderStore(state / "store")
        folder = state / "runs" / f"{task.name}-{uid[:8]}"
        folder.mkdir(parents=True, mode=0o700)
    except (OSError, StorageError) as error:
        raise CannotRunError(
            f"{state} cannot hold the evidence: {error}; name another folder with --state"
        ) from error
    with _scratch(folder) as scratch:
        progress = Progress(console, began)
        base = await make_base(task.spec.workspace, scratch, progress.tell_amount)
        for note in base.notes:
            progress.say(f"workspace: {note}")
        local = LocalRun(
            task=task,
            agent_class=manifest.agent_class,
            base=base,
            store=store,
            folder=scratch,
            make_sandbox=_factory(scratch),
            credentials=_credentials(manifest),
            on_status=progress,
        )
        status = await local.run()
        seconds = time.monotonic() - began
        return await collect(task, status, store, state / "store", folder, base.archive.path, seconds)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Where sandboxes live. Removed at the end, and `folder` with it if nothing was left there to keep."""
    scratch = folder / "scratch"
    try:
        scratch.mkdir()
        yield scratch
    finally:
        clear(scratch)  # the agent may have closed folders to itself, and so to us
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):
            folder.rmdir()


def _factory(scratch: Path) -> SandboxFactory:
    def make_sandbox(spec: SandboxSpec, changed: Callable[[], None]) -> BubblewrapSandbox:
        own = scratch / f"{spec.identity.attempt}-{spec.identity.slot}"
        own.mkdir()
        return BubblewrapSandbox(spec, own, changed)

    return make_sandbox


def _credentials(manifest: Manifest) -> dict[str, str]:
    names = [credential.name for credential in manifest.agent_class.spec.credentials]
    return {name: os.environ[credential_variable(name)] for name in names}


@dataclass
class Progress:
    """Says on standard error what has changed since the last status."""

    console: Console
    began: float
    _conditions: dict[ConditionType, tuple[ConditionStatus, Reason, str]] = field(default_factory=dict)
    _rounds: int = 0

    def __call__(self, status: AgentTaskStatus) -> None:
        """Prints what happened in the order in which it did: a round's verdict, what follows from it, the end."""
        for record in status.rounds[self._rounds :]:
            if record.verdict:
                self._rounds += 1
                self.say(_round_line(record))
        for item in sorted(status.conditions, key=lambda item: _TELLING_ORDER.index(item.type)):
            self._tell_condition(item)

    def _tell_condition(self, item: Condition) -> None:
        before, now = self._conditions.get(item.type), (item.status, item.reason, item.message)
        self._conditions[item.type] = now
        if before is None or before[:2] != now[:2] or (item.message and before != now):
            message = f" — {item.message}" if item.message else ""
            self.say(f"{_MARKS[item.status]} {item.type.value}: {item.reason.value}{message}")

    def tell_amount(self, amount: Amount) -> None:
        """Says how far something large has come."""
        self.say(f"workspace: {amount.text}")

    def say(self, line: str) -> None:
        """One line, with the time since the start."""
        elapsed = time.monotonic() - self.began
        self.console.print(f"[dim]{elapsed:6.1f}s[/] {escape(line[:_LONGEST_LINE])}", soft_wrap=True)


def _round_line(record: RoundStatus) -> str:
    claim = record.claim.says.value if record.claim else "nothing"
    verdict = record.verdict.value if record.verdict else "open"
    return f"round {record.number}: the agent says {claim}, the verifiers found {verdict}"


def _print_result(result: Result, console: Console, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result.as_json(), ensure_ascii=False) + "\n")
        return
    out = Console(highlight=False)
    status = result.status
    if status.rounds:
        table = Table(
            "criterion",
            "type",
            "enforcement",
            "verdict",
            "message",
            title=f"round {status.rounds[-1].number}",
        )
        for item in status.rounds[-1].criteria:
            colour = _COLOURS[item.verdict]
            table.add_row(
                item.name,
                item.type.value,
                item.enforcement.value,
                f"[{colour}]{item.verdict.value}[/]",
                escape(item.message),
            )
        out.print(table)
    verdict = status.verdict
    colour = _COLOURS[verdict] if verdict else "red"
    out.print(
        f"verdict  [{colour} bold]{verdict.value if verdict else 'none'}[/]  {escape(status.message)}",
        soft_wrap=True,
    )
    if status.claim:
        disagreement = "  [yellow](the evidence says otherwise)[/]" if status.claim_disagreement else ""
        out.print(f"claim    {status.claim.says.value}{disagreement}")
    for name, value in (("diff", result.diff), ("result", result.workspace), ("ledger", result.ledger_path)):
        if value:
            out.print(f"{name:8} {escape(str(value))}", soft_wrap=True)


def _leave(console: Console, as_json: bool, code: ExitCode, message: str) -> None:
    console.print(escape(message), style="red", soft_wrap=True)
    if as_json:
        body: dict[str, Any] = {"error": {"code": code.name, "message": message}}
        sys.stdout.write(json.dumps(body, ensure_ascii=False) + "\n")
    raise typer.Exit(code)
