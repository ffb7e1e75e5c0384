"""Runs cheats and honest solutions through the real clean room, and sums up what came of them."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.axiom_sandbox.verifying.clean_room import BubblewrapRoom
from tests.axiom_sandbox.verifying.projects import Bench, put
from tests.cheats import golang, javascript, with_jest
from tests.cheats.catalogue import CHEATS, Files
from tests.cheats.honest import FORMS
from tests.cheats.other_tasks import OtherTask, missing, shown
from tests.cheats.particular import PARTICULAR, Particular
from tests.cheats.styles import STYLES
from tests.cheats.tasks import TASKS, Task

from axiom_sandbox.protocol.verdicts import CriterionResult, Verdict

HONEST = "honest"
MADE_UP = "made-up answers"


@dataclass(frozen=True)
class Case:
    """One thing that was handed in for one task."""

    kind: str
    name: str
    task: Task | OtherTask | Particular
    files: Files
    hidden: bool = False
    """Whether hidden tests decide, too."""

    @property
    def title(self) -> str:
        """Unique."""
        return f"{self.kind}: {self.name} [{self.task.name}]"

    @property
    def is_right(self) -> bool:
        """Whether it must be accepted, else it must not."""
        return self.kind == HONEST


def cheats() -> Iterator[Case]:
    """Each cheat on each task, and made-up answers against hidden tests."""
    for kind, named in CHEATS.items():
        for name, cheat in named.items():
            for task in TASKS:
                yield Case(kind.value, name, task, cheat(task))
    for task in TASKS:
        yield Case("fake solutions", MADE_UP, task, {task.module: task.made_up}, hidden=True)


def honest() -> Iterator[Case]:
    """Each form on each task, and a plain solution against hidden tests."""
    for name, form in FORMS.items():
        for task in TASKS:
            yield Case(HONEST, name, task, form(task))
    for task in TASKS:
        yield Case(HONEST, "hidden tests", task, {task.module: task.right}, hidden=True)


def particular() -> Iterator[Case]:
    """What is handed in for bases whose tests do something particular, or are written in a style of their own."""
    for task in (*PARTICULAR, *STYLES):
        yield Case(HONEST, "plainly right", task, task.right)
        for name, files in task.honest.items():
            yield Case(HONEST, name, task, files)
        for name, files in task.cheats.items():
            yield Case("particular tests", name, task, files)


LANGUAGES = {"node": javascript, "jest": with_jest, "go": golang}


def elsewhere(program: str) -> list[Case]:
    """The cheats and honest solutions in another language; none where this machine cannot run them."""
    if missing(program):
        return []
    module = LANGUAGES[program]
    found = [
        Case(kind, name, task, cheat(task))
        for kind, named in module.CHEATS.items()
        for name, cheat in named.items()
        for task in module.TASKS
    ]
    found += [
        Case(HONEST, name, task, form(task)) for name, form in module.FORMS.items() for task in module.TASKS
    ]
    return found


def sample(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """Some of them, always the same for a seed."""
    return random.Random(seed).sample(list(cases), count)


async def decide(case: Case, folder: Path, isolation: str) -> CriterionResult:
    """What comes of one case; the weightiest result where there are several."""
    bench = Bench(folder, BubblewrapRoom(folder / "room"))
    criteria = [case.task.criterion(isolation=isolation)]
    if isinstance(case.task, OtherTask):
        bench.room.shown = await asyncio.to_thread(shown, case.task.program)
    elif isinstance(case.task, Task) and case.hidden:
        put({"test_unseen.py": case.task.hidden})(folder / "unseen")
        bench.hidden = {"unseen": folder / "unseen"}
        source = {"secret": {"name": "unseen"}, "folder": "tests"}
        unseen = {
            "failToPass": ["tests/test_unseen.py::test_hidden"],
            "hidden": source,
            "isolation": isolation,
        }
        criteria.append({"name": "unseen", "tests": unseen})
    found = await bench.verify(case.task.base, put(case.files), *criteria)
    worst = next((result for result in found.results if result.verdict is not Verdict.PASS), found.results[0])
    return worst.model_copy(update={"verdict": found.verdict})


@dataclass
class Tally:
    """What came of many cases."""

    verdicts: Counter[tuple[str, str, Verdict]]
    wrong: list[str]

    def table(self) -> str:
        """Kind by kind, and what was decided wrongly."""
        kinds = dict.fromkeys(kind for kind, _, _ in self.verdicts)
        lines = [f"{'':24}{'cases':>7}{'Pass':>7}{'Fail':>7}{'Inconclusive':>14}{'Process':>9}"]
        for kind in kinds:
            count = {
                verdict: sum(n for (k, _, v), n in self.verdicts.items() if k == kind and v is verdict)
                for verdict in Verdict
            }
            apart = sum(
                n for (k, strength, _), n in self.verdicts.items() if k == kind and strength == "Process"
            )
            lines.append(
                f"{kind:24}{sum(count.values()):>7}{count[Verdict.PASS]:>7}{count[Verdict.FAIL]:>7}"
                f"{count[Verdict.INCONCLUSIVE]:>14}{apart:>9}"
            )
        return "\n".join(
            [
                *lines,
                *(["", "Decided wrongly:", *self.wrong] if self.wrong else ["", "None was decided wrongly."]),
            ]
        )


async def decide_all(cases: Iterable[Case], isolation: str, at_once: int) -> Tally:
    """All of them."""
    room, tally = asyncio.Semaphore(at_once), Tally(Counter(), [])

    async def one(case: Case) -> None:
        async with room:
            folder = Path(tempfile.mkdtemp(prefix="axiom-cheat-"))
            try:
                found = await decide(case, folder, isolation)
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        tally.verdicts[case.kind, found.strength.value, found.verdict] += 1
        if (found.verdict is Verdict.PASS) is not case.is_right:
            tally.wrong.append(f"  {case.title}: {found.verdict.value}: {found.message[:400]}")
            print(tally.wrong[-1], flush=True)

    await asyncio.gather(*(one(case) for case in cases))
    return tally
