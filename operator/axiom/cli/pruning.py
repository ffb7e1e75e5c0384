"""What `axiom gc` does once its options are read."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import typer

from axiom.api.agentclass import EvidenceRetention
from axiom.api.loading import RefusedError, load_classes
from axiom.cli.reading import readable
from axiom.cluster.api import Api
from axiom.cluster.errors import ApiError, LoginError
from axiom.environment import SettingsError
from axiom.evidence.harmless import plain
from axiom.evidence.segments import EvidenceError
from axiom.gateway.settings import open_bucket
from axiom.retaining.collecting import Collected, Collector
from axiom.retaining.reading import policies_of_cluster
from axiom.running.places import default_state
from axiom.storage.folder import FolderStore
from axiom.storage.store import PrunableStore, StorageError
from axiom_sandbox.protocol.quantities import parse_duration


def prune(
    where: str, classes: tuple[Path, ...], *, cluster: bool, dry: bool, safe_age: str, as_json: bool
) -> None:
    """Collects, and tells what was done."""
    with readable():
        try:
            age = parse_duration(safe_age)
        except ValueError as error:
            raise EvidenceError(f"--safe-age {safe_age!r}: {error}") from error
        store = open_store(where)
        try:
            policies = {one.name: one.spec.retention for one in load_classes(classes)}
            if cluster:
                policies |= asyncio.run(_of_cluster())
            collector = Collector(store, policies, lambda: datetime.now(UTC), safe_age=age, dry=dry)
            done = asyncio.run(collector.run())
        except (RefusedError, StorageError, ApiError, LoginError) as error:
            raise EvidenceError(str(error)) from error
    if as_json:
        sys.stdout.write(json.dumps({"dryRun": dry, **asdict(done)}) + "\n")
    else:
        _tell(done, dry=dry)


def open_store(where: str) -> PrunableStore:
    """By a folder or an `s3://` address; without one, that of local runs. Raises EvidenceError."""
    if where.startswith("s3://"):
        try:
            return open_bucket({**os.environ, "AXIOM_S3_BUCKET": urlsplit(where).netloc})
        except (SettingsError, StorageError) as error:
            raise EvidenceError(f"{where}: {error}") from error
    folder = Path(where) if where else default_state()
    root = folder / "store" if (folder / "store").is_dir() else folder
    if not (root / "tasks").is_dir():
        if not where:
            raise EvidenceError(
                f"nothing is kept in {folder} yet: no `axiom run` has ended there; name another folder or s3://BUCKET"
            )
        raise EvidenceError(f"{folder} is no state folder and no store: it has no folder `tasks`")
    return FolderStore(root)


async def _of_cluster() -> dict[str, EvidenceRetention]:
    async with Api("axiom-gc") as api:
        return await policies_of_cluster(api)


def _tell(done: Collected, *, dry: bool) -> None:
    verb = "would be deleted" if dry else "deleted"
    for name, why in done.tasks:
        typer.echo(f"{verb}: evidence of {plain(name)} ({why})")
    for name, what in done.pictures:
        typer.echo(f"{verb}: {what} of {plain(name)}")
    for text in done.unreadable:
        typer.echo(f"kept, as it cannot be read: {plain(text)}", err=True)
    typer.echo(f"{done.objects} objects of tasks and {done.blobs} blobs {verb}")
    if done.candidates:
        typer.echo(f"{done.candidates} blobs have no reference; they go once that was so for the safe age")
