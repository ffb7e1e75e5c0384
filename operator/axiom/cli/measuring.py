"""Carries out `axiom judge-bench`."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from axiom.api.agentclass import AgentClass, Judge
from axiom.api.explaining import Problem
from axiom.api.loading import RefusedError, load_classes
from axiom.benching.cases import Case, CaseError, own_cases, shipped_cases
from axiom.benching.keeping import kept_cases
from axiom.benching.running import Measured, measure
from axiom.benching.scoring import Score
from axiom.cli.here import credential_variable
from axiom.cli.judge_bench import BenchOrder
from axiom.cli.pruning import open_store
from axiom.cli.showing import ExitCode, leave
from axiom.egress.serving import serve_unix
from axiom.egress.settings import ProxySettings, private_upstreams
from axiom.egress.tokens import Purpose, errand_grant, mint, on_errand
from axiom.errands.envoy import Envoy, PageCache, Way
from axiom.evidence.segments import EvidenceError
from axiom.running.places import default_state
from axiom.storage.folder import FolderStore
from axiom.storage.store import StorageError
from axiom_sandbox.protocol.identity import Identity, Role

_LISTED = 10


def perform(order: BenchOrder) -> None:
    """Raises typer.Exit, always."""
    console = Console(stderr=True, highlight=False)
    try:
        chosen, judges = _judges(order)
        cases = _cases(order)
        done = asyncio.run(_run(order, chosen, judges, cases, console))
    except RefusedError as error:
        leave(console, order.as_json, ExitCode.REFUSED, str(error))
    except StorageError as error:
        leave(console, order.as_json, ExitCode.COULD_NOT_RUN, f"runs cannot be kept: {error}")
    if order.as_json:
        sys.stdout.write(json.dumps({"judges": [one.as_json() for one in done]}, ensure_ascii=False) + "\n")
    else:
        _print(done)
    lost = any(one.drift and one.drift.lost > order.max_loss / 100 for one in done)
    raise typer.Exit(ExitCode.FAIL if lost else ExitCode.PASS)


def _judges(order: BenchOrder) -> tuple[AgentClass, list[Judge]]:
    """Raises RefusedError."""
    classes = load_classes([order.agent_class])
    if len(classes) != 1:
        raise _refused(
            order.agent_class, "", f"holds {len(classes)} AgentClasses, not one; name a file with one"
        )
    [found] = classes
    known = {judge.name: judge for judge in found.spec.judges}
    if not known:
        raise _refused(
            order.agent_class, "spec.judges", "is empty, so there is nobody to measure; add judges"
        )
    if unknown := [name for name in order.judges if name not in known]:
        raise _refused(
            order.agent_class, "--judge", f"{unknown[0]!r} is none of {', '.join(known)}; correct it"
        )
    judges = [known[name] for name in order.judges or known]
    for judge in judges:
        variable = credential_variable(judge.credential.name)
        if not os.environ.get(variable):
            raise _refused(
                order.agent_class, f"spec.judges[{judge.name}]", f"set the variable {variable} to its key"
            )
    return found, judges


def _cases(order: BenchOrder) -> list[Case]:
    """Raises RefusedError."""
    cases = [*_sampled(shipped_cases(), order.sample), *_kept(order)]
    if order.cases is None:
        return cases
    if not order.cases.is_dir():
        raise _refused(
            order.cases,
            "--cases",
            "is no folder; name one with .yaml files of cases, or cases that were kept",
        )
    try:
        return [*cases, *own_cases(order.cases)]
    except CaseError as error:
        raise _refused(order.cases, "--cases", str(error)) from error


def _kept(order: BenchOrder) -> list[Case]:
    """Raises RefusedError."""
    if not order.kept:
        return []
    try:
        return asyncio.run(kept_cases(open_store(order.kept)))
    except (CaseError, EvidenceError, StorageError) as error:
        raise _refused(Path(order.kept), "--kept", str(error)) from error


def _sampled(cases: list[Case], number: int | None) -> list[Case]:
    """So many of them, evenly chosen, and the same each time. Pure."""
    if number is None or number >= len(cases):
        return cases
    return [cases[at * len(cases) // number] for at in range(number)]


async def _run(
    order: BenchOrder, chosen: AgentClass, judges: Sequence[Judge], cases: Sequence[Case], console: Console
) -> list[Measured]:
    store = FolderStore((order.state or default_state()) / "bench")
    credentials = [judge.credential for judge in judges]
    keys = {one.name: os.environ[credential_variable(one.name)] for one in credentials}
    hosts = frozenset(urlsplit(one.route.upstream).hostname or "" for one in credentials)
    settings = ProxySettings(allow_private_upstreams=hosts | private_upstreams(os.environ))
    signing = secrets.token_bytes(32)
    owner = Identity(
        namespace="local", task="judge-bench", task_id=str(uuid.uuid4()), attempt=1, role=Role.VERIFIER
    )

    def token(purpose: Purpose) -> str:
        return mint(signing, errand_grant(owner, chosen.name, purpose, time.time()))

    done = []
    with tempfile.TemporaryDirectory(prefix="axiom-bench-") as folder:
        socket = Path(folder) / "egress.sock"
        routes = {on_errand(chosen.name, Purpose.JUDGES): credentials}
        async with serve_unix(socket, routes, keys, signing, settings=settings):
            for judge in judges:
                console.print(f"{escape(judge.name)}: {escape(judge.model)}, {len(cases)} cases")
                envoy = Envoy(Way("http://egress", socket), token, PageCache())
                done.append(await measure(judge.seat, cases, envoy, store, datetime.now(UTC)))
    return done


def _print(done: Sequence[Measured]) -> None:
    out = Console(highlight=False)
    table = Table(
        "judge", "model", "accuracy", "false accepts", "false rejects", "undecided", "adversarial", "drift"
    )
    for one in done:
        found, hard = one.score, one.adversarial
        drift = (
            f"{-100 * one.drift.lost:+.1f} points, {len(one.drift.changed)} changed"
            if one.drift
            else "first run"
        )
        table.add_row(
            one.seat.name,
            one.seat.model,
            f"{found.accuracy:.1%} of {found.cases}",
            str(len(found.false_accepts)),
            str(len(found.false_rejects)),
            str(len(found.undecided)),
            f"{hard.accuracy:.1%}, {len(hard.false_accepts)} accepted",
            drift,
        )
    out.print(table)
    for one in done:
        for title, names in _lists(one.score):
            out.print(f"{escape(one.seat.name)}: {title}: {escape(', '.join(names))}", soft_wrap=True)


def _lists(found: Score) -> list[tuple[str, tuple[str, ...]]]:
    lists = [("accepted wrongly", found.false_accepts), ("rejected wrongly", found.false_rejects)]
    return [(title, names[:_LISTED]) for title, names in lists if names]


def _refused(path: Path, field: str, message: str) -> RefusedError:
    return RefusedError(str(path), [Problem(field, message)])
