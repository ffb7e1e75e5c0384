import io
import json
import os
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from tests.axiom_sandbox.snapshots.strategies import build, trees

from axiom_sandbox.protocol.changes import ChangeKind
from axiom_sandbox.snapshots import (
    ArchiveError,
    Limits,
    SnapshotError,
    apply_changes,
    capture,
    pack,
    read_changes,
    scan,
    unpack,
)
from axiom_sandbox.snapshots.captures import applied


class Workspace:
    """A base, and a workspace that began as it."""

    def __init__(self, folder: Path, content) -> None:
        self.folder = folder
        build(folder / "source", content)
        pack(folder / "source", folder / "base.tar.zst")
        self.root = folder / "workspace"
        self.base = unpack(folder / "base.tar.zst", self.root)

    def capture(self, **limits: int):
        return capture(self.base, self.root, self.folder / "out", Limits(**limits))

    def fresh(self, name: str = "fresh") -> Path:
        unpack(self.folder / "base.tar.zst", self.folder / name)
        return self.folder / name


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, {"src/leap.py": b"old\n", "README": b"read\n", ".git/config": b"[core]\n"})


def paths(result) -> dict[str, ChangeKind]:
    return {change.path: change.kind for change in result.changes.changes}


def reasons(result) -> dict[str, str]:
    return {finding.path: finding.reason for finding in result.changes.findings}


@given(before=trees(), after=trees())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_applying_a_capture_to_the_base_gives_the_workspace(tmp_path_factory, before, after) -> None:
    folder = tmp_path_factory.mktemp("t")
    space = Workspace(folder, before)
    build(folder / "after", after)
    result = capture(space.base, folder / "after", folder / "out")
    fresh = space.fresh()
    assert apply_changes(result.archive, fresh) == result.changes == read_changes(result.archive)
    assert dict(scan(fresh).entries) == dict(scan(folder / "after").entries)
    assert dict(applied(space.base, result.changes).entries) == dict(scan(fresh).entries)


def test_a_base_as_large_as_the_limit_leaves_room_for_changes(workspace: Workspace) -> None:
    (workspace.root / "one").write_text("1")
    (workspace.root / "two").write_text("2")
    result = workspace.capture(max_files=2, max_total_bytes=2)
    assert result.complete
    assert paths(result) == {"one": ChangeKind.ADDED, "two": ChangeKind.ADDED}
    (workspace.root / "three").write_text("3")
    assert not workspace.capture(max_files=2).complete


def test_added_modified_and_deleted(workspace: Workspace) -> None:
    (workspace.root / "src/leap.py").write_text("new\n")
    (workspace.root / "README").unlink()
    (workspace.root / "notes").write_text("n")
    result = workspace.capture()
    assert paths(result) == {
        "README": ChangeKind.DELETED,
        "notes": ChangeKind.ADDED,
        "src/leap.py": ChangeKind.MODIFIED,
    }
    assert result.changes.base == workspace.base.digest
    assert result.archive.name == f"{result.digest}.tar.zst"
    assert result.size == result.archive.stat().st_size


def test_a_changed_mode_is_a_change(workspace: Workspace) -> None:
    (workspace.root / "README").chmod(0o755)
    result = workspace.capture()
    assert paths(result) == {"README": ChangeKind.MODIFIED}
    fresh = workspace.fresh()
    apply_changes(result.archive, fresh)
    assert (fresh / "README").stat().st_mode & 0o777 == 0o755


def test_an_untouched_workspace_has_no_changes(workspace: Workspace) -> None:
    assert not workspace.capture().changes.changes


def test_equal_workspaces_have_equal_fingerprints(workspace: Workspace) -> None:
    untouched = workspace.capture().fingerprint
    (workspace.root / "README").write_text("1")
    first = workspace.capture().fingerprint
    os.utime(workspace.root / "README", (1, 1))
    os.mkfifo(workspace.root / "fifo")
    assert workspace.capture().fingerprint == first != untouched


def test_git_is_not_part_of_the_difference_and_its_controls_are_findings(workspace: Workspace) -> None:
    git = workspace.root / ".git"
    (git / "hooks").mkdir()
    (git / "hooks/pre-commit").write_text("#!/bin/sh\n")
    (git / "hooks/pre-push.sample").write_text("#!/bin/sh\n")
    (git / "config").write_text("[core]\n\tfsmonitor = evil\n")
    (git / "HEAD").write_text("ref: x\n")
    (git / "objects").mkdir()
    (git / "objects/config").write_text("not a configuration")
    result = workspace.capture()
    assert not result.changes.changes
    assert set(reasons(result)) == {".git/config", ".git/hooks/pre-commit"}


def test_caches_and_bytecode_are_no_changes(workspace: Workspace) -> None:
    for path in ("src/__pycache__/leap.cpython-311.pyc", "src/leap.pyc", ".pytest_cache/v/x"):
        (workspace.root / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace.root / path).write_bytes(b"planted")
    result = workspace.capture()
    assert not result.changes.changes
    assert not result.changes.findings


def test_a_path_replaced_by_a_finding_is_deleted(workspace: Workspace) -> None:
    (workspace.root / "src/leap.py").unlink()
    (workspace.root / "src/leap.py").symlink_to("/etc/passwd")
    result = workspace.capture()
    assert paths(result) == {"src/leap.py": ChangeKind.DELETED}
    assert "leaves the workspace" in reasons(result)["src/leap.py"]


def test_a_directory_that_became_a_link(workspace: Workspace) -> None:
    (workspace.root / "src").rename(workspace.root / "lib")
    (workspace.root / "src").symlink_to("lib")
    result = workspace.capture()
    fresh = workspace.fresh()
    apply_changes(result.archive, fresh)
    assert (fresh / "src").readlink() == Path("lib")
    assert (fresh / "src/leap.py").read_text() == "old\n"


def test_a_large_file_of_the_base_is_no_finding(tmp_path: Path) -> None:
    space = Workspace(tmp_path, {"large": b"x" * 5000})
    (space.root / "new").write_bytes(b"x" * 5000)
    result = space.capture(max_file_bytes=1000)
    assert set(reasons(result)) == {"new"}
    assert not result.changes.changes


def test_when_a_limit_ends_the_reading_nothing_counts_as_deleted(workspace: Workspace) -> None:
    for number in range(10):
        (workspace.root / f"A{number}").write_text("x")
    result = workspace.capture(max_files=4)
    assert not result.complete
    assert ChangeKind.DELETED not in paths(result).values()


def test_the_digest_is_that_of_the_bytes_archived(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = workspace.root / "src/leap.py"
    target.write_text("first\n")
    real_read, seen = os.read, []

    def read(descriptor: int, size: int) -> bytes:  # the enemy writes after each read
        data = real_read(descriptor, size)
        if data == b"first\n":
            seen.append(data)
            with target.open("r+b") as file:
                file.write(b"SECND\n")
        return data

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read)
        result = workspace.capture()
    assert seen
    fresh = workspace.fresh()
    apply_changes(result.archive, fresh)
    assert (fresh / "src/leap.py").read_text() == "first\n"


def rewrite(archive: Path, change_manifest=lambda m: m, change_files=lambda name, data: (name, data)) -> Path:
    raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(archive.read_bytes())).read()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(raw)) as old, tarfile.open(fileobj=buffer, mode="w") as new:
        for info in old:
            data = old.extractfile(info).read()
            if info.name == "changes.json":
                data = json.dumps(change_manifest(json.loads(data))).encode()
            else:
                info.name, data = change_files(info.name, data)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))
    archive.write_bytes(zstandard.compress(buffer.getvalue()))
    return archive


def with_change(**fields):
    def change(manifest):
        manifest["changes"][0] |= fields
        return manifest

    return change


def with_entry(**fields):
    def change(manifest):
        manifest["changes"][0]["entry"] |= fields
        if "path" in fields:
            manifest["changes"][0]["path"] = fields["path"]
        return manifest

    return change


LINK = {"kind": "Symlink", "digest": "", "size": 0}
FORGED = {
    "path that climbs": (with_entry(path="../x"), None),
    "git hook": (with_entry(path=".git/hooks/pre-commit"), None),
    "bytecode": (with_entry(path="src/leap.pyc"), None),
    "entry of another path": (with_change(path="other"), None),
    "deletion with an entry": (with_change(kind="Deleted"), None),
    "link that leaves": (with_entry(target="/etc", **LINK), None),
    "content with another digest": (None, lambda name, data: (name, b"evil")),
    "content that nobody names": (None, lambda name, data: ("files/" + "0" * 64, data)),
    "unknown member": (None, lambda name, data: ("other", data)),
    "list that is none": (lambda manifest: [], None),
    "deletion of what is not there": (
        lambda m: m | {"changes": [{"path": "nowhere", "kind": "Deleted", "entry": None}]},
        None,
    ),
    "content that is missing": (with_entry(digest="1" * 64), None),
}


@pytest.mark.parametrize("forgery", FORGED.values(), ids=FORGED.keys())
def test_forged_changes_are_refused(workspace: Workspace, forgery) -> None:
    (workspace.root / "src/leap.py").write_text("new\n")
    manifest, files = forgery
    archive = rewrite(
        workspace.capture().archive, manifest or (lambda m: m), files or (lambda name, data: (name, data))
    )
    with pytest.raises(SnapshotError):
        apply_changes(archive, workspace.fresh())


def test_an_archive_without_a_list_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="not with its list"):
        read_changes(workspace.folder / "base.tar.zst")
    empty = tmp_path / "empty"
    empty.write_bytes(zstandard.compress(bytes(10240)))
    with pytest.raises(ArchiveError, match="empty"):
        read_changes(empty)
    with pytest.raises(ArchiveError, match="empty"):
        apply_changes(empty, workspace.fresh())
