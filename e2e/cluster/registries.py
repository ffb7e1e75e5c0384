"""How builds inside a container reach the package registries that this machine is set up for.

Mirrors, proxies and certificate authorities are a property of the machine, never of a
Dockerfile: they are mounted read-only while a build runs and are not part of the image.
"""

import os
import shutil
import subprocess
from pathlib import Path

from e2e.cluster.shell import run

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_GO_VARIABLES = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOFLAGS")


def build_mounts(folder: Path) -> list[str]:
    """Volumes (`source:target:ro`) for a build; files that must be written go into `folder`."""
    mounts = {
        "/etc/apt/apt.conf.d/99machine": _written(folder / "apt.conf", _apt_configuration()),
        "/etc/pip.conf": _written(folder / "pip.conf", _pip_configuration()),
        "/root/.config/go/env": _written(folder / "goenv", _go_configuration()),
    }
    npm = Path.home() / ".npmrc"
    if npm.is_file():
        mounts["/root/.npmrc"] = npm
    authority = Path(os.environ.get("SSL_CERT_FILE") or _CERTIFICATES)
    if authority.is_file():
        mounts[_CERTIFICATES] = authority
    return [f"{source}:{target}:ro" for target, source in mounts.items()]


def _written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def _apt_configuration() -> str:
    # Only what apt needs to fetch: lists of the machine's own hooks make no sense elsewhere.
    dumped = run(["apt-config", "dump", "Acquire"]).splitlines()
    kept = [line for line in dumped if not line.startswith("Acquire::Languages")]
    return "\n".join(['APT::Install-Recommends "false";', *kept, ""])


def _pip_configuration() -> str:
    """The machine's pip settings, from its files and from PIP_* variables, as one file."""
    if shutil.which("pip") is None:
        return ""
    # pip names each setting `scope.key='value'`; only those about fetching are of use here.
    listed = subprocess.run(
        ["pip", "config", "list"], capture_output=True, text=True, check=False, timeout=60
    ).stdout
    wanted = {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout"}
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in wanted:
            settings["timeout" if key == "default-timeout" else key] = value.strip().strip("'\"")
    settings["cert"] = _CERTIFICATES
    return "\n".join(["[global]", *(f"{key} = {value}" for key, value in settings.items()), ""])


def _go_configuration() -> str:
    return "".join(f"{name}={os.environ[name]}\n" for name in _GO_VARIABLES if os.environ.get(name))
