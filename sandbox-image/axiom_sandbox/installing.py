"""Where the installer (`sandbox-image/launcher/installer`) puts things in a pod, and the supervisor's wait for it.

The launcher and the tools go to a volume that the untrusted container mounts read-only. The key goes to a volume that no
untrusted container mounts.
"""

from __future__ import annotations

import time
from pathlib import Path

INSTALLER = "/opt/axiom/installer"
"""The program, in the trusted side's image; its verbs are `install` and `tell`."""
SUBJECT_VARIABLE = "AXIOM_SUBJECT"
"""Environment variable with the certificate's common name: at most 64 characters."""
CLIENT_CA_VARIABLE = "AXIOM_CLIENT_CA"
"""Environment variable with the certificates of the control plane's authority (PEM)."""

BIN_FOLDER, KEYS_FOLDER, FILES_FOLDER = "/axiom/bin", "/axiom/keys", "/axiom/files"
KEYS, FILES = Path(KEYS_FOLDER), Path(FILES_FOLDER)
CHANNEL_SOCKET = Path("/axiom/state/channel.sock")
TOOLS = "tools"
CERTIFICATE, KEY, CLIENT_CA = "channel.crt", "channel.key", "clients.crt"
WORKSPACE, HOME = "workspace", "home"

_INTERVAL_SECONDS = 0.01


def wait_until_installed(client_ca: Path) -> None:
    """Returns once the installer is through: it runs beside the supervisor's start, and writes this file last."""
    while not client_ca.exists():
        time.sleep(_INTERVAL_SECONDS)
