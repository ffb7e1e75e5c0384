"""A task's capabilities in a real sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.axiom.running.runs import Play, shell, task

from axiom_sandbox.protocol.verdicts import Verdict

TRIES = """
echo x >src/new && echo y >"$HOME/note" && ! echo z >README 2>/dev/null && ! mkdir other 2>/dev/null && echo done >src/out
"""


@pytest.mark.sandbox
async def test_an_agent_writes_where_its_task_lets_it_and_nowhere_else(tmp_path: Path) -> None:
    files = [{"path": "README", "content": "kept"}, {"path": "src/old", "content": ""}]
    criteria = [
        {"name": "out", "files": {"expect": [{"path": "src/out", "matches": "^done"}]}},
        {"name": "kept", "files": {"expect": [{"path": "README", "matches": "^kept$"}]}},
    ]
    given = task(workspace={"files": files}, criteria=criteria, capabilities={"writePaths": ["src"]})
    status = await Play(tmp_path, given, shell(TRIES)).play()
    assert status.verdict is Verdict.PASS, status.message
