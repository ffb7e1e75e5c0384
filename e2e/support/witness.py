"""Whatever can be read in a cluster while tasks run: pods, logs, environments. For tests of what must not be there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from e2e.cluster.api import Api, Object
from e2e.cluster.errors import ClusterError

_LARGEST_FILE = 64 * 2**20


@dataclass
class Witness:
    """Looks again and again at some namespaces, as pods leave no trace when they go."""

    api: Api
    namespaces: tuple[str, ...]
    texts: dict[str, str] = field(default_factory=dict)
    """By what it is: every version of every pod, the last log of every container."""
    environments: dict[str, str] = field(default_factory=dict)
    """By process and program: environments of this machine's processes, pods' included."""
    files_seen: int = 0

    def look(self) -> None:
        """Takes in what there is now. Raises ClusterError."""
        for namespace in self.namespaces:
            path = f"/api/v1/namespaces/{namespace}/pods"
            for pod in self.api.list(path)[0]:
                name, version = pod["metadata"]["name"], pod["metadata"]["resourceVersion"]
                self.texts[f"pod {name} {version}"] = json.dumps(pod)
                for container in _started(pod):
                    self._read_log(f"{path}/{name}/log?container={container}", f"log {name} {container}")
        for process in Path("/proc").glob("[0-9]*"):
            self._read_environment(process)

    def look_for(self, secret: bytes, folder: Path) -> None:
        """Looks for it in every file of pods' volumes on the node; where it is found becomes a text."""
        for volumes in folder.glob("*/volumes/kubernetes.io~empty-dir"):
            for inner, _, names in os.walk(volumes):  # folders that go meanwhile are passed over
                for path in (Path(inner, name) for name in names):
                    self._look_into(path, secret)

    def logs_of(self, text: str) -> str:
        """The logs of all containers in pods whose names hold a text."""
        return "".join(said for what, said in self.texts.items() if what.startswith("log ") and text in what)

    def environments_of(self, program: str) -> list[str]:
        """The environments of all processes of a program."""
        return [held for what, held in self.environments.items() if what.endswith(f" {program}")]

    def _look_into(self, path: Path, secret: bytes) -> None:
        try:
            if path.is_file() and not path.is_symlink() and path.stat().st_size < _LARGEST_FILE:
                self.files_seen += 1
                if secret in path.read_bytes():
                    self.texts[f"file {path}"] = secret.decode()
        except OSError:
            return  # has gone meanwhile

    def _read_log(self, path: str, what: str) -> None:
        try:
            self.texts[what] = self.api.get(path).decode(errors="replace")
        except ClusterError:
            return  # the container has gone meanwhile; what it said before stays

    def _read_environment(self, process: Path) -> None:
        try:
            held = (process / "environ").read_bytes()
            program = (process / "comm").read_text().strip()
        except OSError:
            return  # the process has ended meanwhile
        self.environments[f"process {process.name} {program}"] = held.replace(b"\0", b"\n").decode(
            errors="replace"
        )


def _started(pod: Object) -> Iterator[str]:
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        if "waiting" not in container["state"]:
            yield container["name"]
