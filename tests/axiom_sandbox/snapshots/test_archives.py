import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from tests.axiom_sandbox.snapshots.strategies import build, trees

from axiom_sandbox.snapshots import ArchiveError, Limits, SnapshotError, pack, read_tree, scan, unpack


@given(content=trees())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_unpack_restores_what_was_packed(tmp_path_factory: pytest.TempPathFactory, content) -> None:
    folder = tmp_path_factory.mktemp("t")
    build(folder / "a", content)
    info = pack(folder / "a", folder / "a.tar.zst")
    tree = unpack(folder / "a.tar.zst", folder / "b")
    again = scan(folder / "b")
    assert dict(tree.entries) == dict(scan(folder / "a").entries) == dict(again.entries)
    assert tree.digest == info.digest
    assert read_tree(folder / "a.tar.zst") == tree
    assert pack(folder / "b", folder / "b.tar.zst").digest == info.digest


def test_the_same_tree_gives_the_same_bytes_whatever_its_times_and_modes(tmp_path: Path) -> None:
    for name, mode in (("a", 0o600), ("b", 0o664)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("x")
        (tmp_path / name / "f").chmod(mode)
    assert pack(tmp_path / "a", tmp_path / "1").digest == pack(tmp_path / "b", tmp_path / "2").digest


def test_git_and_empty_directories_are_packed(tmp_path: Path) -> None:
    (tmp_path / "a/.git/refs/heads").mkdir(parents=True)
    (tmp_path / "a/.git/HEAD").write_text("ref: refs/heads/main\n")
    pack(tmp_path / "a", tmp_path / "x")
    unpack(tmp_path / "x", tmp_path / "b")
    assert (tmp_path / "b/.git/refs/heads").is_dir()
    assert (tmp_path / "b/.git/HEAD").read_text() == "ref: refs/heads/main\n"


def test_what_cannot_be_packed_is_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/link").symlink_to("/etc/passwd")
    info = pack(tmp_path / "a", tmp_path / "x")
    assert [finding.path for finding in info.tree.findings] == ["link"]
    assert info.files == 0


def test_a_workspace_larger_than_the_limits_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in "123":
        (tmp_path / "a" / name).write_text("x")
    with pytest.raises(SnapshotError, match="more than 2 files"):
        pack(tmp_path / "a", tmp_path / "x", Limits(max_files=2))
    assert not (tmp_path / "x").exists()
    assert not list(tmp_path.glob("*.partial"))


def member(
    name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), link
    return info, data


def write(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    path.write_bytes(zstandard.compress(buffer.getvalue()))
    return path


HOSTILE = {
    "absolute path": [member("/etc/x")],
    "path that climbs": [member("../x")],
    "path that climbs in the middle": [member("a/../../x")],
    "absolute link": [member("a", tarfile.SYMTYPE, link="/etc")],
    "link that climbs": [member("a", tarfile.SYMTYPE, link="../x")],
    "hard link": [member("a", tarfile.LNKTYPE, link="/etc/passwd")],
    "FIFO": [member("a", tarfile.FIFOTYPE)],
    "device": [member("a", tarfile.CHRTYPE)],
    "path twice": [member("a", data=b"1"), member("a", data=b"2")],
    "path longer than a name may be": [member("x" * 256)],
    "file that is too large": [member("a", data=b"x" * 2000)],
    "too many files": [member(str(n)) for n in range(20)],
    "header that is too long": [member("x/" * 200_000 + "x")],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_archives_are_refused(tmp_path: Path, members) -> None:
    archive = write(tmp_path / "x", *members)
    with pytest.raises(ArchiveError):
        unpack(archive, tmp_path / "root", Limits(max_files=10, max_file_bytes=1000))
    assert [path.name for path in tmp_path.iterdir() if path.name not in {"x", "root"}] == []


@pytest.mark.parametrize(
    "members",
    [
        [member("d", tarfile.SYMTYPE, link="e"), member("d/file", data=b"x")],
        [member("f", data=b"x"), member("f/file", data=b"x")],
        [member("f/file", data=b"x"), member("f", data=b"x")],
    ],
)
def test_nothing_is_written_through_a_link_or_a_file(tmp_path: Path, members) -> None:
    (tmp_path / "root/e").mkdir(parents=True)
    with pytest.raises(SnapshotError):
        unpack(write(tmp_path / "x", *members), tmp_path / "root")
    assert not list((tmp_path / "root/e").iterdir())


def test_what_exists_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").write_text("mine")
    with pytest.raises(SnapshotError, match="File exists"):
        unpack(write(tmp_path / "x", member("a", data=b"x")), tmp_path / "root")


def test_a_bomb_is_defused(tmp_path: Path) -> None:
    archive = write(tmp_path / "x", member("a", data=bytes(50_000_000)))
    assert archive.stat().st_size < 10_000
    with pytest.raises(ArchiveError):
        unpack(archive, tmp_path / "root", Limits(max_files=10, max_total_bytes=1_000_000))


@pytest.mark.parametrize("keep", [0, 10, 40, -1])
def test_damaged_archives_are_refused(tmp_path: Path, keep: int) -> None:
    archive = write(tmp_path / "x", member("a", data=b"x" * 600), member("b", data=bytes(range(256)) * 9))
    archive.write_bytes(archive.read_bytes()[:keep] + (b"" if keep >= 0 else b"\xff"))
    with pytest.raises(ArchiveError):
        unpack(archive, tmp_path / "root")


def test_ordinary_archives_of_others_are_taken(tmp_path: Path) -> None:
    archive = write(
        tmp_path / "x",
        member("./", tarfile.DIRTYPE),
        member("./d/", tarfile.DIRTYPE),
        member("./d/f", data=b"x"),
    )
    assert list(unpack(archive, tmp_path / "root").entries) == ["d/f"]


def test_a_workspace_that_leaves_no_room_to_work_is_refused_while_it_is_unpacked(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(bytes(600))
    (tree / "b").write_bytes(bytes(600))
    pack(tree, tmp_path / "archive")
    with pytest.raises(SnapshotError, match="its files have more than 1,000 bytes"):
        unpack(tmp_path / "archive", tmp_path / "out", most_bytes=1000)
    unpack(tmp_path / "archive", tmp_path / "whole", most_bytes=1200)


def test_reading_and_writing_do_not_keep_the_header_of_every_member(tmp_path: Path) -> None:
    """tarfile alone would hold 1.5 kB for each of them."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(3000):
        (tree / f"{number:05}").write_text("x")
    tracemalloc.start()
    try:
        pack(tree, tmp_path / "archive")
        read_tree(tmp_path / "archive")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / 3000 < 2000
