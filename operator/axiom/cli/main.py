"""`axiom`: run tasks on this machine, and read ledgers."""

from __future__ import annotations

from typing import Annotated

import typer

from axiom.cli.doctor import doctor
from axiom.cli.ledger import ledger_app
from axiom.cli.probe import probe
from axiom.cli.run import run
from axiom.cli.verify import verify

app = typer.Typer(
    help="Runs command-line coding agents in locked-down sandboxes and decides from evidence whether they succeeded.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command()(verify)
app.command()(doctor)
app.command()(probe)
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
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
