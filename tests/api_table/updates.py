"""Changes to an AgentTask that exists."""

from tests.api_table.changes import ABSENT
from tests.api_table.shape import Update
from tests.api_table.tasks import COMMAND, DIFF, EXPECT, GOOD_TASK, LARGEST, MINIMAL, TESTS

_CRITERIA = GOOD_TASK["spec"]["criteria"]
_FILES = [{"path": "a", "content": "1"}, {"path": "b", "content": "2"}]

ALLOWED = [
    Update("nothing", {}),
    Update("suspend of the largest task", {"spec.suspend": True}, before=LARGEST),
    Update("suspend", {"spec.suspend": True}),
    Update("resume", {"spec.suspend": False}, before={"spec.suspend": True}),
    Update("a rollback", {"spec.rollbackTo": 3}),
    Update("no rollback any more", {"spec.rollbackTo": ABSENT}, before={"spec.rollbackTo": 3}),
    Update("priority", {"spec.priority": 5}),
    Update("deadline", {"spec.limits.deadline": "2h"}),
    Update("deadline back to its default", {"spec.limits.deadline": ABSENT}),
    Update("a larger budget", {"spec.limits.budget.usd": "9.99"}),
    Update("no budget any more", {"spec.limits.budget": ABSENT}),
    Update("a budget where there was none", {"spec.limits": {"budget": {"usd": "1"}}}, before=MINIMAL),
    Update("retention where there was none", {"spec.retention": {"ttlAfterComplete": "24h"}}),
    Update(
        "no retention any more",
        {"spec.retention": ABSENT},
        before={"spec.retention": {"ttlAfterComplete": "1h"}},
    ),
    Update(
        "everything that may be changed at once",
        {
            "spec.suspend": True,
            "spec.rollbackTo": 1,
            "spec.priority": -1,
            "spec.limits.deadline": "3h",
            "spec.limits.budget": ABSENT,
            "spec.retention": {"ttlAfterComplete": "24h"},
        },
    ),
    Update(
        "defaults written out",
        {
            "spec.workspace": {"files": []},
            "spec.limits": {"deadline": "1h", "idle": "10m", "maxRounds": 3, "resources": {"cpu": "1"}},
            "spec.verification": {},
            "spec.criteria[0].enforcement": "Hard",
            "spec.criteria[0].diff.requireChange": True,
        },
        before=MINIMAL,
    ),
    Update("the order of criteria", {"spec.criteria": list(reversed(_CRITERIA))}),
    Update(
        "the order of files",
        {"spec.workspace": {"files": _FILES[::-1]}},
        before={"spec.workspace": {"files": _FILES}},
    ),
]

FORBIDDEN = [
    Update("another prompt of the largest task", {"spec.prompt": "x"}, ("spec.prompt",), before=LARGEST),
    Update("another class", {"spec.agentClassName": "other-class"}, ("spec.agentClassName",)),
    Update("another prompt", {"spec.prompt": "Do something else."}, ("spec.prompt",)),
    Update("another revision", {"spec.workspace.git.revision": "main"}, ("spec.workspace",)),
    Update("no workspace any more", {"spec.workspace": ABSENT}, ("spec.workspace",)),
    Update(
        "a workspace where there was none",
        {"spec.workspace": {"configMap": {"name": "x"}}},
        ("spec.workspace",),
        before=MINIMAL,
    ),
    Update("another source", {"spec.workspace": {"configMap": {"name": "x"}}}, ("spec.workspace",)),
    Update(
        "a file's content",
        {"spec.workspace": {"files": [_FILES[0], _FILES[1] | {"content": "3"}]}},
        ("spec.workspace",),
        before={"spec.workspace": {"files": _FILES}},
    ),
    Update("one criterion less", {"spec.criteria[2]": ABSENT}, ("spec.criteria",)),
    Update("one criterion more", {"spec.criteria[4]": {"name": "more", "diff": {}}}, ("spec.criteria",)),
    Update("a criterion's enforcement", {"spec.criteria[0].enforcement": "Advisory"}, ("spec.criteria",)),
    Update("a criterion's name", {"spec.criteria[0].name": "renamed"}, ("spec.criteria",)),
    Update(
        "a criterion's kind",
        {"spec.criteria[0].files": ABSENT, "spec.criteria[0].diff": {}},
        ("spec.criteria",),
    ),
    Update("an optional field of a criterion comes", {f"{EXPECT}.matches": "x"}, ("spec.criteria",)),
    Update(
        "an optional field of a criterion goes",
        {f"{DIFF}.maxFiles": ABSENT},
        ("spec.criteria",),
        before={f"{DIFF}.maxFiles": 2},
    ),
    Update("a command", {f"{COMMAND}.argv": ["true"]}, ("spec.criteria",)),
    Update("a test fewer", {f"{TESTS}.passToPass": ABSENT}, ("spec.criteria",)),
    Update("an image for the verification", {"spec.verification": {"image": "x"}}, ("spec.verification",)),
    Update(
        "no image for the verification",
        {"spec.verification": ABSENT},
        ("spec.verification",),
        before={"spec.verification": {"image": "x"}},
    ),
    Update("the idle limit", {"spec.limits.idle": "1h"}, ("spec.limits.idle",)),
    Update("the number of rounds", {"spec.limits.maxRounds": 5}, ("spec.limits.maxRounds",)),
    Update("resources", {"spec.limits.resources": {"cpu": "2"}}, ("spec.limits.resources",)),
    Update(
        "limits back to their defaults",
        {"spec.limits": ABSENT},
        ("spec.limits.maxRounds",),
        before={"spec.limits.maxRounds": 5},
    ),
    Update(
        "an allowed field beside a forbidden one",
        {"spec.suspend": True, "spec.prompt": "x"},
        ("spec.prompt",),
    ),
    Update(
        "two fields at once",
        {"spec.prompt": "x", "spec.limits.idle": "1h"},
        ("spec.prompt", "spec.limits.idle"),
    ),
]

UPDATES = ALLOWED + FORBIDDEN
