"""What happens in each capture: the model's part, for all CLIs alike, and what the person on our side does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.fakes.scripted_model import Script

PATCH = ["*** Begin Patch", "*** Add File: hello.py", '+print("hello")', "*** End Patch"]
DONE = {"say": "Done: hello.py prints hello."}


@dataclass(frozen=True)
class Story:
    """One capture."""

    name: str
    turns: list[list[dict[str, Any]]]
    prompts: tuple[str, ...] = ("Write hello.py.",)
    """What the person asks, turn by turn, in one process as long as it lives."""
    allow: bool = True
    """How each question for approval is answered."""
    ask: bool = False
    """Whether the CLI asks before it uses a tool, where it is told so at its start."""
    inject: str = ""
    """Said while the first command runs."""
    kill: bool = False
    """kill -9 while the first command runs; the second prompt goes to a process that resumes the session."""
    interrupt: bool = False
    """The first turn is interrupted while its command runs."""

    @property
    def script(self) -> Script:
        """The model's part."""
        return Script.model_validate({"turns": self.turns})


WAITING = {"shell": "touch started; sleep 3; echo waited"}
LONG = {"shell": "touch started; sleep 600"}

STORIES = (
    Story(
        "plain",
        [
            [
                {"think": "The person wants a file that prints hello."},
                {"say": "I write the file, and try it."},
                {"patch": PATCH},
                {"shell": "cat hello.py; echo trouble >&2; exit 3"},
                DONE,
            ]
        ],
    ),
    Story("denied", [[{"shell": "rm -rf build"}, {"say": "I was not allowed to."}]], allow=False, ask=True),
    Story("approved", [[{"patch": PATCH}, {"shell": "touch made"}, {"say": "Made."}]], ask=True),
    Story("injected", [[WAITING, {"say": "Waited."}], [{"say": "I see: blue."}]], inject="Make it blue."),
    Story(
        "killed",
        [[{"patch": PATCH}, LONG, {"say": "Never said."}], [{"say": "I go on."}]],
        prompts=("Write hello.py.", "Go on."),
        kill=True,
    ),
    Story(
        "interrupted",
        [[LONG, {"say": "Never said."}], [{"say": "I stopped."}]],
        prompts=("Write hello.py.", "Go on."),
        interrupt=True,
    ),
    Story(
        "limited",
        [
            [
                {"error": {"status": 429, "retryAfterSeconds": 1}},
                {"error": {"status": 529}},
                {"say": "At last."},
            ]
        ],
    ),
    Story("closed", [[{"say": "This is cut "}, {"close": 1}, {"say": "and this is whole."}]]),
    Story(
        "two_turns",
        [[{"say": "One."}], [{"shell": "echo two"}, {"say": "Two."}]],
        prompts=("First.", "Second."),
    ),
)
