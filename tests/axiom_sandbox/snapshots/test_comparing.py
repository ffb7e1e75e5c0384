"""How much of a round's patch is new."""

from pathlib import Path

import pytest

from axiom_sandbox.snapshots.comparing import changed_percent, share

PATCH = b"--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n same\n-old\n+new\n".splitlines(keepends=True)


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [
        (PATCH, PATCH, 0),
        (PATCH, [*PATCH[:2], b"@@ -9,2 +9,2 @@\n", b" other\n", *PATCH[4:]], 0),
        (PATCH, [], 100),
        ([], [], 0),
        ([b"+a\n"] * 3, [b"+a\n"] * 4, 15),
        ([b"+%d\n" % n for n in range(100)], [b"+%d\n" % n for n in range(98)] + [b"+x\n", b"+y\n"], 2),
        ([b"+%d\n" % n for n in range(100)], [b"+%d\n" % n for n in range(50)], 34),
    ],
    ids=["same", "moved", "all taken back", "nothing", "once more", "two lines of a hundred", "half"],
)
def test_the_share_of_lines_that_only_one_has(before: list[bytes], after: list[bytes], percent: int) -> None:
    assert share(before, after) == share(after, before) == percent


def test_two_files(tmp_path: Path) -> None:
    for name, content in (("a", b"+a\n+b\n"), ("b", b"+a\n+c\n")):
        (tmp_path / name).write_bytes(content)
    assert changed_percent(tmp_path / "a", tmp_path / "b") == 50
