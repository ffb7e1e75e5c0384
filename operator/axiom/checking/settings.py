"""What is to be checked, and how it is read from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from axiom.environment import needed, whole_number
from axiom.gateway.settings import read_storage
from axiom.storage.s3 import S3Settings


@dataclass(frozen=True)
class CheckSettings:
    """Settings of `python -m axiom.checking`, with the variable that each is read from."""

    namespace: str
    """AXIOM_NAMESPACE: where the installation lives."""
    lease: str
    """AXIOM_OPERATOR_LEASE (axiom-operator)."""
    deployments: tuple[str, ...]
    """AXIOM_DEPLOYMENTS: names, with blanks between them."""
    gateway: str
    """AXIOM_GATEWAY: the URL at which people reach the gateway."""
    storage: S3Settings
    """AXIOM_S3_…, as the gateway reads them."""
    task: str = ""
    """AXIOM_TASK: an AgentTask of the namespace that is to pass; none without it."""
    patience: int = 45
    """AXIOM_PATIENCE (45): seconds in which something may still come up, but for the task, which gets four times as long."""


def read_settings(environment: Mapping[str, str] = os.environ) -> CheckSettings:
    """Raises SettingsError."""
    return CheckSettings(
        namespace=needed(environment, "AXIOM_NAMESPACE", "the installation's namespace"),
        lease=environment.get("AXIOM_OPERATOR_LEASE") or "axiom-operator",
        deployments=tuple(needed(environment, "AXIOM_DEPLOYMENTS", "what has to be up").split()),
        gateway=needed(environment, "AXIOM_GATEWAY", "the gateway, such as http://axiom-gateway").rstrip("/"),
        storage=read_storage(environment),
        task=environment.get("AXIOM_TASK", ""),
        patience=whole_number(environment, "AXIOM_PATIENCE", 45),
    )
