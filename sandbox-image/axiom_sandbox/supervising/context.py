"""What is done about a context that fills up: the policy of class and task, and what takes its place where that cannot be, or was no help. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from axiom_sandbox.protocol.agents import Fill
from axiom_sandbox.protocol.channel import ContextAct, ContextPolicy

MOST_ACTS = 5
"""So often in a round; then the agent is stopped, as it does nothing but begin anew."""
MARGIN = 10
"""Percent of the window that an agent which compacts by itself may go beyond the limit, before something is done about it."""
SUMMARISE = (
    "Your context is nearly full. Stop working, and use no tool. Write a summary for somebody who goes on with this task in your"
    " place and knows nothing of it: what is to be done, what you have done and found out, which files matter and why, what does"
    " not work, and what comes next. Your answer is all that they get."
)
GO_ON_COMPACTED = (
    "You were interrupted, as your context was nearly full, and it was made shorter. What a tool did that ran then is not known;"
    " look before you repeat it. Go on with the task."
)
_GO_ON_FRESH = (
    "You go on with a task that somebody before you began, in the same workspace. Look before you rely on what they say."
    "\n\nThe task:\n\n{prompt}\n\nTheir summary:\n\n{summary}"
)
NO_SUMMARY = "(They left none.)"


@dataclass(frozen=True)
class Deed:
    """What is to be done now."""

    act: ContextAct
    why: str
    """For a person: how full it is, and why it is not what the class says, if it is not."""


def deed_for(
    policy: ContextPolicy,
    fill: Fill,
    acts: Sequence[ContextAct],
    *,
    helped: bool,
    compacts: bool,
    by_itself: bool,
) -> Deed | None:
    """What a fill calls for; None: nothing.

    `acts`: what was done in this round; `helped`: after the last of them it was below the limit. `compacts`: the agent can be
    told to make its context shorter; `by_itself`: it was told at its start to do so at the limit.
    """
    percent = percent_of(policy, fill)
    wanted = policy.act
    limit = policy.percent + (MARGIN if by_itself and wanted is ContextAct.COMPACT else 0)
    if percent is None or percent < limit:
        return None
    why = f"its context is {percent}% full, and context.atPercent is {policy.percent}"
    if len(acts) >= MOST_ACTS:
        return Deed(ContextAct.STOP, f"{why}; something was done about that {MOST_ACTS} times in this round")
    if acts and not helped:
        if acts[-1] is ContextAct.COMPACT:
            return Deed(ContextAct.SUMMARISE, f"{why}; that it was compacted was no help")
        return Deed(ContextAct.STOP, f"{why}; that it began anew was no help")
    if wanted is ContextAct.COMPACT and not compacts:
        which = "did not compact it by itself" if by_itself else "cannot be told to compact it in this mode"
        return Deed(ContextAct.SUMMARISE, f"{why}; this agent {which}")
    return Deed(wanted, why)


def percent_of(policy: ContextPolicy, fill: Fill | None) -> int | None:
    """Of the window that the class gives, or else of the one that the agent tells; None where neither is known."""
    if fill is None:
        return None
    return Fill(used=fill.used, window=policy.window or fill.window).percent


def go_on_fresh(prompt: str, summary: str) -> str:
    """What a fresh session is told."""
    return _GO_ON_FRESH.format(prompt=prompt, summary=summary.strip() or NO_SUMMARY)
