"""`make bench`: measures, and writes docs/benchmarks.md with machine and method.

What a cluster is needed for is measured on the hermetic one, with the chart installed. `--only NAME …` measures some parts and
leaves the others' lines of the report as they were.
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
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import TypeAdapter
from tests.cheats.recording import Counts, recorded

from bench.at_once import at_once
from bench.cold_start import cold_starts
from bench.figures import Figure, Part, milliseconds, p90
from bench.installation import Installation, installed
from bench.memory import memory
from bench.verdicts import WORK_SECONDS, measured

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "docs" / "benchmarks.json"


def ledger() -> Part:
    """Events made durable in groups."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        printed = _run([sys.executable, "bench/ledger.py", "--folder", folder])
    found = json.loads(printed)
    figure = Figure(
        "ledger, events a second in groups",
        f"{found['events_per_second']:,}",
        "at least 50,000",
        f"groups of {found['group_size']}, {found['bytes_per_event']} bytes a record: {found['method']}",
    )
    return Part((figure,))


def evidence() -> Part:
    """What evidence costs while it is written, and where it is kept."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        found = json.loads(_run([sys.executable, "-m", "bench.evidence", "--folder", folder]))
    hours = ", ".join(f"{name} {stored / 1e6:.2f} MB" for name, (_, stored) in found["hours"].items())
    written = ", ".join(f"{name} {whole / 1e6:.0f} MB" for name, (whole, _) in found["hours"].items())
    return Part(
        (
            Figure(
                "ledger, one durable append",
                f"p50 {found['append_p50_ms']:.2f} ms, p99 {found['append_p99_ms']:.2f} ms",
                "p99 at most 2 ms",
                "2,000 appends of one Terminal event, each waited for (write, fdatasync)",
            ),
            Figure(
                "sealing, processor time at 10 MB/s of events",
                f"{found['sealing_percent']:.1f}% of a core",
                "at most 5%",
                "100 MB of assistant messages, words and hexadecimal digits, compressed as segments of 1 MiB",
            ),
            Figure(
                "watching a workspace, processor time",
                f"{found['watch_creating_seconds']:.1f} s for 100,000 new files, {found['watch_resting_seconds'] * 1000:.0f} ms for"
                " 5 s in which 20,000 files rest",
                "–",
                f"a process writes files of 100 bytes as fast as it can; {found['watch_listed']:,} of the changes were listed, the"
                " others counted in gaps",
            ),
            Figure(
                "storage for an hour of an agent's terminal",
                hours,
                "at most 1 MB",
                f"captures of the real CLIs' terminals (tests/captures), played again and again for an hour with other words each time, packed; unpacked {written}",
            ),
        )
    )


def checkpoints() -> Part:
    """A gigabyte kept exactly, kept again, and put back."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        found = json.loads(_run([sys.executable, "-m", "bench.checkpoints", "--folder", folder]))
    what = f"{found['bytes'] / 1e9:.1f} GB in {found['files']:,} files"
    stored = f"{found['stored_bytes'] / 1e6:,.0f} MB stored, a tree of {found['tree_bytes'] / 1e6:.1f} MB"
    return Part(
        (
            Figure(
                "checkpoint's files, the first",
                f"{found['first_seconds']:.1f} s",
                "at most 10 s",
                f"{what}; {stored}",
            ),
            Figure(
                f"checkpoint's files, {found['changed']} changed",
                f"{found['second_seconds']:.2f} s",
                "at most 1.5 s",
                "the agent is frozen meanwhile, but for the writing of the tree",
            ),
            Figure(
                "checkpoint's files, restored",
                f"{found['restore_mb_s']:,.0f} MB/s",
                "at least 200 MB/s",
                "from packs on the same disk into an empty folder",
            ),
        )
    )


def local_run(times: int = 5) -> Part:
    """The demo's honest task through `axiom run`, as a process."""
    program, took = str(Path(sys.executable).with_name("axiom")), []
    demo = ("examples/demo.yaml", "--class", "examples/demo-honest.yaml")
    for _ in range(times):
        with tempfile.TemporaryDirectory() as state:
            began = time.perf_counter()
            _run([program, "run", *demo, "--json", "--state", state])
            took.append(time.perf_counter() - began)
    figure = Figure(
        "`axiom run examples/demo.yaml`, process start to end",
        milliseconds(took),
        "–",
        f"{times} runs one after the other; agent, capture, base check and two test runs included",
    )
    return Part((figure,))


def verdict(times: int = 10) -> Part:
    """What a verification costs besides its own commands."""
    found = measured(times)
    figure = Figure(
        "end of the agent's turn → verdict, under bubblewrap",
        f"{milliseconds([beyond for _, beyond in found])} beyond the criteria's own commands;"
        f" {milliseconds([whole for whole, _ in found])} in all",
        "p50 at most 1,500 ms beyond them",
        f"{times} runs of examples/demo.yaml with an agent that works for {WORK_SECONDS} s, one before them not counted; from the"
        " agent's exit to the verdict in the ledger,"
        " without the time of every command that ran in the clean room (the base's check, two runs of the tests)",
    )
    return Part((figure,))


def egress() -> Part:
    """What the egress proxy adds, beside direct connections in the same run."""
    found = json.loads(_run([sys.executable, "-m", "bench.egress"]))
    added = [found[f"through_{one}_ms"] - found[f"direct_{one}_ms"] for one in ("p50", "p99")]
    streams = "50 streams of a model open all the time, the proxy on one core, vendor and agents on another"
    tunnel = f"one tunnel, 768 MiB; without the proxy {found['direct_mb_s']:,.0f} MB/s"
    return Part(
        (
            Figure(
                "egress proxy, added to the first byte of a stream",
                f"p50 {added[0]:.1f} ms, p99 {added[1]:.1f} ms",
                "at most 3 and 10 ms",
                f"{streams}; {found['answers']:,} answers of 20 events, {found['processor_ms']:.1f} ms of processor time each",
            ),
            Figure("egress proxy, CONNECT", f"{found['tunnel_mb_s']:,.0f} MB/s", "at least 100 MB/s", tunnel),
            Figure(
                "egress proxy, resident memory",
                f"{found['resident_mib']:.0f} MiB",
                "at most 150 MiB",
                "with 500 tunnels open, after all of the above",
            ),
        )
    )


def terminal() -> Part:
    """One agent's terminal, read, recorded, rendered and noted."""
    found = _supervising("pump")
    figure = Figure(
        "terminal → recording and ledger, one sandbox on one core",
        f"{found['mb_per_second']:,.0f} MB/s; {found['mb_per_processor_second']:,.0f} MB for each second of processor time",
        "at least 40 MB/s",
        f"{found['bytes'] / 2**20:,.0f} MiB of coloured lines, all of it recorded; the writer has another core, and waits for the"
        " terminal's buffer of 4 KiB",
    )
    return Part((figure,))


def _flooded(size: int) -> Part:
    found = _supervising("flood", "--bytes", str(size))
    lost = f"{found['kept']:,} bytes recorded, {found['declared_missing']:,} declared as a gap, none missing"
    method = f"an agent under bubblewrap writes {size / 1e9:,.1f} GB to its terminal; a supervisor of its own, with screenshots"
    return Part(
        (
            Figure(
                f"flood of {size / 1e9:,.1f} GB, supervisor's resident memory",
                f"{found['resident_mib']:.0f} MiB at most",
                "at most 96 MiB",
                f"{method}; without the process that draws, which lives for some seconds after a picture",
            ),
            Figure(
                f"flood of {size / 1e9:,.1f} GB, taken",
                f"{found['mb_per_second']:,.0f} MB/s; {lost}",
                "no loss without a gap",
                method,
            ),
        )
    )


def flood() -> Part:
    """A terminal that is written without pause."""
    return _flooded(10**9)


def long_flood() -> Part:
    """The same, ten times as long."""
    return _flooded(10**10)


def kill(times: int = 30) -> Part:
    """A flooding agent is stopped."""
    took = _supervising("kill", "--times", str(times))["seconds"]
    figure = Figure(
        "command to stop → nothing of a flooding agent lives",
        milliseconds(took),
        "p99 at most 1,000 ms",
        f"{times} sandboxes one after the other, each flooding for a second; looked at every 2 ms",
    )
    return Part((figure,))


def rest() -> Part:
    """A supervisor whose agent does nothing."""
    found = _supervising("rest", "--seconds", "60")
    figure = Figure(
        "supervisor at rest",
        f"{found['resident_mib']:.0f} MiB, {found['share_of_a_core']:.1%} of a core",
        "at most 80 MiB and 1%",
        f"its agent sleeps; over {found['seconds']:.0f} s, from 40 s after the start on",
    )
    return Part((figure,))


def state() -> Part:
    """How soon a change of what the agent does is to be seen."""
    took = sorted(_supervising("state", "--times", "1000")["seconds"])
    figure = Figure(
        "change of state → visible in the ledger's stream",
        f"{milliseconds(took)}, p99 {took[int(0.99 * len(took))] * 1000:,.0f} ms",
        "p99 at most 200 ms",
        f"{len(took):,} tools, one each 40 ms, in messages of Claude Code's; from the agent's writing to a reader of /v1/events",
    )
    return Part((figure,))


def resume(times: int = 10, size: int = 100_000_000) -> Part:
    """A checkpoint that is gone on from, beside a cold start."""
    found = _supervising("resume", "--times", str(times), "--bytes", str(size))
    more = median(found["resumed"]) - median(found["cold"])
    method = (
        f"{times} sandboxes of each kind in turns, under bubblewrap; a workspace of {found['bytes'] / 1e6:,.0f} MB in"
        f" {found['files']:,} files, base and parts beside it on the same disk; cold: {milliseconds(found['cold'])}"
    )
    figure = Figure(
        "sandbox started → first byte of an agent that goes on from a checkpoint",
        f"{milliseconds(found['resumed'])}; {more * 1000:+,.0f} ms beside a cold start",
        "at most 1,500 ms above a cold start",
        method,
    )
    return Part((figure,))


def _supervising(*arguments: str) -> Any:
    return json.loads(_run([sys.executable, "-m", "bench.supervising", *arguments]))


def launcher_size() -> Part:
    """The launcher's binary."""
    size = (ROOT / "build" / "launcher").stat().st_size
    figure = Figure("launcher, bytes", f"{size:,}", "under 5,000,000", "`make launcher`, static, stripped")
    return Part((figure,))


def cheats() -> Part:
    """What `make cheats` recorded of the cheating suite; nothing is run here."""
    return Part(tuple(map(_cheats_of, recorded().items())), load="–")


def _cheats_of(found: tuple[str, Mapping[str, Counts]]) -> Figure:
    language, parts = found
    of = int(next(iter(parts)).partition("/")[2])
    total = sum(parts.values(), Counts(0, 0, 0, 0, 0))
    ran = f"{len(parts)} of its {of} parts" if of > 1 else "all at once"
    return Figure(
        f"cheating suite, {language}",
        f"{total.accepted} of {total.cheats} cheats accepted, {total.rejected} of {total.honest} honest cases rejected",
        "0 and 0",
        f"`python -m tests.cheats --language {language} --record`, {ran}, each case in a clean room of its own;"
        f" {total.seconds:,} s, two at a time, beside other work",
    )


def report(parts: Mapping[str, Part]) -> str:
    """docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        f"`make bench` and `make bench-memory` on {os.cpu_count()} cores, {_memory_gib()} GiB of memory,"
        f" Linux {'.'.join(platform.release().split('.')[:2])}, Python {platform.python_version()}."
        " The machine is a shared virtual one, and the cluster's control plane runs on it, too: read figures of the same part"
        " beside each other. The load is the average of the minute before the part began.",
        "",
        "| what | measured | asked for | load | method |",
        "| --- | --- | --- | --- | --- |",
    ]
    for part in parts.values():
        lines += [f"| {f.what} | {f.measured} | {f.asked} | {part.load} | {f.method} |" for f in part.figures]
    for part in parts.values():
        if part.phases:
            lines += ["", f"## {part.title}", "", "| phase | p50, ms | p90, ms |", "| --- | ---: | ---: |"]
            lines += [
                f"| {phase.name} | {median(phase.seconds) * 1000:,.0f} | {p90(phase.seconds) * 1000:,.0f} |"
                for phase in part.phases
            ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measures, and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[*_HERE, *_ON_A_CLUSTER], help="measure nothing else")
    wanted = parser.parse_args().only or [name for name in (*_HERE, *_ON_A_CLUSTER) if name not in _LONG]
    parts = _known()
    for name in wanted:
        if name in _HERE:
            parts[name] = _shown(_HERE[name]())
            _keep(parts)
    if any(name in _ON_A_CLUSTER for name in wanted):
        with installed() as installation:
            for name in wanted:
                if name in _ON_A_CLUSTER:
                    parts[name] = _shown(_ON_A_CLUSTER[name](installation))
                    _keep(parts)


def _known() -> dict[str, Part]:
    """What earlier runs found."""
    if not RESULTS.exists():
        return {}
    return TypeAdapter(dict[str, Part]).validate_json(RESULTS.read_bytes())


def _keep(parts: Mapping[str, Part]) -> None:
    ordered = {name: parts[name] for name in (*_HERE, *_ON_A_CLUSTER) if name in parts}
    RESULTS.write_bytes(TypeAdapter(dict[str, Part]).dump_json(ordered, indent=1) + b"\n")
    REPORT.write_text(report(ordered))


def _shown(part: Part) -> Part:
    for figure in part.figures:
        print(f"{figure.what}: {figure.measured} (asked for: {figure.asked})", flush=True)
    for phase in part.phases:
        print(f"  {median(phase.seconds) * 1000:8,.0f} ms  {phase.name}", flush=True)
    return part


def _run(argv: list[str]) -> str:
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return ended.stdout


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3)


_HERE: dict[str, Callable[[], Part]] = {
    "launcher": launcher_size,
    "ledger": ledger,
    "evidence": evidence,
    "checkpoints": checkpoints,
    "egress": egress,
    "verdict": verdict,
    "run": local_run,
    "terminal": terminal,
    "flood": flood,
    "long-flood": long_flood,
    "kill": kill,
    "rest": rest,
    "state": state,
    "resume": resume,
    "cheats": cheats,
}
_ON_A_CLUSTER: dict[str, Callable[[Installation], Part]] = {
    "cold-start": cold_starts,
    "at-once": at_once,
    "memory": memory,
}
_LONG = ("memory", "long-flood")
"""Measured only when named."""

if __name__ == "__main__":
    main()
