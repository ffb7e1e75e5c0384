"""What the Docker backend asks for and refuses; that it holds is tried with a real daemon in e2e/test_backends.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from axiom.backends import docker_daemon
from axiom.backends.contract import CannotRunError, SandboxSpec
from axiom.backends.docker import DockerBackend, DockerSandbox
from axiom.backends.host import Bind, System
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.launching import Network

UID = "0f1e2d3c-0000-4000-8000-000000000000"
GOOD = {"OperatingSystem": "Debian", "SecurityOptions": ["name=seccomp,profile=default"], "PidsLimit": True, "MemoryLimit": True}  # fmt: skip


def sandbox(folder: Path, role: Role = Role.AGENT, **spec: Any) -> DockerSandbox:
    number = int(role is Role.VERIFIER)
    identity = Identity(
        namespace="n", task="leap", task_id=UID, attempt=1, role=role, round=number, trial=number
    )
    given = {
        "identity": identity,
        "network": Network.STRICT,
        "processes": 100,
        "memory_bytes": 2**30,
        "cpu_millis": 1500,
        "tmp_bytes": 2**20,
        "image": "agent:1",
        **spec,
    }
    return DockerSandbox(cast(DockerBackend, None), SandboxSpec(**given), folder / "box", lambda: None)


def mounts(container: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    return {item["Target"]: (item["Source"], item["ReadOnly"]) for item in container["mounts"]}


def test_a_container_has_no_powers_no_network_and_a_pods_limits(tmp_path: Path) -> None:
    box = sandbox(tmp_path)
    container = box.container(Path("/launcher"))
    assert container["network_mode"] == "none"
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["read_only"] is True
    assert container["privileged"] is False
    assert container["user"] == f"{box.user}:{box.user}"
    assert box.user != 0
    assert container["pids_limit"] == 116
    assert container["mem_limit"] == container["memswap_limit"] == 2**30
    assert container["nano_cpus"] == 1_500_000_000
    assert "size=1048576" in container["tmpfs"]["/tmp"]
    assert container["healthcheck"] == {"test": ["NONE"]}
    assert container["entrypoint"][:2] == ["/axiom/bin/launcher", "init"]


def test_only_workspace_and_home_are_writable_and_nothing_of_docker_is_inside(tmp_path: Path) -> None:
    found = mounts(sandbox(tmp_path, egress_socket=Path("/e/egress.sock")).container(Path("/launcher")))
    assert {target for target, (_, read_only) in found.items() if not read_only} == {
        "/workspace",
        "/home/agent",
    }
    assert found["/axiom/egress/egress.sock"] == ("/e/egress.sock", True)
    assert not any("docker" in source for source, _ in found.values())


def test_the_clean_room_has_a_tmp_that_the_trusted_side_can_empty(tmp_path: Path) -> None:
    box = sandbox(tmp_path, Role.VERIFIER)
    container = box.container(Path("/launcher"))
    assert container["tmpfs"] == {}
    assert mounts(container)["/tmp"] == (str(tmp_path / "box" / "tmp"), False)
    assert box.settings().tmp == tmp_path / "box" / "tmp"
    assert sandbox(tmp_path).settings().tmp is None


def test_an_image_brings_its_own_system_and_python(tmp_path: Path) -> None:
    box = sandbox(tmp_path, Role.VERIFIER, image="clean:1")
    assert not {"/usr", "/axiom/python"} & set(mounts(box.container(Path("/l"))))
    assert box.settings().inside.python == "/usr/bin/python3"


def test_without_an_image_this_machines_system_is_shown_read_only(tmp_path: Path) -> None:
    box = sandbox(tmp_path, Role.VERIFIER, image=None)
    found = mounts(box.container(Path("/l")))
    assert found["/usr"] == ("/usr", True)
    assert found["/axiom/python"][1]
    assert box.settings().inside.python.startswith("/axiom/python/bin/python")


def test_the_probe_is_told_what_docker_does_not_promise(tmp_path: Path) -> None:
    settings = sandbox(tmp_path).settings()
    assert not settings.expect.user_namespace
    assert settings.expect.read_only_root
    assert settings.expect.seccomp
    assert not settings.inside.own_user


def test_root_gives_each_sandbox_a_user_id_of_its_own_and_keeps_one_capability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    agent, verifier = sandbox(tmp_path), sandbox(tmp_path, Role.VERIFIER)
    assert agent.user != verifier.user
    assert agent.user == sandbox(tmp_path).user
    assert 1_600_000_000 <= agent.user < 1_800_000_000
    command = agent._trusted_command()
    assert command[0] == "setpriv"
    assert command[command.index("--reuid") + 1] == str(agent.user)
    assert command[command.index("--bounding-set") + 1] == "-all,+dac_read_search"
    assert command[command.index("--pdeathsig") + 1] == "TERM"


def test_another_user_is_the_sandboxs_user_and_needs_no_capability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    box = sandbox(tmp_path)
    assert box.user == 1234
    assert box._trusted_command()[1:] == ["-m", "axiom_sandbox", "run"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"OperatingSystem": "Docker Desktop"}, "virtual machine"),
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, "rootless"),
        ({"SecurityOptions": ["name=seccomp", "name=userns"]}, "remapped users"),
        ({"SecurityOptions": []}, "no seccomp"),
        ({"PidsLimit": False}, "the number of processes"),
        ({"MemoryLimit": False}, "memory"),
    ],
)
def test_a_daemon_that_cannot_hold_a_sandbox_is_refused(change: dict[str, Any], words: str) -> None:
    assert docker_daemon._problem_of(GOOD) == ""
    assert words in docker_daemon._problem_of({**GOOD, **change})


@pytest.mark.parametrize(
    ("address", "cure"),
    [
        ("tcp://10.0.0.1:2375", "unset DOCKER_HOST"),
        ("unix:///no/such/docker.sock", "apt install docker.io"),
    ],
)
def test_a_daemon_that_cannot_be_reached_is_told_with_a_cure(
    monkeypatch: pytest.MonkeyPatch, address: str, cure: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(CannotRunError, match=cure):
        docker_daemon.connect()


def test_who_may_not_use_docker_is_told_the_group() -> None:
    error = requests.ConnectionError("('Connection aborted.', PermissionError(13, 'Permission denied'))")
    assert "group docker" in docker_daemon._why_unreachable("unix:///s", error)


def test_the_image_of_this_machine_is_the_same_bytes_each_time() -> None:
    system = System((Bind(Path("/usr"), "/usr"), Bind(Path("/etc/ssl"), "/etc/ssl")), {"/bin": "usr/bin"})
    assert docker_daemon._skeleton(system) == docker_daemon._skeleton(system)
