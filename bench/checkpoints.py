"""How long it takes to keep a workspace of a gigabyte exactly, once and once more, and to put it back. Prints one JSON object.

`python -m bench.checkpoints [--files N] [--bytes N] [--changed N] [--folder FOLDER]`; the folder has to be on a real disk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

from axiom_sandbox.snapshots.states import Memory, put_in_place, read_state, take, write_state


def fill(root: Path, files: int, size: int, chance: random.Random) -> None:
    """A workspace: two fifths of each file are random, the rest is words."""
    words = [chance.randbytes(chance.randint(2, 12)).hex().encode() for _ in range(4_000)]
    for number in range(files):
        path = root / f"{number % 200}" / f"{number // 200 % 10}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        length = size // files
        text = b" ".join(chance.choices(words, k=length // 12))
        path.write_bytes((chance.randbytes(2 * length // 5) + text)[:length])


def measure(folder: Path, files: int, size: int, changed: int) -> dict[str, float]:
    """Seconds of each step."""
    root, packs, memory, chance = folder / "root", folder / "packs", Memory(), random.Random(1)
    fill(root, files, size, chance)
    os.sync()
    time.sleep(0.2)
    memory.quiet_ns = time.time_ns()

    def keep(name: str) -> float:
        began = time.perf_counter()
        state = take(root, packs, memory)
        write_state(state, folder / name)
        return time.perf_counter() - began

    first = keep("first")
    for number in range(changed):
        (root / f"{number % 200}" / "0" / f"file-{number % 200}").write_bytes(chance.randbytes(20_000))
    second = keep("second")
    shutil.rmtree(root)
    root.mkdir()
    os.sync()
    began = time.perf_counter()
    state = read_state(folder / "second")
    put_in_place(state, packs, root)
    restoring = time.perf_counter() - began
    held = sum(node.size for node in state.nodes)
    return {
        "bytes": held,
        "files": files,
        "changed": changed,
        "first_seconds": first,
        "second_seconds": second,
        "restore_mb_s": held / 1e6 / restoring,
        "stored_bytes": sum(path.stat().st_size for path in packs.iterdir()),
        "tree_bytes": (folder / "second").stat().st_size,
    }


def main() -> None:
    """Run once and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=10**9)
    parser.add_argument("--changed", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        print(json.dumps(measure(Path(scratch), arguments.files, arguments.bytes, arguments.changed)))


if __name__ == "__main__":
    main()
