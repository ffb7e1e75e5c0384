"""The tasks in languages other than Python, and what they need on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build"
SEED_PLACE = "/usr/local/share/go-build"
"""Where a clean room's image keeps what was built of Go's standard library."""
PACKAGES = BUILD.parent / "sandbox-image" / "verifier" / "jest"
PACKAGES_PLACE = "/usr/local/share/node_modules"
"""Where a clean room's image may keep packages for Node.js."""
_IMPORTED = (
    "errors",
    "fmt",
    "math",
    "net/http",
    "os",
    "os/exec",
    "runtime",
    "sort",
    "strings",
    "syscall",
    "time",
    "unsafe",
)


@dataclass(frozen=True)
class OtherTask:
    """A base with a bug."""

    name: str
    runner: str
    program: str
    """What must be on this machine."""
    module: str
    buggy: str
    right: str
    tests_path: str
    tests: str
    failing: tuple[str, ...]
    passing: tuple[str, ...]
    others: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> dict[str, str]:
        """The whole workspace."""
        return {
            self.module: self.buggy,
            self.tests_path: self.tests,
            "README.md": f"# {self.name}\n",
            **self.others,
        }

    def criterion(self, **fields: object) -> dict[str, object]:
        """The criterion, as a task carries it. The code under test always shares a process with its tests."""
        tests = {
            "runner": self.runner,
            "failToPass": [f"{self.tests_path}::{name}" for name in self.failing],
            "passToPass": [f"{self.tests_path}::{name}" for name in self.passing],
            "timeout": "240s",
        }
        return {"name": "tests", "tests": tests | {k: v for k, v in fields.items() if k != "isolation"}}


def missing(program: str) -> str:
    """Why there are no tests of a language on this machine; empty: there are."""
    if program == "jest":
        return missing("npm") or missing("node")
    if shutil.which(program) is None:
        return f"there is no {program} on this machine"
    if program == "node":
        version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
        if int(version.strip().removeprefix("v").partition(".")[0]) < 20:
            return f"node is {version.strip()}, and 20 or newer is needed"
    return ""


def shown(program: str) -> dict[Path, str]:
    """Folders that a clean room on this machine shows besides the machine's own."""
    match program:
        case "go":
            return {_seed(): SEED_PLACE}
        case "jest":
            return {_jest() / "node_modules": PACKAGES_PLACE}
        case _:
            return {}


def _jest() -> Path:
    """Jest, installed once from its package; an image of a clean room brings it along, or a base its own."""
    lock = PACKAGES / "package-lock.json"
    place = BUILD / f"jest-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    if place.is_dir():
        return place
    BUILD.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=BUILD))
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGES / name, made)
    argv = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(argv, cwd=made, check=True, capture_output=True)
    try:
        made.rename(place)
    except OSError:  # another worker was quicker
        shutil.rmtree(made)
    return place


def _seed() -> Path:
    """Go's standard library, built once as the runner builds it; an image of a clean room brings it along."""
    version = subprocess.run(
        ["go", "env", "GOVERSION"], capture_output=True, text=True, check=True
    ).stdout.strip()
    seed = BUILD / f"go-build-{version}"
    if seed.is_dir():
        return seed
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "go.mod").write_text("module seed\n\ngo 1.21\n")
        imports = "\n".join(f'\t_ "{name}"' for name in _IMPORTED)
        (work / "seed_test.go").write_text(
            f'package seed\n\nimport (\n\t"testing"\n{imports}\n)\n\nfunc TestSeed(t *testing.T) {{}}\n'
        )
        made = Path(tempfile.mkdtemp(dir=BUILD))
        env = os.environ | {
            "GOCACHE": str(made),
            "CGO_ENABLED": "0",
            "GOFLAGS": "-buildvcs=false",
            "GOTOOLCHAIN": "local",
        }
        for more in ([], ["-covermode=set", "-coverpkg=./..."]):
            argv = ["go", "test", "-c", "-vet=off", *more, "-o", os.devnull, "."]
            subprocess.run(argv, cwd=work, env=env, check=True, capture_output=True)
    try:
        made.rename(seed)
    except OSError:  # another worker was quicker
        shutil.rmtree(made)
    return seed
