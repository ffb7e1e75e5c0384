"""`axiom`: run tasks, and read what is left of them."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from axiom.cli.baseline import baseline_app
from axiom.cli.checkpoints import checkpoint, checkpoints, fork, rollback
from axiom.cli.doctor import doctor
from axiom.cli.gc import gc
from axiom.cli.history import history
from axiom.cli.intervene import approve, interrupt, tell
from axiom.cli.judge_bench import judge_bench
from axiom.cli.ledger import ledger_app
from axiom.cli.probe import probe
from axiom.cli.replay import replay
from axiom.cli.review import review
from axiom.cli.run import run
from axiom.cli.upload import upload
from axiom.cli.verify import verify

app = typer.Typer(
    help="Runs command-line coding agents in locked-down sandboxes and decides from evidence whether they succeeded.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command()(verify)
app.command()(approve)
app.command()(tell)
app.command()(interrupt)
app.command()(review)
app.command()(doctor)
app.command()(probe)
app.command()(replay)
app.command()(history)
app.command()(checkpoints)
app.command()(checkpoint)
app.command()(rollback)
app.command()(fork)
app.command()(gc)
app.command()(upload)
app.command("judge-bench")(judge_bench)
app.add_typer(baseline_app, name="baseline")
app.add_typer(ledger_app, name="ledger")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"axiom {version('axiom')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Runs command-line coding agents in locked-down sandboxes and decides from evidence whether they succeeded."""


def main() -> None:
    """The entry point. Exit code 1 means Fail, so a fault of ours must be another one."""
    try:
        app()
    except Exception:  # noqa: BLE001 - whatever it is, nothing was decided
        from axiom.cli.showing import ExitCode

        traceback.print_exc()
        sys.exit(ExitCode.COULD_NOT_RUN)


if __name__ == "__main__":
    main()
