"""Archives by any tar: their files are taken, what cannot be is left out and listed, what is hostile is refused."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from axiom_sandbox.snapshots import ArchiveError, SnapshotError, digest_of, pack, read_tree
from axiom_sandbox.snapshots.importing import extract
from axiom_sandbox.snapshots.trees import Amount, Limits
from axiom_sandbox.snapshots.volumes import pack_volume


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


def tar_of(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, content in entries:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def archive(tmp_path: Path, data: bytes) -> Path:
    file = tmp_path / "given"
    file.write_bytes(data)
    return file


def found(tmp_path: Path) -> dict[str, str]:
    root = tmp_path / "tree"
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


SIMPLE = tar_of((member("./"), b""), (member("./b/x", mode=0o755), b"x"), (member("a"), b"1"))


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_plain_gzip_and_zstd_are_read(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    amount = Amount()
    assert extract(archive(tmp_path, compress(SIMPLE)), tmp_path / "tree", amount=amount) == ()
    assert found(tmp_path) == {"a": "1", "b/x": "x"}
    assert (tmp_path / "tree" / "b" / "x").stat().st_mode & 0o100
    assert (amount.files, amount.bytes) == (2, 2)


def test_what_gnu_tar_makes_packs_to_the_same_base_as_the_folder_itself(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep" / ("n" * 120)).mkdir(parents=True)
    (folder / "deep" / ("n" * 120) / "file").write_text("long name")
    (folder / "one").write_text("1")
    (folder / "two").hardlink_to(folder / "one")
    (folder / "link").symlink_to("one")
    subprocess.run(["tar", "-C", folder, "-czf", tmp_path / "given", "."], check=True)
    extract(tmp_path / "given", tmp_path / "tree")
    pack(tmp_path / "tree", tmp_path / "mine")
    pack(folder, tmp_path / "base")
    assert digest_of(tmp_path / "mine") == digest_of(tmp_path / "base")


def test_of_a_path_that_is_there_twice_the_last_one_counts(tmp_path: Path) -> None:
    data = tar_of((member("a"), b"old"), (member("a"), b"new"))
    extract(archive(tmp_path, data), tmp_path / "tree")
    assert found(tmp_path) == {"a": "new"}


def test_what_cannot_be_taken_over_is_left_out_and_listed(tmp_path: Path) -> None:
    data = tar_of(
        (member("pipe", tarfile.FIFOTYPE), b""),
        (member("out", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (member("hard", tarfile.LNKTYPE, "nothing"), b""),
        (member("kept"), b"k"),
    )
    findings = extract(archive(tmp_path, data), tmp_path / "tree")
    assert {finding.path for finding in findings} == {"pipe", "out", "hard"}
    assert found(tmp_path) == {"kept": "k"}


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b"])
def test_a_name_that_leads_out_refuses_the_whole(tmp_path: Path, name: str) -> None:
    with pytest.raises(SnapshotError, match="not a path inside"):
        extract(archive(tmp_path, tar_of((member(name), b"x"))), tmp_path / "tree")
    assert not (tmp_path / "x").exists()


def test_a_symlink_is_never_written_through(tmp_path: Path) -> None:
    data = tar_of((member("d", tarfile.SYMTYPE, "real"), b""), (member("real/"), b""), (member("d/x"), b"x"))
    with pytest.raises(SnapshotError, match="cannot be written"):
        extract(archive(tmp_path, data), tmp_path / "tree")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(max_files=1), "more than 1 files"),
        (Limits(max_file_bytes=3), "'big' is larger than 3 bytes"),
        (Limits(max_total_bytes=5, max_file_bytes=100), "more than 5 bytes"),
    ],
)
def test_what_is_too_large_is_refused(tmp_path: Path, limits: Limits, said: str) -> None:
    data = tar_of((member("big"), b"12345"), (member("more"), b"6"))
    with pytest.raises(ArchiveError, match=said):
        extract(archive(tmp_path, data), tmp_path / "tree", limits)


def test_a_small_file_that_unpacks_without_end_is_stopped(tmp_path: Path) -> None:
    bomb = gzip.compress(tar_of((member("zeros"), bytes(50_000_000))))
    limits = Limits(max_files=10, max_total_bytes=1_000_000)
    with pytest.raises(ArchiveError, match="unpacks to more than is allowed"):
        extract(archive(tmp_path, bomb), tmp_path / "tree", limits)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"BZh91AY", "compressed with bzip2; make it a tar, tar.gz or tar.zst"),
        (b"PK\x03\x04rest", "compressed with zip"),
        (b"nothing of the kind", "damaged, or no tar"),
        (gzip.compress(SIMPLE)[:-20], "damaged, or no tar"),
    ],
)
def test_what_is_no_archive_says_what_to_make(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(ArchiveError, match=said):
        extract(archive(tmp_path, data), tmp_path / "tree")


def test_a_folder_of_a_volume_is_packed_and_the_volume_left_as_it_is(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "src" / "app").mkdir(parents=True)
    (volume / "src" / "app" / "main.py").write_text("1")
    (volume / "lost+found").mkdir()
    pack_volume(volume, "src", tmp_path / "some")
    assert set(read_tree(tmp_path / "some").entries) == {"app/main.py"}
    pack_volume(volume, "", tmp_path / "all")
    assert set(read_tree(tmp_path / "all").entries) == {"src/app/main.py"}
    assert read_tree(tmp_path / "all").empty_directories == ()


@pytest.mark.parametrize("path", ["missing", "link", "link/inside", "file"])
def test_a_path_of_a_volume_is_a_folder_and_no_symlink(tmp_path: Path, path: str) -> None:
    (tmp_path / "keys" / "inside").mkdir(parents=True)
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_text("")
    (volume / "link").symlink_to("../keys")
    with pytest.raises(SnapshotError, match=r"is no folder of the volume.*persistentVolumeClaim.path"):
        pack_volume(volume, path, tmp_path / "archive")
