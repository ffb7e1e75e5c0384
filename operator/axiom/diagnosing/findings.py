"""What a diagnosis consists of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from axiom.api.conditions import Reason
from axiom.api.structure import member_documentation

TROUBLESHOOTING = "docs/troubleshooting.md"


class Level(StrEnum):
    """How bad a finding is."""

    GOOD = "good"
    """As it should be."""
    NOTE = "note"
    """Worth knowing: it may explain something, or it could not be looked at."""
    PROBLEM = "problem"
    """Something does not work, or a task waits for somebody."""


class Fault(StrEnum):
    """What can be wrong with an installation or a machine, apart from the reasons that a task's conditions name."""

    API_SERVER_AWAY = "ApiServerAway"
    """The API server does not answer. Agents that run go on; nothing is decided until it is back, and nothing is lost."""
    NOT_INSTALLED = "NotInstalled"
    """The cluster does not know AgentTasks. Install the chart; its CRDs come first."""
    OPERATOR_AWAY = "OperatorAway"
    """No operator acts: no process holds the Lease. Tasks wait, agents that run go on, and nothing is lost."""
    GATEWAY_AWAY = "GatewayAway"
    """No gateway is ready: workspaces do not reach sandboxes, and evidence stays in them until one is."""
    EGRESS_AWAY = "EgressAway"
    """No egress proxy is ready: agents cannot reach their models, and see refused connections."""
    STORAGE_AWAY = "StorageAway"
    """The object storage that came with the chart is not ready: tasks wait before their start and before their verdict."""
    POD_IN_TROUBLE = "PodInTrouble"
    """A pod of a task or of the installation does not come up, or its containers keep ending."""
    NO_CLASSES = "NoClasses"
    """There is no AgentClass, so no task can be accepted. Apply one: see examples/."""
    NOT_ALLOWED = "NotAllowed"
    """Your account may not read this, so it was not looked at. Somebody with more rights sees more."""
    NO_SANDBOXES_HERE = "NoSandboxesHere"
    """This machine cannot run `axiom run`: a program or a feature of the kernel is missing."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    level: Level
    subject: str
    """What it is about: `AgentTask default/fix-leap-year`, `operator`, `this machine`."""
    what: str
    """What can be seen."""
    entry: Reason | Fault | None = None
    """What it is called; None for what is good."""

    @property
    def meaning(self) -> str:
        """What it means and what to do, as the API documents it."""
        return meaning_of(self.entry) if self.entry else ""

    @property
    def page(self) -> str:
        """Where more is written."""
        return f"{TROUBLESHOOTING}#{self.entry.lower()}" if self.entry else ""


def meaning_of(entry: Reason | Fault) -> str:
    """The documentation of a reason or a fault, without the names of the conditions that it stands in."""
    text = member_documentation(type(entry))[entry.value]
    return text.partition(": ")[2] if isinstance(entry, Reason) else text


def good(subject: str, what: str) -> Finding:
    """Something that is as it should be."""
    return Finding(Level.GOOD, subject, what)


def problem(subject: str, what: str, entry: Reason | Fault) -> Finding:
    """Something that does not work."""
    return Finding(Level.PROBLEM, subject, what, entry)


def note(subject: str, what: str, entry: Reason | Fault | None = None) -> Finding:
    """Something worth knowing."""
    return Finding(Level.NOTE, subject, what, entry)
