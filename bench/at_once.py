"""50 tasks at once: whether every verdict is right, and how long all take beside bare pods that run the same commands.

The node is what limits both: it holds as many pods as their requests allow. A bare pod asks for what the whole pod of the
task's sandbox asks for; what sandboxes ask for besides their command is told separately. A task counts two bare pods, one after
the other: the agent's command, then the criterion's.
"""

from __future__ import annotations

import os
import time
from typing import Any

from e2e.support.kubernetes import Object

from bench.figures import Figure, Part
from bench.installation import Installation, wait

_TASKS = 50
_CHEATS = 10
_AGENT_SECONDS, _CHECK_SECONDS = 30, 2
_RESOURCES = {"cpu": "400m", "memory": "128Mi", "storage": "64Mi"}
_SUPERVISOR_MILLIS, _TELLER_MILLIS, _VERIFIER_MILLIS = 50, 1, 25
_LIMIT_SECONDS = 1200.0
_BURN = "import time\nuntil = time.process_time() + 0.3\nwhile time.process_time() < until: pass\n"
_AGENT = f"{_BURN}time.sleep({_AGENT_SECONDS})\nopen('out.txt', 'w').write('done')\n"
_CHEAT = f"{_BURN}time.sleep({_AGENT_SECONDS})\nprint('done')\n"
_CHECK = f"{_BURN}time.sleep({_CHECK_SECONDS})\nassert open('out.txt').read() == 'done'\n"


def at_once(installation: Installation) -> Part:
    """The bare pods first, then the tasks."""
    load = f"{os.getloadavg()[0]:.1f}"
    installation.make_class("busy", installation.verifier_image, ["python3", "-c", "$(AXIOM_PROMPT)"])
    bare = _bare(installation)
    installation.wait_no_pods(300)
    took, verdicts = _tasks(installation)
    wanted = {"Pass": _TASKS - _CHEATS, "Fail": _CHEATS}
    method = (
        f"one node of {os.cpu_count()} cores; the agent's command takes {_AGENT_SECONDS} s, 0.3 s of them of processor time; the"
        f" criterion's {_CHECK_SECONDS} s and 0.3 s. {_CHEATS} of the agents do nothing and say that they did. A bare pod runs the"
        " same command with the same requests as the whole pod of the sandbox; the criterion's follows when the agent's has ended"
    )
    return Part(
        (
            Figure(f"{_TASKS} tasks at once, verdicts", _told(verdicts), f"all right: {_told(wanted)}", method),
            Figure(f"{_TASKS} × 2 bare pods, the same commands", f"{bare:,.0f} s", "–", "from the first request to the last end"),
            Figure(
                f"{_TASKS} tasks at once, all complete",
                f"{took:,.0f} s; {took / bare:.2f} times the bare pods",
                "at most 1.3 times",
                "from the first request to the last outcome in status",
            ),
        ),
        load=load,
    )  # fmt: skip


def _tasks(installation: Installation) -> tuple[float, dict[str, int]]:
    """Seconds until all are complete, and how many came to which verdict, wrong ones named."""
    began = time.monotonic()
    for number in range(_TASKS):
        cheats = number % (_TASKS // _CHEATS) == 0
        installation.create_task(
            f"busy-{number}{'-cheat' if cheats else ''}",
            agentClassName="busy",
            prompt=_CHEAT if cheats else _AGENT,
            criteria=[{"name": "check", "command": {"argv": ["python3", "-c", _CHECK]}}],
            limits={"deadline": "20m", "maxRounds": 1, "resources": _RESOURCES},
        )
    wait(lambda: all(map(_is_complete, installation.tasks())), "the tasks to complete", _LIMIT_SECONDS)
    took, verdicts = time.monotonic() - began, dict[str, int]()
    for task in installation.tasks():
        found, wanted = (
            task["status"].get("verdict"),
            "Fail" if task["metadata"]["name"].endswith("-cheat") else "Pass",
        )
        key = (
            str(found) if found == wanted else f"{found} instead of {wanted}: {task['status'].get('message')}"
        )
        verdicts[key] = verdicts.get(key, 0) + 1
    installation.kubectl("delete", "agenttasks", "--all", timeout=120)
    return took, verdicts


def _is_complete(task: Object) -> bool:
    return bool(task.get("status", {}).get("completionTime"))


def _bare(installation: Installation) -> float:
    """Seconds from the first request to the last pod's end."""
    began, followed, ended = time.monotonic(), set[str](), set[str]()
    agent_millis = int(_RESOURCES["cpu"].removesuffix("m")) // 4
    overhead = _SUPERVISOR_MILLIS + _TELLER_MILLIS
    for number in range(_TASKS):
        _create(installation, f"agent-{number}", _AGENT, agent_millis + overhead)
    while len(ended) < _TASKS:
        if time.monotonic() - began > _LIMIT_SECONDS:
            raise SystemExit("the bare pods do not come to an end")
        for pod in installation.pods():
            name, phase = pod["metadata"]["name"], pod["status"].get("phase")
            role, _, number = name.partition("-")
            if phase == "Failed":
                raise SystemExit(f"bare pod {name} failed")
            if phase != "Succeeded":
                continue
            if role == "agent" and number not in followed:
                followed.add(number)
                check = f"open('out.txt', 'w').write('done')\n{_CHECK}"
                _create(installation, f"check-{number}", check, _VERIFIER_MILLIS + overhead)
            if role == "check":
                ended.add(number)
        time.sleep(0.2)
    took = time.monotonic() - began
    installation.kubectl("delete", "pods", "--all", "--wait=false", "--grace-period=0")
    return took


def _create(installation: Installation, name: str, script: str, millis: int) -> None:
    container: dict[str, Any] = {
        "name": "main",
        "image": installation.verifier_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", script],
        "workingDir": "/tmp",
        "resources": {
            "requests": {"cpu": f"{millis}m", "memory": "256Mi"},
            "limits": {"cpu": _RESOURCES["cpu"], "memory": "512Mi"},
        },
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "hostUsers": False,
            "terminationGracePeriodSeconds": 1,
        },
    }
    installation.kubectl.api().post(f"/api/v1/namespaces/{installation.kubectl.namespace}/pods", pod)


def _told(verdicts: dict[str, int]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items(), reverse=True))
