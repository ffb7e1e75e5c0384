"""A process that changes a workspace and takes checkpoints of it, until it is killed: `keeper.py FOLDER SEED`."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

from axiom_sandbox.protocol.agents import AgentMode, DriverName
from axiom_sandbox.protocol.channel import Blob, LedgerHead
from axiom_sandbox.protocol.checkpoints import DriverMoment, Why
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.snapshots.archives import digest_of, pack, read_tree
from axiom_sandbox.supervising.board import Board
from axiom_sandbox.supervising.checkpointing import Checkpointer
from axiom_sandbox.supervising.moments import Moment
from axiom_sandbox.supervising.settings import SandboxSettings

IDENTITY = Identity(namespace="n", task="t", task_id="u", attempt=1, role=Role.AGENT)
MOMENT = Moment(
    round=1, turn_over=False, last_prompt="p", state=None, terminal=None, tail=b"tail", screen=b"",
    driver=DriverMoment(name=DriverName.GENERIC, mode=AgentMode.TERMINAL), interventions=(),
    interventions_so_far=0, ledger=LedgerHead(),
)  # fmt: skip


def checkpointer(folder: Path) -> tuple[Checkpointer, Board]:
    """On what lies there."""
    for name in ("state/blobs", "workspace", "home"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    state, base = folder / "state", folder / "base.tar.zst"
    if not base.exists():
        (folder / "empty").mkdir(exist_ok=True)
        pack(folder / "empty", base)
    settings = SandboxSettings(
        identity=IDENTITY, state=state, workspace=folder / "workspace", home=folder / "home",
        launcher_socket=folder / "l", channel_socket=folder / "c",
    )  # fmt: skip
    board = Board(state / "state.json", IDENTITY, LedgerHead, lambda: time.time_ns() // 1_000_000)

    async def keep_blob(name: str, file: Path) -> str:
        digest, size = digest_of(file), file.stat().st_size
        file.replace(state / "blobs" / digest)
        board.add_blobs(Blob(name=name, digest=digest, size=size))
        return digest

    return Checkpointer(settings, state, lambda: read_tree(base), board, keep_blob), board


def change(root: Path, chance: random.Random) -> None:
    """Some files come, change and go."""
    for _ in range(chance.randint(1, 6)):
        path = root / f"d{chance.randint(0, 3)}" / f"f{chance.randint(0, 9)}"
        path.parent.mkdir(exist_ok=True)
        if path.exists() and chance.random() < 0.3:
            path.unlink()
        else:
            path.write_bytes(chance.randbytes(chance.choice([0, 10, 5_000, 200_000])))


async def main(folder: Path, chance: random.Random) -> None:
    """Until it is killed."""
    keeper, _ = checkpointer(folder)
    await keeper.prepare()
    while True:
        change(folder / "workspace", chance)
        taken = await keeper.keep(await keeper.read_files(), MOMENT, Why.TIMER)
        keeper.announce(taken)
        print(taken.number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), random.Random(int(sys.argv[2]))))
