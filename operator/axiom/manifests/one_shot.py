"""Pods that do one thing for the control plane and run nothing untrusted: what they are told, and what they mount for it.

A Secret is mounted by its name: the operator never reads it. It is optional, so that a missing one is told by the pod's
trusted side, in words that name the field, and not by a pod that never starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axiom.api.agenttask import AgentTask
from axiom.storage.keys import input_key
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.jobs import (
    FETCH_CREDENTIALS,
    SOURCE_FOLDER,
    CombineResult,
    CopyArchive,
    CopyVolume,
    FetchGit,
    Job,
)
from axiom_sandbox.repositories.access import SECRET_KEYS


@dataclass(frozen=True)
class OneShot:
    """A job, with the volumes that it needs besides those of every pod."""

    job: Job
    volumes: tuple[Mapping[str, Any], ...] = ()
    mounts: tuple[Mapping[str, Any], ...] = ()


def one_shot(task: AgentTask, role: Role, authorities: str) -> OneShot | None:
    """What the pod of this role is made for; None for agents and verifiers.

    Args:
        task: whose workspace or result it is about.
        role: of the pod.
        authorities: certificates (PEM) that git servers may have besides the public ones.
    """
    match role:
        case Role.FETCHER:
            return _fetch(task, authorities)
        case Role.COPIER:
            return _copy(task)
        case Role.AGENT | Role.VERIFIER:
            return None


def _fetch(task: AgentTask, authorities: str) -> OneShot:
    git = task.spec.workspace.git
    if git is None:
        raise ValueError("there is nothing to fetch: spec.workspace has no git")
    secret = git.credentials_secret or ""
    job = FetchGit(
        url=git.url,
        revision=git.revision,
        submodules=git.submodules,
        secret=secret,
        authorities=authorities,
    )
    if not secret:
        return OneShot(job)
    return OneShot(
        job, (_secret("fetch-credentials", secret),), (_mount("fetch-credentials", FETCH_CREDENTIALS),)
    )


def _copy(task: AgentTask) -> OneShot:
    workspace = task.spec.workspace
    if archive := workspace.archive:
        key = input_key(task.namespace, archive.key)
        return OneShot(CopyArchive(key=key, digest=archive.digest or ""))
    if source := workspace.task:
        return OneShot(CombineResult(task=source.name))
    if claim := workspace.persistent_volume_claim:
        volume = {
            "name": "source",
            "persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": True},
        }
        job = CopyVolume(claim=claim.claim_name, path=claim.path or "")
        return OneShot(job, (volume,), (_mount("source", SOURCE_FOLDER),))
    raise ValueError("there is nothing to copy: spec.workspace has no archive, task or persistentVolumeClaim")


def _secret(volume: str, name: str) -> dict[str, Any]:
    return {
        "name": volume,
        "secret": {
            "secretName": name,
            "optional": True,
            "defaultMode": 0o444,  # it belongs to root, and nobody else is in the pod
            "items": [{"key": key, "path": key} for key in SECRET_KEYS],
        },
    }


def _mount(volume: str, path: Path) -> dict[str, Any]:
    return {"name": volume, "mountPath": str(path), "readOnly": True}
