"""Workspaces for property tests: path → bytes (file), (bytes, True) as an executable, or str (symlink target)."""

from pathlib import Path

from hypothesis import strategies as st

NAMES = st.sampled_from(
    [
        "a",
        "b",
        "c",
        "a-b",
        "a.b",
        "ü",
        "two\nlines",
        "tab\t",
        'q"uote',
        "\udcff",
        "x" * 255,
        "src",
        "-r",
        "back\\slash",
    ]
)
CONTENTS = st.one_of(
    st.binary(max_size=64),
    st.sampled_from(
        [b"", b"one\n", b"one\ntwo\n", b"one\r\ntwo\r\n", b"no newline", b"diff --git b/a b/a\n"]
    ),
)
LEAVES = st.one_of(CONTENTS, st.tuples(CONTENTS, st.just(value=True)), st.sampled_from(["a", "src/b", "./c"]))


@st.composite
def trees(draw):
    found = {}
    for parts in draw(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=8)):
        path = "/".join(parts)
        prefixes = {"/".join(parts[:i]) for i in range(1, len(parts))}
        if prefixes & found.keys() or any(other.startswith(path + "/") for other in found):
            continue
        found[path] = draw(LEAVES)
    return found


def build(root: Path, content) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for path, what in content.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, str):
            target.symlink_to(what)
            continue
        data, executable = what if isinstance(what, tuple) else (what, False)
        target.write_bytes(data)
        target.chmod(0o755 if executable else 0o644)
    return root
