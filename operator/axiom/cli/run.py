"""`axiom run`: a task on this machine, and what it came to."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from axiom.api.agenttask import AgentTask, AgentTaskStatus, RoundStatus
from axiom.api.conditions import ConditionStatus
from axiom.api.explaining import Problem
from axiom.api.loading import Manifest, RefusedError, load_manifest
from axiom.backends.bubblewrap import BubblewrapSandbox, find_bubblewrap, find_launcher
from axiom.backends.contract import CannotRunError, SandboxSpec
from axiom.running.local import LocalRun
from axiom.running.results import Result, collect
from axiom.running.workspaces import WorkspaceError, make_base
from axiom.storage.folder import FolderStore
from axiom_sandbox.protocol.verdicts import Verdict

_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}


class ExitCode(IntEnum):
    """What the exit code of `axiom run` means."""

    PASS = 0
    FAIL = 1
    INCONCLUSIVE = 2
    REFUSED = 3
    COULD_NOT_RUN = 4


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

    Exit code: 0 Pass, 1 Fail, 2 Inconclusive, 3 refused (bad input), 4 could not run.
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


def credential_variable(name: str) -> str:
    """The variable that holds a credential of local runs."""
    return "AXIOM_CREDENTIAL_" + name.upper().replace("-", "_")


async def _run(manifest: Manifest, state: Path, console: Console) -> Result:
    began = time.monotonic()
    uid = str(uuid.uuid4())
    task = manifest.task.model_copy(update={"metadata": {**manifest.task.metadata, "uid": uid}})
    folder = state / "runs" / f"{task.name}-{uid[:8]}"
    scratch = folder / "scratch"
    try:
        scratch.mkdir(parents=True)
        store = FolderStore(state / "store")
    except OSError as error:
        raise CannotRunError(
            f"{state} cannot hold the evidence: {error.strerror}; name another folder with --state"
        ) from error
    base = await make_base(task.spec.workspace, scratch)

    def make_sandbox(spec: SandboxSpec, changed: Callable[[], None]) -> BubblewrapSandbox:
        own = scratch / f"{spec.identity.attempt}-{spec.identity.slot}"
        own.mkdir()
        return BubblewrapSandbox(spec, own, changed)

    local = LocalRun(
        task=task,
        agent_class=manifest.agent_class,
        base=base,
        store=store,
        folder=scratch,
        make_sandbox=make_sandbox,
        credentials=_credentials(manifest),
        on_status=Progress(console, task, began),
    )
    keep_base = folder / "base.tar.zst"
    keep_base.write_bytes(base.path.read_bytes())
    status = await local.run()
    return await collect(task, status, store, state / "store", folder, keep_base, time.monotonic() - began)


def _credentials(manifest: Manifest) -> dict[str, str]:
    names = [credential.name for credential in manifest.agent_class.spec.credentials]
    return {name: os.environ[credential_variable(name)] for name in names}


@dataclass
class Progress:
    """Says on standard error what has changed since the last status."""

    console: Console
    task: AgentTask
    began: float
    said: set[str] = field(default_factory=set)

    def __call__(self, status: AgentTaskStatus) -> None:
        """Prints each condition once for each way it changes, and each round's verdict."""
        for item in status.conditions:
            mark = {ConditionStatus.TRUE: "✓", ConditionStatus.FALSE: "·", ConditionStatus.UNKNOWN: "?"}[
                item.status
            ]
            self._say(
                f"{mark} {item.type.value}: {item.reason.value}"
                + (f" — {item.message}" if item.message else "")
            )
        for record in status.rounds:
            if record.verdict:
                self._say(_round_line(record))

    def _say(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            self.console.print(f"[dim]{time.monotonic() - self.began:6.1f}s[/] {escape(line[:400])}")


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
    out.print(f"verdict  [{colour} bold]{verdict.value if verdict else 'none'}[/]  {escape(status.message)}")
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
