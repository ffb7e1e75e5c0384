"""`make bench`: measures, and writes docs/benchmarks.md with machine and method.

What a cluster is needed for is measured on the hermetic one, with the chart installed; `--local` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figure, milliseconds

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "docs" / "benchmarks.md"


def ledger() -> list[Figure]:
    """Events made durable in groups."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        printed = _run([sys.executable, "bench/ledger.py", "--folder", folder])
    found = json.loads(printed)
    return [
        Figure(
            "ledger, events a second in groups",
            f"{found['events_per_second']:,}",
            "at least 50,000",
            f"groups of {found['group_size']}, {found['bytes_per_event']} bytes a record: {found['method']}",
        )
    ]


def local_run(times: int = 5) -> list[Figure]:
    """The demo's honest task through `axiom run`, as a process."""
    took = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as state:
            began = time.perf_counter()
            _run(
                [
                    str(Path(sys.executable).with_name("axiom")),
                    "run",
                    "examples/demo.yaml",
                    "--class",
                    "examples/demo-honest.yaml",
                    "--json",
                    "--state",
                    state,
                ]
            )
            took.append(time.perf_counter() - began)
    return [
        Figure(
            "`axiom run examples/demo.yaml`, process start to end",
            milliseconds(took),
            "–",
            f"{times} runs one after the other; agent, capture, base check and two test runs included",
        )
    ]


def launcher_size() -> list[Figure]:
    """The launcher's binary."""
    size = (ROOT / "build" / "launcher").stat().st_size
    return [Figure("launcher, bytes", f"{size:,}", "under 5,000,000", "`make launcher`, static, stripped")]


def write_report(figures: Sequence[Figure]) -> None:
    """docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        f"`make bench`, {datetime.now(UTC):%Y-%m-%d}, one run: {os.cpu_count()} cores,"
        f" {_memory_gib()} GiB of memory, Linux {'.'.join(platform.release().split('.')[:2])}, Python {platform.python_version()}."
        " The machine is a shared virtual one, so read figures of the same run beside each other.",
        "",
        "| what | measured | asked for | method |",
        "| --- | --- | --- | --- |",
        *(f"| {f.what} | {f.measured} | {f.asked} | {f.method} |" for f in figures),
        "",
    ]
    REPORT.write_text("\n".join(lines))


def main() -> None:
    """Measures everything and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--local", action="store_true", help="leave out what needs a cluster")
    parts: list[Callable[[], list[Figure]]] = [launcher_size, ledger, local_run]
    if not parser.parse_args().local:
        from bench.cluster import cold_starts

        parts.append(cold_starts)
    figures: list[Figure] = []
    for part in parts:
        found = part()
        for figure in found:
            print(f"{figure.what}: {figure.measured} (asked for: {figure.asked})", flush=True)
        figures += found
    write_report(figures)


def _run(argv: list[str]) -> str:
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return ended.stdout


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3)


if __name__ == "__main__":
    main()
