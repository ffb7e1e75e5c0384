"""Which of an agent's tools may run: the policy of its class, and what it decides. Pure.

A policy guards what an agent does by mistake. It keeps nobody in: the sandbox does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any

import re2
from pydantic import Field

from axiom_sandbox.protocol.checks import Keyed, form
from axiom_sandbox.protocol.criteria import CriterionName, Pattern
from axiom_sandbox.protocol.model import ApiModel, Message
from axiom_sandbox.protocol.quantities import DurationText

_MOST_TEXTS = 1_000
_DEEPEST = 32


class Permission(StrEnum):
    """What becomes of a tool that an agent wants to use."""

    ALLOW = "Allow"
    """It runs."""
    DENY = "Deny"
    """It does not run, and the agent is told why."""
    ASK = "Ask"
    """A person decides; the agent waits."""


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern)


class ApprovalRule(ApiModel):
    """One exception from the default."""

    name: CriterionName
    """Name, which stands beside each decision in the ledger."""
    tool: Annotated[
        str,
        Field(max_length=128),
        form(
            r"^([A-Za-z0-9_.:/-]+\*?|\*)$",
            "is not a tool; write its name as the agent calls it, or how names begin and *, such as Bash or mcp__*",
        ),
    ] = "*"
    """Which tools, as the agent calls them: a name, or how names begin and `*`."""
    pattern: Pattern | None = None
    """RE2 expression that is searched in each text of the tool's input, such as a command or a path. Unset: any input."""
    permission: Permission
    """What becomes of such a use."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What the agent is told when it is denied."""

    def concerns(self, tool: str) -> bool:
        """Whether the rule is about this tool."""
        return tool == self.tool or (self.tool.endswith("*") and tool.startswith(self.tool[:-1]))

    def fits(self, texts: tuple[str, ...]) -> bool:
        """Whether the rule is about a use with these texts in its input."""
        return not self.pattern or any(_compiled(self.pattern).search(text) for text in texts)


class Approvals(ApiModel):
    """Which of the agent's tools may run. The first rule that fits decides, else the default."""

    default: Permission = Permission.ALLOW
    """For what no rule fits."""
    rules: Annotated[list[ApprovalRule], Field(max_length=32), Keyed("name")] = []
    """Exceptions, in order."""
    answer_within: DurationText = "30m"
    """How long a person is waited for, where one is asked; then the tool is denied, and the agent goes on."""


class Grant(Message):
    """A person allowed a tool for the rest of a sandbox's life."""

    tool: str
    rule: str
    """What had left it to a person: `policy`, or `policy/<rule>`. What another rule leaves to one is asked again."""
    by: str
    """The person."""


class Decision(Message):
    """What was decided about one use of a tool."""

    permission: Permission
    """What becomes of it."""
    by: str
    """`policy`, the rule's name behind it if one fitted (`policy/no-push`), or the person."""
    message: str = ""
    """What the agent is told."""
    for_session: bool = False
    """A person's: the same answer for whatever else is asked about this tool for the same reason. Only what is allowed."""


def decide(approvals: Approvals, tool: str, given: object, grants: Iterable[Grant] = ()) -> Decision:
    """What the policy says about a use of a tool with this input, and what people allowed for the session."""
    decision = _by_policy(approvals, tool, given)
    if decision.permission is Permission.ASK:
        for grant in grants:
            if (grant.tool, grant.rule) == (tool, decision.by):
                return Decision(permission=Permission.ALLOW, by=grant.by, for_session=True)
    return decision


def _by_policy(approvals: Approvals, tool: str, given: object) -> Decision:
    texts = tuple(texts_of(given))
    whole = len(texts) < _MOST_TEXTS
    for rule in (one for one in approvals.rules if one.concerns(tool)):
        if rule.fits(texts):
            return Decision(permission=rule.permission, by=f"policy/{rule.name}", message=rule.message)
        if not whole and rule.pattern and rule.permission is not Permission.ALLOW:
            message = "the input has too many parts to be checked"
            return Decision(permission=rule.permission, by=f"policy/{rule.name}", message=message)
    return Decision(permission=approvals.default, by="policy")


def texts_of(value: object) -> Iterator[str]:
    """Each text in a JSON value, keys included, up to a limit."""
    count = 0
    stack: list[tuple[object, int]] = [(value, 0)]
    while stack and count < _MOST_TEXTS:
        item, level = stack.pop()
        match item:
            case str():
                count += 1
                yield item
            case dict() if level < _DEEPEST:
                for key, inner in reversed(item.items()):
                    stack += [(inner, level + 1), (key, level + 1)]
            case list() if level < _DEEPEST:
                stack += [(inner, level + 1) for inner in reversed(item)]
            case bool() | None:
                pass
            case _:
                count += 1
                yield str(item)[:4096]
