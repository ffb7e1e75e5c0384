"""Which task, attempt and role a sandbox belongs to: the address of everything it records."""

from __future__ import annotations

from enum import StrEnum

from axiom_sandbox.protocol.model import Message


class Role(StrEnum):
    """What a sandbox is for."""

    AGENT = "agent"
    VERIFIER = "verifier"
    FETCHER = "fetcher"
    """Gets a git workspace. Reaches git servers."""
    COPIER = "copier"
    """Makes a workspace of an archive, a volume or another task's result. Reaches nothing."""
    PUSHER = "pusher"
    """Pushes a result as a branch. Reaches git servers."""

    @property
    def is_one_shot(self) -> bool:
        """Does one thing for the control plane, and runs nothing untrusted."""
        return self in (Role.FETCHER, Role.COPIER, Role.PUSHER)


class Identity(Message):
    """The names that every event of one sandbox carries."""

    namespace: str
    task: str
    """Name of the AgentTask."""
    task_id: str
    """UID of the AgentTask."""
    attempt: int
    """1, 2, …: which pod's life."""
    role: Role
    round: int = 0
    """Verifiers: the round that is judged. Else 0."""
    trial: int = 0
    """Verifiers: 1, or 2 for the one repetition after an inconclusive verification. Pushers: how often a person had the
    branch tried once more. Else 0."""

    @property
    def slot(self) -> str:
        """`agent`, `fetcher`, `copier`, `pusher`, `pusher-<trial>`, or `verifier-<round>-<trial>`: the role's name within the
        attempt."""
        if self.role is Role.VERIFIER:
            return f"{self.role.value}-{self.round}-{self.trial}"
        return f"{self.role.value}-{self.trial}" if self.trial else self.role.value

    @property
    def agent_id(self) -> str:
        """`<task uid>/<attempt>/<slot>`."""
        return f"{self.task_id}/{self.attempt}/{self.slot}"

    @property
    def prefix(self) -> str:
        """Where this sandbox's evidence lies in object storage."""
        return f"tasks/{self.namespace}/{self.task_id}/attempts/{self.attempt}/{self.slot}"
