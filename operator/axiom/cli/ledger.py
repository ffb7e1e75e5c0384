"""`axiom ledger`: read sealed ledgers, search and export them, and prove that nothing in them was changed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

ledger_app = typer.Typer(help="Read, search, export and prove ledgers.", no_args_is_help=True)


@dataclass(frozen=True)
class Where:
    """Which evidence is meant."""

    word: str
    state: Path | None = None
    cluster: bool = False
    gateway: str = ""
    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None
    token_file: Path | None = None
    gateway_ca: Path | None = None
    slot: str = ""
    original: bool = False


class Format(StrEnum):
    """What `axiom ledger export` writes."""

    JSONL = "jsonl"
    OTEL = "otel"
    MARKDOWN = "markdown"


LedgerWord = Annotated[
    str,
    typer.Argument(
        help="A ledger's folder or one of its files; a folder with several (a state folder, a store, a run's folder);"
        " s3://BUCKET/PREFIX (server and keys by AXIOM_S3_ENDPOINT and AXIOM_S3_CREDENTIALS); the name or UID of a local"
        " run; with --cluster the name of an AgentTask.",
        metavar="LEDGER",
    ),
]
State = Annotated[
    Path | None, typer.Option("--state", help="Folder of local runs, for names and UIDs.", metavar="DIR")
]
Cluster = Annotated[
    bool, typer.Option("--cluster", help="A task on a Kubernetes cluster, read through its gateway.")
]
Gateway = Annotated[
    str,
    typer.Option(
        "--gateway", envvar="AXIOM_GATEWAY", help="With --cluster: the gateway's address.", metavar="URL"
    ),
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="With --cluster: the task's namespace.")
]
Context = Annotated[str | None, typer.Option("--context", help="With --cluster: the kubeconfig's context.")]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="With --cluster: the kubeconfig.", metavar="FILE")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", help="With --cluster: a Kubernetes token; else the kubeconfig's.", metavar="FILE"
    ),
]
GatewayCa = Annotated[
    Path | None,
    typer.Option(
        "--gateway-ca", help="With --cluster: PEM file for the gateway's certificate.", metavar="FILE"
    ),
]
Slot = Annotated[
    str,
    typer.Option("--slot", help="Only this one of a task's ledgers: agent, fetcher, verifier-1-1, …"),
]
Original = Annotated[
    bool,
    typer.Option(
        "--original",
        help="Show secrets as they are instead of masked. On a cluster this takes the right to get agenttasks/original.",
    ),
]
Events = Annotated[
    list[str] | None, typer.Option("--event", "-e", help="Only events of this name; may be given again.")
]
Since = Annotated[
    str,
    typer.Option("--since", help="Not before this time (RFC 3339), or this long ago (90m).", metavar="TIME"),
]
Until = Annotated[
    str,
    typer.Option("--until", help="Not after this time (RFC 3339), or this long ago (90m).", metavar="TIME"),
]


@ledger_app.command()
def verify(
    ledger: LedgerWord,
    head: Annotated[
        str | None,
        typer.Option(help="Hash of the last record, as the task's status has it; for one ledger alone."),
    ] = None,
    status: Annotated[
        Path | None,
        typer.Option(
            help="The AgentTask as `kubectl get agenttask -o json` prints it: its heads are the witnesses.",
            metavar="FILE",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    state: State = None,
    cluster: Cluster = False,
    gateway: Gateway = "",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    token_file: TokenFile = None,
    gateway_ca: GatewayCa = None,
    slot: Slot = "",
) -> None:
    """Prove chains, from the first record to the head. Exit code 0 whole, 1 broken, 3 not readable."""
    # Imported where it is used, here and below: nobody who runs a task waits for it.
    from axiom.cli.reading import verify_ledgers

    # What is masked is not what was hashed.
    where = Where(
        ledger,
        state,
        cluster,
        gateway,
        namespace,
        context,
        kubeconfig,
        token_file,
        gateway_ca,
        slot,
        original=True,
    )
    verify_ledgers(where, head, status, as_json=as_json)


@ledger_app.command()
def show(
    ledger: LedgerWord,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they are stored.")] = False,
    events: Events = None,
    since: Since = "",
    until: Until = "",
    first: Annotated[int, typer.Option("--from", help="First sequence number.", min=1)] = 1,
    last: Annotated[int | None, typer.Option("--to", help="Last sequence number.", min=1)] = None,
    state: State = None,
    cluster: Cluster = False,
    gateway: Gateway = "",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    token_file: TokenFile = None,
    gateway_ca: GatewayCa = None,
    slot: Slot = "",
    original: Original = False,
) -> None:
    """Print a ledger's records, oldest first. Secrets are masked."""
    from axiom.cli.reading import Asked, show_records

    where = Where(
        ledger,
        state,
        cluster,
        gateway,
        namespace,
        context,
        kubeconfig,
        token_file,
        gateway_ca,
        slot,
        original,
    )
    asked = Asked(events=tuple(events or ()), since=since, until=until, first=first, last=last)
    show_records(where, asked, as_json=as_json)


@ledger_app.command()
def grep(
    pattern: Annotated[
        str,
        typer.Argument(
            help="RE2, tried on the event's name and on each value, written as path.to.value=text.",
            metavar="PATTERN",
        ),
    ],
    ledger: LedgerWord,
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", "-i", help="Letters match in either case.")
    ] = False,
    after: Annotated[int, typer.Option("--after-context", "-A", help="Records after each.", min=0)] = 0,
    before: Annotated[int, typer.Option("--before-context", "-B", help="Records before each.", min=0)] = 0,
    around: Annotated[int, typer.Option("--context", "-C", help="Records before and after.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they are stored.")] = False,
    events: Events = None,
    since: Since = "",
    until: Until = "",
    state: State = None,
    cluster: Cluster = False,
    gateway: Gateway = "",
    namespace: Namespace = None,
    kube_context: Annotated[
        str | None, typer.Option("--kube-context", help="With --cluster: the kubeconfig's context.")
    ] = None,
    kubeconfig: Kubeconfig = None,
    token_file: TokenFile = None,
    gateway_ca: GatewayCa = None,
    slot: Slot = "",
    original: Original = False,
) -> None:
    """Search events. Exit code 0 found, 1 nothing found, 3 not readable."""
    from axiom.cli.reading import Asked, grep_records

    where = Where(
        ledger,
        state,
        cluster,
        gateway,
        namespace,
        kube_context,
        kubeconfig,
        token_file,
        gateway_ca,
        slot,
        original,
    )
    asked = Asked(pattern, ignore_case, tuple(events or ()), since, until)
    grep_records(where, asked, max(before, around), max(after, around), as_json=as_json)


@ledger_app.command()
def export(
    ledger: LedgerWord,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="jsonl: lines as they are stored; otel: OpenTelemetry logs as OTLP/JSON; markdown: a report of the run.",
        ),
    ] = Format.JSONL,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write here instead of standard output.", metavar="FILE"),
    ] = None,
    state: State = None,
    cluster: Cluster = False,
    gateway: Gateway = "",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    token_file: TokenFile = None,
    gateway_ca: GatewayCa = None,
    slot: Slot = "",
    original: Original = False,
) -> None:
    """Write ledgers in another form. Secrets are masked."""
    from axiom.cli.reading import export_ledgers

    where = Where(
        ledger,
        state,
        cluster,
        gateway,
        namespace,
        context,
        kubeconfig,
        token_file,
        gateway_ca,
        slot,
        original,
    )
    export_ledgers(where, form, output)
