"""`axiom upload`: puts an archive into object storage for tasks to begin from, or to be tested by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def upload(
    file: Annotated[
        Path,
        typer.Argument(help="A tar, tar.gz or tar.zst.", metavar="FILE", exists=True, dir_okay=False),
    ],
    key: Annotated[
        str, typer.Argument(help="What tasks call it: `archive.key`, such as team/base.tar.", metavar="KEY")
    ],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the tasks that read it.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="s3://BUCKET: server and keys by AXIOM_S3_ENDPOINT and AXIOM_S3_CREDENTIALS; with AXIOM_S3_KEYRING, a folder"
            " with keys of namespaces, it is encrypted before it is sent.",
            metavar="WHERE",
        ),
    ],
) -> None:
    """Put an archive below inputs/NAMESPACE/. Exit code: 0 it is there, 3 it is not."""
    from axiom.cli.uploading import put_input

    put_input(file, key, namespace, to)
