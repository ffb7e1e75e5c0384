"""Which backend a task gets, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from axiom.api.agentclass import AgentClassSpec
from axiom.backends import choosing
from axiom.backends.choosing import choose_backend, is_installed
from axiom.backends.contract import CannotRunError
from axiom.backends.names import BackendName


def spec(*command: str, **fields: Any) -> AgentClassSpec:
    return AgentClassSpec.model_validate({"command": [*command, "$(AXIOM_PROMPT)"], **fields})


class Machine:
    """A machine with these backends; making one says which."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *backends: str) -> None:
        for name in ("bubblewrap", "docker"):
            monkeypatch.setattr(choosing, f"_{name}", self._maker(name, name in backends))

    @staticmethod
    def _maker(name: str, works: bool) -> Any:
        def make() -> str:
            if not works:
                raise CannotRunError(f"{name} is missing; install {name}")
            return name

        return make

    def choose(self, agent_class: AgentClassSpec, wanted: BackendName = BackendName.AUTO) -> Any:
        return choose_backend(wanted, agent_class)


HERE = spec("/bin/sh")
IMAGE_ONLY = spec("/no/such/agent", image="agent:1")


@pytest.mark.parametrize(
    ("backends", "agent_class", "chosen"),
    [
        (("bubblewrap", "docker"), HERE, "bubblewrap"),
        (("docker",), HERE, "docker"),
        (("bubblewrap", "docker"), spec("/bin/sh", image="debian"), "bubblewrap"),
        (("bubblewrap", "docker"), IMAGE_ONLY, "docker"),
    ],
)
def test_auto_takes_bubblewrap_unless_only_docker_will_do(
    monkeypatch: pytest.MonkeyPatch, backends: tuple[str, ...], agent_class: AgentClassSpec, chosen: str
) -> None:
    assert Machine(monkeypatch, *backends).choose(agent_class) == chosen


def test_where_neither_works_both_are_told_with_their_cures(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotRunError, match=r"install bubblewrap.*install docker"):
        Machine(monkeypatch).choose(HERE)


def test_an_agent_that_is_only_in_an_image_is_not_tried_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotRunError, match=r"'/no/such/agent' is not on this machine.*install docker"):
        Machine(monkeypatch, "bubblewrap").choose(IMAGE_ONLY)


@pytest.mark.parametrize("wanted", [BackendName.BUBBLEWRAP, BackendName.DOCKER])
def test_a_backend_that_is_named_is_taken_or_refused(
    monkeypatch: pytest.MonkeyPatch, wanted: BackendName
) -> None:
    assert Machine(monkeypatch, "bubblewrap", "docker").choose(IMAGE_ONLY, wanted) == wanted.value
    with pytest.raises(CannotRunError, match=f"install {wanted.value}"):
        Machine(monkeypatch).choose(HERE, wanted)


@pytest.mark.parametrize(
    ("command", "installed"),
    [
        ("sh", True),
        ("/usr/bin/env", True),
        ("no-such-agent", False),
        ("/usr/no/such/agent", False),
        ("./agent.sh", True),
        ("/workspace/agent", True),
        ("$(AXIOM_HOME)/agent", True),
        ("/root/agent", False),
    ],
)
def test_what_a_sandbox_would_find(command: str, installed: bool) -> None:
    assert is_installed(spec(command)) is installed


def test_paths_that_the_class_shows_count(tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.touch()
    assert not is_installed(spec(str(program)))
    assert is_installed(spec(str(program), local={"readOnlyPaths": [str(tmp_path)]}))


def test_a_path_variable_of_the_class_is_searched(tmp_path: Path) -> None:
    (tmp_path / "agent").touch(mode=0o755)
    assert is_installed(spec("agent", env=[{"name": "PATH", "value": str(tmp_path)}]))
