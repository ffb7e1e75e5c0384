"""A pod's port on this machine's loopback, as `kubectl port-forward` gives it to people."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.cluster.connection import Connection


@contextmanager
def forwarded(connection: Connection, namespace: str, pod: str, port: int) -> Iterator[int]:
    """The port here, for as long as the context is open."""
    command = [
        f"{connection.bin_dir}/kubectl", "--kubeconfig", connection.kubeconfig, "--namespace", namespace,
        "port-forward", "--address", "127.0.0.1", f"pod/{pod}", f":{port}",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            # "Forwarding from 127.0.0.1:PORT -> 8080"
            yield int(forward.stdout.readline().split("127.0.0.1:")[1].split()[0])
        finally:
            forward.terminate()
