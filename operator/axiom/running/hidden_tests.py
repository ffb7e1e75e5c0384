"""Hidden tests and baselines of a local run: a folder or an archive beside the task's file stands for each source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from axiom.gateway.carrying import Archive
from axiom.gateway.packing import WorkspaceError
from axiom_sandbox.protocol.criteria import Brought, Criterion
from axiom_sandbox.snapshots.archives import digest_of, pack
from axiom_sandbox.snapshots.errors import SnapshotError


class HiddenTestsError(WorkspaceError):
    """Hidden tests cannot be had; `field` names the criterion's source, the message the cure."""

    def __init__(self, field: str, message: str) -> None:
        self.field, self.cure = field, message
        super().__init__(f"spec.{field}: {message}")


def find_hidden(criteria: Iterable[Criterion], beside: Path) -> Mapping[str, Path]:
    """Name of a criterion → the folder or the archive with its hidden tests, or with its baselines where there is one.

    Args:
        beside: the folder of the file that names them.

    Raises HiddenTestsError.
    """
    found: dict[str, Path] = {}
    for criterion in criteria:
        if criterion.brings is None:
            continue
        path = beside / local_name(criterion.brings)
        if path.exists():
            found[criterion.name] = path
        elif criterion.hides:  # a baseline that is not there yet is told by the criterion
            raise HiddenTestsError(
                f"criteria[{criterion.name}].{criterion.bringing_field}",
                f"there is no folder or archive {path.name!r} beside the file, in {beside.resolve()}; put the hidden"
                f" tests there, as they stand for {criterion.brings.source}",
            )
    return found


def pack_hidden(found: Mapping[str, Path], scratch: Path) -> Mapping[str, Archive]:
    """Archives of what was found, folders packed. Raises HiddenTestsError."""
    archives: dict[str, Archive] = {}
    for name, path in found.items():
        try:
            archives[name] = _archive(path, scratch / f"hidden-{name}.tar.zst")
        except (SnapshotError, OSError) as error:
            raise HiddenTestsError(f"criteria[{name}]", f"{path}: {error}") from error
    return archives


def _archive(path: Path, target: Path) -> Archive:
    if path.is_dir():
        return Archive(target, pack(path, target).digest)
    return Archive(path, digest_of(path))


def local_name(source: Brought) -> str:
    """What stands for a source beside the task's file. Pure."""
    if source.archive:
        return source.archive.key
    given = source.secret or source.config_map
    assert given is not None, "exactly one source is given"
    return given.name
