import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from tests.axiom_sandbox.snapshots.strategies import build, trees

from axiom_sandbox.snapshots import PatchError, capture, make_patch, pack, read_tree, scan, unpack
from axiom_sandbox.snapshots.patches import MAX_FILE_BYTES, name_both_sides


def patch_between(folder: Path, before, after) -> Path:
    build(folder / "source", before)
    build(folder / "after", after)
    info = pack(folder / "source", folder / "base.tar.zst")
    result = capture(info.tree, folder / "after", folder / "out")
    make_patch(folder / "base.tar.zst", result.archive, folder / "patch")
    return folder / "patch"


@given(before=trees(), after=trees())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_git_apply_makes_the_candidate_of_the_base(tmp_path_factory, before, after) -> None:
    loops = [path for path, what in before.items() if isinstance(what, str)]
    assume(
        not any(path.startswith(f"{loop}/") for path in after for loop in loops)
    )  # git apply looks through the link
    folder = tmp_path_factory.mktemp("t")
    patch = patch_between(folder, before, after)
    unpack(folder / "base.tar.zst", folder / "checkout")
    if patch.stat().st_size:
        subprocess.run(
            ["git", "apply", patch], cwd=folder / "checkout", check=True, env={"PATH": os.environ["PATH"]}
        )
    assert dict(scan(folder / "checkout").entries) == dict(scan(folder / "after").entries)


def test_a_patch_reads_as_from_a_checkout(tmp_path: Path) -> None:
    patch = patch_between(tmp_path, {"a": b"1\n", "gone": b"g\n"}, {"a": b"2\n", "new": b"n\n"})
    headers = [line for line in patch.read_text().splitlines() if line.startswith(("diff", "---", "+++"))]
    assert headers == [
        "diff --git a/a b/a", "--- a/a", "+++ b/a",
        "diff --git a/gone b/gone", "--- a/gone", "+++ /dev/null",
        "diff --git a/new b/new", "--- /dev/null", "+++ b/new",
    ]  # fmt: skip


def test_attributes_and_configuration_of_the_agent_do_not_hide_anything(tmp_path: Path) -> None:
    before = {".gitattributes": b"*.py -diff\n", "a.py": b"1\n"}
    patch = patch_between(tmp_path, before, before | {"a.py": b"2\n"})
    assert "+2" in patch.read_text().splitlines()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"diff --git b/x b/x\n", b"diff --git a/x b/x\n"),
        (b"diff --git a/x a/x\n", b"diff --git a/x b/x\n"),
        (b"diff --git a/x b/x\n", b"diff --git a/x b/x\n"),
        (b'diff --git "b/\\n" "b/\\n"\n', b'diff --git "a/\\n" "b/\\n"\n'),
        (b"diff --git b/x y b/x y\n", b"diff --git a/x y b/x y\n"),
    ],
)
def test_headers_name_both_sides(header: bytes, expected: bytes) -> None:
    assert name_both_sides(header) == expected


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "not installed"),
        ("#!/bin/sh\necho broken >&2; exit 128\n", "broken"),
        ("#!/bin/sh\nexec sleep 60\n", "longer"),
    ],
)
def test_git_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, message: str
) -> None:
    build(tmp_path / "a", {"x": b"1"})
    info = pack(tmp_path / "a", tmp_path / "base")
    result = capture(info.tree, tmp_path / "a", tmp_path / "out")
    (tmp_path / "bin").mkdir()
    if script:
        (tmp_path / "bin/git").write_text(script)
        (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin" if script else str(tmp_path / "bin"))
    if script:
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.defpath}")
    with pytest.raises(PatchError, match=message):
        make_patch(
            tmp_path / "base", result.archive, tmp_path / "patch", timeout=0.2 if message == "longer" else 60
        )


def test_a_file_that_is_too_large_for_a_patch_is_named(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "shrinks").write_bytes(bytes(MAX_FILE_BYTES + 1))
    pack(tree, tmp_path / "base")
    (tree / "shrinks").write_text("small")
    (tree / "grows").write_bytes(bytes(MAX_FILE_BYTES + 1))
    (tree / "shown").write_text("text\n")
    changes = capture(read_tree(tmp_path / "base"), tree, tmp_path / "captured").archive
    make_patch(tmp_path / "base", changes, tmp_path / "patch")
    lines = (tmp_path / "patch").read_text().splitlines()
    assert lines[:2] == [
        f"# not shown, as larger than {MAX_FILE_BYTES:,} bytes: '{n}'" for n in ("grows", "shrinks")
    ]
    assert "+text" in lines
    assert len(lines) < 20
