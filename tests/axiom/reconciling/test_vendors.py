"""Breakers fed by processes of the egress proxy, and whom they hold back."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Any

from tests.axiom.planning.test_planner import world

from axiom.api.agentclass import AgentClass
from axiom.egress.weather import Sight
from axiom.planning.observed import Observed
from axiom.reconciling.vendors import Vendors, asks_a_model, hosts_of
from axiom_sandbox.protocol.channel import Phase
from axiom_sandbox.protocol.identity import Role

FAILING = {"api.example": Sight(failed_in_row=5, tasks=2, failed_ago=1)}
WELL = {"api.example": Sight(answered_ago=0, failed_ago=30)}


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def agent_class(*hosts: str, metered: bool = True) -> AgentClass:
    credentials = [
        {
            "name": f"model-{number}",
            "secretRef": {"name": "s", "key": "k"},
            "route": {"prefix": f"/m{number}", "upstream": f"https://{host}/v1", "metered": metered},
        }
        for number, host in enumerate(hosts)
    ]
    spec: dict[str, Any] = {"command": ["agent", "$(AXIOM_PROMPT)"], "credentials": credentials}
    return AgentClass.model_validate({"metadata": {"name": "c"}, "spec": spec})


def observed(uid: str = "a", *hosts: str, phase: Phase | None = None) -> Observed:
    played = world()
    played.step()
    task = played.task.model_copy(update={"metadata": {**played.task.metadata, "uid": uid}})
    found = changed(played.observe(), task=task, agent_class=agent_class(*(hosts or ("api.example",))))
    if phase is None:
        return found
    played.step()
    agent = played.sandboxes[played.created[0]]
    assert agent.identity.role is Role.AGENT
    agent.change(phase=phase)
    return changed(found, sandboxes=(agent.view(),))


def vendors() -> tuple[Vendors, Clock]:
    clock = Clock()
    return Vendors(clock, lambda: 0.0), clock


def test_tasks_of_classes_that_use_the_vendor_wait_and_no_others() -> None:
    found, _ = vendors()
    found.see("p1", FAILING)
    assert found.look()
    down = found.down_for(observed())
    assert down is not None
    assert (down.host, down.next_try_seconds) == ("api.example", 30)
    assert found.down_for(observed("a", "other.example")) is None
    assert list(found.states()) == [(("api.example",), 1.0)]
    assert not found.look()


def test_one_task_tries_and_its_answer_lets_all_go_on() -> None:
    found, clock = vendors()
    found.see("p1", FAILING)
    found.look()
    clock.now += 31
    assert found.look(), "whoever is asked first may try"
    assert found.down_for(observed("a")) is None
    assert found.down_for(observed("b")) is not None
    assert found.down_for(observed("a")) is None
    found.see("p2", WELL)
    assert found.look()
    assert found.down_for(observed("b")) is None
    assert list(found.states()) == [(("api.example",), 0.0)]


def test_what_a_process_saw_that_is_gone_does_not_count() -> None:
    found, _ = vendors()
    found.see("p1", {"api.example": Sight(failed_in_row=3, failed_ago=1)})
    found.see("p2", {"api.example": Sight(failed_in_row=2, failed_ago=1)})
    found.keep(["p2"])
    assert not found.look()


def test_only_a_task_whose_agent_works_or_is_about_to_waits_for_a_vendor() -> None:
    assert asks_a_model(observed())
    assert asks_a_model(observed(phase=Phase.RUNNING))
    assert not asks_a_model(observed(phase=Phase.ROUND_ENDED))


def test_hosts_are_those_of_metered_routes() -> None:
    assert hosts_of(agent_class("api.example", "api.example", "b.example").spec) == (
        "api.example",
        "b.example",
    )
    assert hosts_of(agent_class("api.example", metered=False).spec) == ()
