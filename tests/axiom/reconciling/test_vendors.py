"""Breakers fed by processes of the egress proxy, and whom they hold back."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import UTC, datetime
from typing import Any

from tests.axiom.planning.test_planner import world

from axiom.api.agentclass import AgentClass
from axiom.egress.weather import Fared, Sight
from axiom.planning.observed import Observed
from axiom.reconciling.vendors import NOTE, Vendors, asks_a_model, hosts_of
from axiom_sandbox.protocol.channel import Phase
from axiom_sandbox.protocol.identity import Role

FAILS = Fared(failed_in_row=3, failed_ago=1)
FAILING = {"api.example": Sight(by_task={"x": FAILS, "y": FAILS})}
"""Of two tasks."""


def well(task: str) -> dict[str, Sight]:
    return {"api.example": Sight(by_task={task: Fared(answered_ago=0, failed_ago=30)})}


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


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
    assert (down.host, down.since.timestamp(), down.next_try.timestamp()) == ("api.example", 1000, 1030)
    assert found.down_for(observed("a", "other.example")) is None
    assert list(found.states()) == [(("api.example",), 1.0)]
    assert list(found.next_tries()) == [(("api.example",), 1030.0)]
    assert list(found.shares()) == [(("api.example",), 1.0)]
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
    clock.now += 1
    found.see("p2", well("a"))
    assert found.look()
    assert found.down_for(observed("b")) is None
    assert list(found.states()) == [(("api.example",), 0.0)]
    assert list(found.next_tries()) == []
    clock.now += 1000
    assert not found.look(), "that it is forgotten changes nothing"
    assert found.notes() == {NOTE: "{}"}


def test_what_a_process_saw_that_is_gone_does_not_count() -> None:
    found, _ = vendors()
    found.see("p1", {"api.example": Sight(by_task={"x": FAILS})})
    found.see("p2", {"api.example": Sight(by_task={"y": FAILS})})
    found.keep(["p2"])
    assert not found.look()


def test_a_task_that_fails_alone_is_no_outage() -> None:
    found, _ = vendors()
    found.see("p1", {"api.example": Sight(by_task={"a": Fared(failed_in_row=9, failed_ago=1)})})
    assert found.look()
    assert found.down_for(observed("a")) is not None
    assert found.down_for(observed("b")) is None
    assert list(found.states()) == [(("api.example",), 0.0)]


def test_the_next_operator_goes_on_where_the_last_one_was() -> None:
    found, clock = vendors()
    found.see("p1", FAILING)
    found.look()
    clock.now += 31
    found.look()
    assert found.down_for(observed("a")) is None
    next_one = Vendors(clock, lambda: 0.0)
    next_one.go_on_from(found.notes())
    assert next_one.down_for(observed("a")) is None, "it goes on trying"
    down = next_one.down_for(observed("b"))
    assert down is not None
    assert down.since.timestamp() == 1000
    assert next_one.notes() == found.notes()


def test_notes_that_cannot_be_read_close_all_breakers_and_many_are_bounded() -> None:
    found, _ = vendors()
    for text in ("", "{", "[]", '{"api.example": {"state": "Ajar"}}'):
        found.go_on_from({NOTE: text})
        assert found.notes() == {NOTE: "{}"}
    for number in range(2000):
        found.see(f"p{number}", {f"h{number}.example": FAILING["api.example"]})
    found.look()
    assert 100_000 < len(found.notes()[NOTE]) <= 200_000


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
