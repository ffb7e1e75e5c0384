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
from axiom.planning.statuses import parse_time
from axiom.storage.keys import input_key
from axiom_sandbox.protocol.identity import Role
from axiom_sandbox.protocol.jobs import (
    FETCH_CREDENTIALS,
    PUSH_CREDENTIALS,
    SOURCE_FOLDER,
    CombineResult,
    CopyArchive,
    CopyVolume,
    FetchGit,
    Job,
    PushBranch,
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
        case Role.PUSHER:
            return _push(task, authorities)
        case Role.AGENT | Role.VERIFIER:
            return None


def _fetch(task: AgentTask, authorities: str) -> OneShot:
    job = _fetch_job(task, authorities)
    return OneShot(job, *_secrets({FETCH_CREDENTIALS: job.secret}))


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


def _push(task: AgentTask, authorities: str) -> OneShot:
    """The revision is fetched with the credentials that fetched it, or pushes go to where it came from."""
    push, fetch = task.spec.result.push, _fetch_job(task, authorities)
    if push is None:
        raise ValueError("there is nothing to push: spec.result has no push")
    url, secret = push.url or fetch.url, push.credentials_secret or ""
    source_secret = fetch.secret or (secret if url == fetch.url else "")
    accepted = task.status.accepted_time
    verdict = task.status.rounds[-1].verdict if task.status.rounds else None
    job = PushBranch(
        source=fetch.model_copy(update={"revision": task.status.workspace.revision, "secret": source_secret}),
        base=task.status.workspace.digest,
        url=url,
        branch=push.branch,
        message=f"{task.name}\n\nAxiom-Task: {task.namespace}/{task.name} {task.uid}\n"
        f"Axiom-Verdict: {verdict.value if verdict else 'none'}\n",
        time=int(parse_time(accepted).timestamp()) if accepted else 0,
        secret=secret,
    )
    return OneShot(job, *_secrets({FETCH_CREDENTIALS: source_secret, PUSH_CREDENTIALS: secret}))


def _fetch_job(task: AgentTask, authorities: str) -> FetchGit:
    git = task.spec.workspace.git
    if git is None:
        raise ValueError("there is nothing to fetch: spec.workspace has no git")
    return FetchGit(
        url=git.url,
        revision=git.revision,
        submodules=git.submodules,
        secret=git.credentials_secret or "",
        authorities=authorities,
    )


def _secrets(
    folders: Mapping[Path, str],
) -> tuple[tuple[Mapping[str, Any], ...], tuple[Mapping[str, Any], ...]]:
    """Volumes and mounts of the Secrets that are named, by the folder where each lies."""
    named = {f"{folder.name}-credentials": (folder, name) for folder, name in folders.items() if name}
    return (
        tuple(_secret(volume, name) for volume, (_, name) in named.items()),
        tuple(_mount(volume, folder) for volume, (folder, _) in named.items()),
    )


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
