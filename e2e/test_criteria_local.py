"""Criteria about what an agent did and said, through `axiom run` with the real Claude Code: only the model is scripted."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.captures.clis import CLAUDE

from e2e.support.local_runs import run_locally, task_on
from e2e.support.real_clis import FIX, HONEST, agent_class, played

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]

RUN = {"shell": "PYTHONPATH=src python3 -c 'import leap.years'"}
RAN = {"name": "ran", "ran": {"files": ["src/**/*.py"]}}


async def test_an_agent_that_did_not_run_what_it_wrote_is_told_so_and_passes_once_it_does(
    tmp_path: Path,
) -> None:
    task = task_on(tmp_path / "leap", maxRounds=2)
    task["spec"]["criteria"].append(RAN)
    script = played([RUN, *HONEST], [{"shell": "echo python3 src/leap/years.py"}, RUN, {"say": "It runs."}])
    story = await run_locally(tmp_path, task, agent_class(CLAUDE), script)
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 2)
    first, second = story.events("user_msg")
    assert "src/leap/years.py was changed while it was last run, or afterwards." in second["text"]
    assert "src/leap/years.py was changed" not in first["text"]


async def test_the_code_of_the_final_message_is_verified_and_what_lies_in_the_workspace_is_not(
    tmp_path: Path,
) -> None:
    task = task_on(tmp_path / "leap", maxRounds=2)
    task["spec"]["verification"] = {"candidate": "Message"}
    code = (tmp_path / "leap/src/leap/years.py").read_text()
    right = code.replace("return year % 4 == 0", FIX.removeprefix("+").strip())
    assert right != code
    answer = f"So:\n\n```python src/leap/years.py\n{right}```\n"
    story = await run_locally(
        tmp_path, task, agent_class(CLAUDE), played([*HONEST, {"say": "All tests pass."}], [{"say": answer}])
    )
    assert story.code == 0, story.told
    assert (story.body["verdict"], story.body["rounds"]) == ("Pass", 2)
    assert FIX in story.diff
    first, second = story.events("user_msg")
    assert "Your work is the code in your final message" in first["text"]
    assert "Your final message holds no code" in second["text"]
