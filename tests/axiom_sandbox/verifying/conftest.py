from pathlib import Path

import pytest
from tests.axiom_sandbox.verifying.clean_room import BubblewrapRoom
from tests.axiom_sandbox.verifying.projects import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, BubblewrapRoom(tmp_path / "room"))
