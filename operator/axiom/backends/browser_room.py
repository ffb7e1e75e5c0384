"""The room in which Chromium looks at a page on this machine: bubblewrap's, made for one picture.

It shows the system's programs and our own, and a /tmp of its own; nothing of the run, of the user or of the sandbox whose page is
looked at. Its only network is a loopback of its own, on which it listens for who leads it to the sandbox's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import axiom_sandbox
from axiom.backends.host import CLEAN_ROOM_PYTHON, system, toolchain
from axiom_sandbox.protocol.pages import PROGRAMS
from axiom_sandbox.supervising.settings import BrowserSettings

_PACKAGES = "/axiom/packages"
_NAMESPACES = (
    *("--unshare-all", "--unshare-user", "--uid", "1001", "--gid", "1001", "--hostname", "browser"),
    *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"),
)
_CURE = "install it (Debian: apt install {}; Fedora: dnf install {}) and run again"


def browser_settings() -> BrowserSettings:
    """How it is started, or what is missing."""
    if not shutil.which("bwrap"):
        cure = _CURE.format("bubblewrap", "bubblewrap")
        return BrowserSettings(
            missing=f"pages are looked at in a room of bubblewrap's, which is not installed; {cure}"
        )
    if not any(map(shutil.which, PROGRAMS)):
        cure = _CURE.format("chromium", "chromium-headless")
        return BrowserSettings(
            missing=f"pages are looked at with Chromium, which this machine has not got; {cure}"
        )
    return BrowserSettings(command=tuple(_command()))


def _command() -> list[str]:
    shown = system()
    binds = [*shown.binds, *toolchain()]
    package = Path(axiom_sandbox.__file__).parent
    return [
        "bwrap",
        *_NAMESPACES,
        *(part for bind in binds for part in ("--ro-bind", str(bind.source), bind.target)),
        *(part for link, target in shown.links.items() for part in ("--symlink", target, link)),
        *("--ro-bind", str(package), f"{_PACKAGES}/{package.name}"),
        *("--ro-bind-try", "/etc/chromium.d", "/etc/chromium.d"),
        *("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev", "--tmpfs", "/tmp"),  # noqa: S108
        *("--remount-ro", "/", "--chdir", "/"),
        *("--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin", "--setenv", "PYTHONPATH", _PACKAGES),
        *("--setenv", "PYTHONDONTWRITEBYTECODE", "1"),
        "--",
        *(CLEAN_ROOM_PYTHON, "-m", "axiom_sandbox", "browse", "--once"),
    ]
