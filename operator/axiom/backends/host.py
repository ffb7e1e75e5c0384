"""What a sandbox on this machine takes from it: the launcher, the system's folders read-only, the clean room's Python."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import axiom_sandbox
from axiom.backends.contract import CannotRunError

PROXY_PORT = 8788
"""Where the egress proxy answers inside a sandbox."""
CLEAN_ROOM_PREFIX = "/axiom/python"
CLEAN_ROOM_PYTHON = f"{CLEAN_ROOM_PREFIX}/bin/{Path(sys.executable).name}"
_SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC = (
    "alternatives",
    "ca-certificates",
    "ssl",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "terminfo",
)


@dataclass(frozen=True)
class Bind:
    """A path of this machine at a path of the sandbox."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class System:
    """The system's folders, as a sandbox shows them."""

    binds: tuple[Bind, ...]
    links: dict[str, str]
    """Symlinks at the root: path → where it leads."""


def find_launcher() -> Path:
    """Path of the launcher's binary. Raises CannotRunError."""
    beside = Path(axiom_sandbox.__file__).parent
    candidates = [Path(os.environ["AXIOM_LAUNCHER"])] if "AXIOM_LAUNCHER" in os.environ else []
    candidates += [beside / "bin" / "launcher", beside.parent.parent / "build" / "launcher"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    raise CannotRunError("the launcher has not been built; run `make launcher`, or name it in AXIOM_LAUNCHER")


def system() -> System:
    """This machine's /usr, and as much of /etc as programs need to start."""
    binds, links = [Bind(Path("/usr"), "/usr")], {}
    for name in _SYSTEM_LINKS:
        path = Path("/") / name
        if path.is_symlink():
            links[str(path)] = str(path.readlink())
        elif path.is_dir():
            binds.append(Bind(path, str(path)))
    binds += [Bind(path, str(path)) for name in _ETC if (path := Path("/etc") / name).exists()]
    return System(tuple(binds), links)


def toolchain() -> tuple[Bind, ...]:
    """Our own Python with its pytest, for the clean room, at a path that no folder of the candidate covers."""
    binds = [Bind(Path(sys.prefix), CLEAN_ROOM_PREFIX)]
    base = Path(sys.base_prefix)  # a virtual environment's python is a link into it
    if base != Path(sys.prefix) and not base.is_relative_to("/usr"):
        binds.append(Bind(base, str(base)))
    return tuple(binds)


def own_etc(user: int) -> dict[str, str]:
    """Files of /etc that a sandbox gets from us, for an agent with this user id."""
    return {
        "passwd": f"agent:x:{user}:{user}:agent:/home/agent:/bin/sh\n",
        "group": f"agent:x:{user}:\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    }


def runner_tools(target: str) -> Bind:
    """The programs of ours that run beside a candidate."""
    return Bind(Path(axiom_sandbox.__file__).parent / "verifying" / "tools", target)
