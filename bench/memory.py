"""What operator and gateway keep in memory after 50 tasks and after 500: `make bench-memory`."""

from __future__ import annotations

import os
import time

from bench.figures import Figure, Part
from bench.installation import Installation

_FEW, _MANY = 50, 500
_AT_A_TIME = 6
_LIMIT_SECONDS = 2700.0
_SETTLING_SECONDS = 60.0
"""Longer than the pods' end, the tasks' time to live and the longest poll take."""
_RESOURCES = {"cpu": "400m", "memory": "128Mi", "storage": "64Mi"}


def memory(installation: Installation) -> Part:
    """500 small tasks, a few at a time, each deleted by its own time to live."""
    load = f"{os.getloadavg()[0]:.1f}"
    installation.make_class("bench", installation.agent_image, ["/agent", "$(AXIOM_PROMPT)"])
    found: dict[int, dict[str, float]] = {}
    for upto in (_FEW, _MANY):
        _work_off(installation, max(found, default=0), upto)
        time.sleep(_SETTLING_SECONDS)
        found[upto] = {name: installation.resident_bytes(name) / 2**20 for name in ("operator", "gateway")}
    method = (
        f"private memory of the process, {_AT_A_TIME} tasks at a time, each with a verifier, deleted 20 s after its completion;"
        f" {_SETTLING_SECONDS:.0f} s after the last"
    )
    figures = []
    for name in ("operator", "gateway"):
        few, many = found[_FEW][name], found[_MANY][name]
        measured = (
            f"{few:.1f} MiB after {_FEW} tasks, {many:.1f} MiB after {_MANY}: {(many / few - 1) * 100:+.1f}%"
        )
        figures.append(Figure(f"{name}, memory", measured, "within 10%", method))
    return Part(tuple(figures), load=load)


def _work_off(installation: Installation, start: int, end: int) -> None:
    """Tasks number `start` to `end`; raises SystemExit when one does not pass."""
    until, next_one, known = time.monotonic() + _LIMIT_SECONDS, start, dict[str, str]()
    while next_one < end or known:
        if time.monotonic() > until:
            raise SystemExit(f"{next_one - len(known)} of {end} tasks were done in {_LIMIT_SECONDS:.0f} s")
        there = {task["metadata"]["name"]: task.get("status", {}) for task in installation.tasks()}
        for name in list(known):
            verdict = there.get(name, {}).get("verdict", "")
            if verdict not in ("", "Pass"):
                raise SystemExit(f"{name} came to {verdict}: {there[name].get('message')}")
            if verdict == "Pass":
                del known[name]
            elif name not in there:
                raise SystemExit(f"{name} is gone without a verdict")
        while len(known) < _AT_A_TIME and next_one < end:
            name = f"small-{next_one}"
            installation.create_task(
                name,
                agentClassName="bench",
                prompt="write out.txt done",
                criteria=[{"name": "out", "files": {"expect": [{"path": "out.txt"}]}}],
                limits={"deadline": "5m", "maxRounds": 1, "resources": _RESOURCES},
                retention={"ttlAfterComplete": "20s"},
            )
            known[name] = ""
            next_one += 1
        time.sleep(0.3)
