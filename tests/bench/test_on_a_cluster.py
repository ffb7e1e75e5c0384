"""What the benchmarks ask of a cluster, against one that answers at once."""

from __future__ import annotations

from typing import Any, cast

import pytest
from bench.installation import Installation

from bench import at_once, installation, memory


class FakeApi:
    def __init__(self, pods: dict[str, dict[str, Any]]) -> None:
        self._pods = pods

    def post(self, _path: str, document: dict[str, Any]) -> None:
        name = document["metadata"]["name"]
        self._pods[name] = {**document, "status": {"phase": "Succeeded"}}


class FakeKubectl:
    namespace = "bench"

    def __init__(self) -> None:
        self.pods: dict[str, dict[str, Any]] = {}

    def api(self) -> FakeApi:
        return FakeApi(self.pods)

    def __call__(self, *arguments: str, **_: Any) -> str:
        if arguments[:2] == ("delete", "pods"):
            self.pods.clear()
        return ""


class FakeInstallation:
    """Every task is complete when it is first looked at, and told true unless it is in `fooled`."""

    verifier_image, agent_image = "verifier:1", "agent:1"

    def __init__(self, fooled: frozenset[str] = frozenset()) -> None:
        self.kubectl, self.created, self._fooled = FakeKubectl(), dict[str, dict[str, Any]](), fooled
        self.megabytes = 40

    def make_class(self, name: str, image: str, command: list[str]) -> None:
        pass

    def create_task(self, name: str, **spec: Any) -> None:
        cheats = name.endswith("-cheat") != (name in self._fooled)
        status = {"completionTime": "now", "verdict": "Fail" if cheats else "Pass", "message": "said"}
        self.created[name] = {"metadata": {"name": name}, "spec": spec, "status": status}

    def tasks(self) -> list[dict[str, Any]]:
        return list(self.created.values())

    def pods(self) -> list[dict[str, Any]]:
        return list(self.kubectl.pods.values())

    def wait_no_pods(self, limit_seconds: float = 1) -> None:
        assert not self.kubectl.pods

    def resident_bytes(self, _component: str) -> int:
        return self.megabytes * 2**20


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (at_once, memory, installation):
        monkeypatch.setattr(module.time, "sleep", lambda _seconds: None)


def test_fifty_tasks_with_ten_cheats_come_to_the_verdicts_that_they_should() -> None:
    fake = FakeInstallation()
    part = at_once.at_once(cast(Installation, fake))
    assert part.figures[0].measured == "40 Pass, 10 Fail"
    assert len(fake.created) == 50


def test_a_wrong_verdict_is_told_with_what_it_should_have_been() -> None:
    part = at_once.at_once(cast(Installation, FakeInstallation(frozenset({"busy-0-cheat"}))))
    assert "1 Pass instead of Fail: said" in part.figures[0].measured


def test_five_hundred_tasks_are_made_and_the_difference_is_told() -> None:
    fake = FakeInstallation()
    part = memory.memory(cast(Installation, fake))
    assert len(fake.created) == 500
    assert [figure.what for figure in part.figures] == ["operator, memory", "gateway, memory"]
    assert part.figures[0].measured == "40.0 MiB after 50 tasks, 40.0 MiB after 500: +0.0%"


def test_a_task_that_does_not_pass_ends_the_measurement() -> None:
    with pytest.raises(SystemExit, match="small-7 came to Fail"):
        memory.memory(cast(Installation, FakeInstallation(frozenset({"small-7"}))))
