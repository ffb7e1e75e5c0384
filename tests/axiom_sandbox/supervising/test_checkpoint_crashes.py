"""A supervisor that is killed with -9 while it takes checkpoints: each that was announced is whole, and gives back its moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.axiom_sandbox.snapshots.test_states import Look, look, play
from tests.axiom_sandbox.supervising.keeper import MOMENT, checkpointer
from tests.faults.parts import IS_LONG, chance_of, kills, share_of

from axiom_sandbox.protocol.checkpoints import Manifest, Why
from axiom_sandbox.snapshots.archives import digest_of
from axiom_sandbox.snapshots.states import Memory, put_in_place, take
from axiom_sandbox.supervising.restoring import restore, states_of

KEEPER = Path(__file__).with_name("keeper.py")
KILLS = kills(2, most=1_000)
"""A life takes most of a second."""
RUNS = share_of(200) if IS_LONG else 1
UNMEASURED = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


def live_and_die(folder: Path, chance: random.Random) -> int:
    """How many checkpoints it announced."""
    root = Path(__file__).parents[3]
    command = [sys.executable, str(KEEPER), str(folder), str(chance.randrange(2**32))]
    environment = {**UNMEASURED, "PYTHONPATH": f"{root}:{root / 'operator'}:{root / 'sandbox-image'}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        announced = [process.stdout.readline() for _ in range(chance.randint(1, 4))]
        until = time.perf_counter() + chance.uniform(0, 0.05)
        while time.perf_counter() < until:
            continue
        process.send_signal(signal.SIGKILL)
        announced += process.stdout.readlines()
    assert all(announced), "it ended by itself"
    return len(announced)


def test_whenever_it_is_killed_what_was_announced_is_whole(tmp_path: Path) -> None:
    chance = chance_of("checkpoints")
    folder, count = tmp_path / "sandbox", 0
    for life in range(KILLS):
        count += live_and_die(folder, chance)
        _, board = checkpointer(folder)
        blobs, taken = folder / "state" / "blobs", board.state.checkpoints
        assert taken[-1].number >= count, "what was announced is there after any end"
        assert [one.number for one in taken] == sorted({one.number for one in taken})
        names = {blob.digest for blob in board.state.blobs}
        for one in random.Random(life).sample(taken, min(2, len(taken))):
            manifest = Manifest.model_validate_json((blobs / one.digest).read_bytes())
            for part in manifest.parts:
                assert digest_of(blobs / part.digest) == part.digest
                assert part.digest in names
            again = tmp_path / f"again-{life}-{one.number}"
            again.mkdir()
            tree, _ = states_of(blobs, manifest)
            assert tree.digest == manifest.workspace.fingerprint
            put_in_place(tree, blobs, again)
            assert take(again, tmp_path / "packs", Memory()).digest == tree.digest


KINDS = ("file", "file", "sparse", "dir", "link", "hard", "chmod", "delete", "touch", "append", "rename")


def some_moves(chance: random.Random) -> list[tuple[str, int, bytes, bytes, int]]:
    """What an agent might do between two checkpoints."""
    return [
        (
            chance.choice(KINDS),
            chance.randrange(31),
            chance.choice([b"a", b"b", b"c", b"d\n", b"\xff", b"n" * 255, b" "]),
            chance.randbytes(chance.choice([0, 10, 5_000, 150_000])),
            chance.choice([0o644, 0o755, 0o600, 0o444, 0o700]),
        )
        for _ in range(chance.randrange(12))
    ]


@pytest.mark.parametrize("run", range(RUNS))
async def test_every_checkpoint_of_a_random_run_gives_back_the_workspace_and_home_of_its_moment(
    tmp_path: Path, run: int
) -> None:
    chance, moments = chance_of(run), list[tuple[str, Look, Look]]()
    keeper, board = checkpointer(tmp_path / "sandbox")
    workspace, home = tmp_path / "sandbox" / "workspace", tmp_path / "sandbox" / "home"
    await keeper.prepare()
    for _ in range(chance.randint(4, 8)):
        for root in (workspace, home):
            play(os.fsencode(root), some_moves(chance))
        seen = look(workspace), look(home)
        taken = await keeper.keep(await keeper.read_files(), MOMENT, Why.TIMER)
        keeper.announce(taken)
        moments.append((taken.digest, *seen))
    blobs = tmp_path / "sandbox" / "state" / "blobs"
    assert len(board.state.checkpoints) == len(moments)
    for digest, *seen in chance.sample(moments, len(moments)):
        restore(blobs, digest, tmp_path / "sandbox" / "base.tar.zst", workspace, home)
        assert [look(workspace), look(home)] == seen
