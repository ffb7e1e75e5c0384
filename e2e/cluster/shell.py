"""Running programs: every call checked, its output part of the error."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.cluster.errors import ClusterError


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float = 60,
) -> str:
    """Run a program and return its standard output.

    Raises:
        ClusterError: it cannot be started, fails, or takes longer than `timeout_seconds`.
    """
    words = [str(word) for word in argv]
    try:
        finished = subprocess.run(
            words,
            input=stdin,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            timeout=timeout_seconds,
            capture_output=True,
            text=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"{shlex.join(words)}: {error}") from error
    if finished.returncode != 0:
        output = (finished.stderr or finished.stdout).strip()[-4000:]
        raise ClusterError(f"{shlex.join(words)} exited with {finished.returncode}:\n{output}")
    return finished.stdout


def stream(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float,
) -> None:
    """Run a long program whose output the user sees while it runs.

    Raises:
        ClusterError: it cannot be started, fails, or takes longer than `timeout_seconds`.
    """
    words = [str(word) for word in argv]
    try:
        subprocess.run(
            words,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            timeout=timeout_seconds,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ClusterError(f"{shlex.join(words)}: {error}") from error
