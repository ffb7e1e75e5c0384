import os
import socket
import stat
from pathlib import Path

import pytest

from axiom_sandbox.protocol.changes import EntryKind
from axiom_sandbox.snapshots import Limits, clear, scan
from axiom_sandbox.snapshots.errors import SnapshotError
from axiom_sandbox.snapshots.paths import check_path, is_git_control, leaves_tree
from axiom_sandbox.snapshots.trees import OpenFile, copy_hashed, walk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    return root


@pytest.fixture
def unprivileged(tmp_path_factory: pytest.TempPathFactory):
    """Files are made and read as a user whom permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def reasons(tree) -> dict[str, str]:
    return {finding.path: finding.reason for finding in tree.findings}


def test_files_have_size_digest_and_executable_bit(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a/run.sh").write_bytes(b"abc")
    (root / "a/run.sh").chmod(0o755)
    entry = scan(root).entries["a/run.sh"]
    assert (entry.kind, entry.size, entry.executable) == (EntryKind.FILE, 3, True)
    assert entry.digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_links_inside_are_entries_and_are_not_followed(root: Path) -> None:
    (root / "real").mkdir()
    (root / "real/file").write_text("x")
    (root / "link").symlink_to("real")
    tree = scan(root)
    assert set(tree.entries) == {"real/file", "link"}
    assert tree.entries["link"].target == "real"


@pytest.mark.parametrize(
    ("path", "target", "leaves"),
    [
        ("a", "/etc/passwd", True),
        ("a", "..", True),
        ("a", "../b", True),
        ("d/a", "../b", False),
        ("d/a", "../../b", True),
        ("d/a", "./../b", False),
        ("a", "b/../c", True),  # b may be a link itself
        ("a", "b/c", False),
        ("a", ".", False),
        ("a", "", True),
        ("a", "...", False),
    ],
)
def test_links_that_can_leave_the_tree(path: str, target: str, leaves: bool) -> None:
    assert leaves_tree(path, target) is leaves


@pytest.mark.parametrize("path", ["", "/a", "a//b", "a/", "./a", "a/../b", "..", "a\0b", "x" * 256])
def test_paths_that_no_tree_holds(path: str) -> None:
    with pytest.raises(SnapshotError):
        check_path(path)


@pytest.mark.parametrize(
    ("path", "control"),
    [
        (".git/config", True),
        (".git/hooks/pre-commit", True),
        (".git/hooks/pre-commit.sample", False),
        (".git/HEAD", False),
        (".git/modules/lib/hooks/post-checkout", True),
        ("vendor/lib/.git", True),
        (".git/worktrees/w/config.worktree", True),
        ("src/hooks/config", False),
        (".gitignore", False),
    ],
)
def test_what_steers_git(path: str, control: bool) -> None:
    assert is_git_control(path) is control


def test_special_files_are_findings_and_never_opened(root: Path) -> None:
    os.mkfifo(root / "fifo")  # opening it for reading would wait for a writer
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
    (root / "ok").write_text("x")
    tree = scan(root)
    assert reasons(tree) == {"fifo": "is a FIFO", "socket": "is a socket"}
    assert list(tree.entries) == ["ok"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_devices_are_findings(root: Path) -> None:
    try:
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no device nodes here")
    assert reasons(scan(root)) == {"null": "is a character device"}


@pytest.mark.parametrize("bit", [stat.S_ISUID, stat.S_ISGID])
def test_setuid_and_setgid_files_are_findings(root: Path, bit: int) -> None:
    (root / "tool").write_text("x")
    (root / "tool").chmod(0o755 | bit)
    assert reasons(scan(root)) == {"tool": "has a setuid or setgid bit"}


def test_setgid_directories_are_ordinary(root: Path) -> None:
    (root / "shared").mkdir()
    (root / "shared").chmod(0o2775)
    (root / "shared/file").write_text("x")
    assert not scan(root).findings


@pytest.mark.parametrize("name", ["x" * 255, "two\nlines", "\udcff\udcfe", "a b", "-rf", "*", "ü"])
def test_strange_names(root: Path, name: str) -> None:
    (root / name).write_text("x")
    assert list(scan(root).entries) == [name]


def test_findings_name_paths_in_utf8(root: Path) -> None:
    os.mkfifo(root / "\udcff")
    assert list(reasons(scan(root))) == ["\\xff"]


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111, 0o755])
def test_own_unreadable_entries_are_read_and_keep_their_modes(
    unprivileged, tmp_path_factory, mode: int
) -> None:
    root = Path("/tmp") / f"axiom-unprivileged-{os.getpid()}-{mode}"
    (root / "locked").mkdir(parents=True)
    secret = root / "locked/secret"
    secret.write_text("x")
    secret.chmod(0)
    (root / "locked").chmod(mode)
    try:
        assert list(scan(root).entries) == ["locked/secret"]
        assert stat.S_IMODE((root / "locked").stat().st_mode) == mode
        (root / "locked").chmod(0o755)
        assert stat.S_IMODE(secret.stat().st_mode) == 0
    finally:
        (root / "locked").chmod(0o755)
        secret.unlink()
        (root / "locked").rmdir()
        root.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a file of another user")
def test_unreadable_entries_of_others_are_findings(root: Path) -> None:
    (root / "theirs").write_text("x")
    (root / "theirs").chmod(0o000)
    for folder in (root, *root.parents):
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        assert reasons(scan(root)) == {"theirs": "cannot be read: Permission denied"}
    finally:
        os.seteuid(0)


def test_large_files_are_findings_even_when_they_are_sparse(root: Path) -> None:
    with (root / "huge").open("wb") as huge:
        huge.truncate(1 << 40)
    (root / "small").write_text("x")
    tree = scan(root, Limits(max_file_bytes=1000))
    assert reasons(tree) == {"huge": "is larger than 1000 bytes"}
    assert list(tree.entries) == ["small"]


def test_a_file_that_grows_while_it_is_read_is_cut_off(root: Path) -> None:
    (root / "log").write_bytes(b"x")

    def consume(file: OpenFile) -> tuple[int, str]:
        (root / "log").write_bytes(b"x" * 5000)
        return copy_hashed(file)

    assert reasons(walk(root, Limits(max_file_bytes=1000), consume)) == {"log": "is larger than 1000 bytes"}


def test_too_many_files_end_the_walk(root: Path) -> None:
    for number in range(20):
        (root / f"{number:02}").write_text("x")
    tree = scan(root, Limits(max_files=5))
    assert len(tree.entries) == 5
    assert not tree.complete
    assert list(reasons(tree).values()) == ["more than 5 files; from here on nothing was read"]


def test_too_many_bytes_end_the_walk(root: Path) -> None:
    for number in range(5):
        (root / f"{number}").write_bytes(b"x" * 400)
    tree = scan(root, Limits(max_total_bytes=1000))
    assert list(tree.entries) == ["0", "1"]
    assert not tree.complete


def test_depth_is_bounded(root: Path) -> None:
    at = os.open(root, os.O_RDONLY)
    for _ in range(2000):  # deeper than any path can name
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    tree = scan(root, Limits(max_depth=10))
    assert [finding.reason for finding in tree.findings] == [
        "is more than 10 directories deep; nothing below was read"
    ]
    clear(root)
    assert not list(root.iterdir())


def test_a_directory_swapped_for_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    (root / "a").write_text("x")
    (root / "b").mkdir()
    (root / "b/inside").write_text("y")
    real_stat = os.stat

    def swap(name, *args, **kwargs):  # the enemy wins the race between looking and opening
        status = real_stat(name, *args, **kwargs)
        if name == "b":
            (root / "b").rename(root.parent / "moved")
            (root / "b").symlink_to(outside)
        return status

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", swap)
        tree = scan(root)
    assert list(tree.entries) == ["a"]
    assert reasons(tree) == {"b": "changed while it was read"}


def test_empty_directories_are_listed(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    assert scan(root).empty_directories == ("a/b",)
