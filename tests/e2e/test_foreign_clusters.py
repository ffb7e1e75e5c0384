"""Clusters that are not the hermetic one: what is asked of kind and docker, and what is refused. Both are stand-ins here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from e2e.cluster import connection, foreign, kind, providing
from e2e.cluster.api import from_kubeconfig
from e2e.cluster.connection import ForeignConnection, Provider, Storage
from e2e.cluster.errors import ClusterError, NotHereError
from e2e.support.pod_network import listening

MISSING_IMAGE = """\
ERROR: failed to create cluster: failed to pull image "kindest/node:v1.37.0@sha256:a1ed": command "docker pull \
kindest/node:v1.37.0@sha256:a1ed" failed with error: exit status 1
"""  # as kind says it
KUBECONFIG = {
    "current-context": "kind-x",
    "contexts": [{"name": "kind-x", "context": {"cluster": "c", "user": "u"}}],
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}


class Tools:
    """Programs on PATH that note how they were called, and answer as they were told."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder / "log"

    def say(self, program: str, text: str = "", *, when: str = "*", code: int = 0) -> None:
        """What a program answers when its arguments look so; what was told first wins."""
        script = self._folder / program
        if not script.exists():
            note = f'#!/bin/bash\nprintf "%s\\n" "{program} $*" >> {self._log}\ncase "$*" in\n'
            script.write_text(note + "esac\n")
            script.chmod(0o755)
        answer = self._folder / f"answer-{os.urandom(4).hex()}"
        answer.write_text(text)
        stream = "" if code == 0 else " >&2"
        body = script.read_text().removesuffix("esac\n")
        pattern = when.replace(" ", "\\ ")
        script.write_text(f"{body}{pattern}) cat {answer}{stream}; exit {code};;\nesac\n")

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("AXIOM_CACHE", str(tmp_path / "cache"))
    for name in ("E2E_CLUSTER", "E2E_KIND_IMAGE", "E2E_REGISTRY", "E2E_IMAGES", "E2E_CURRENT_CONFIRM"):
        monkeypatch.delenv(name, raising=False)
    return Tools(folder)


def somewhere(provider: Provider) -> ForeignConnection:
    facts = dict.fromkeys(
        ("node", "node_address", "machine_address", "pod_cidr", "service_cidr", "audit_log", "containerd_socket"), ""
    )  # fmt: skip
    return ForeignConnection(
        name="x", kubeconfig="k", bin_dir="b", s3=Storage("", "", ""), api_server="a", provider=provider, **facts
    )  # fmt: skip


# --- which cluster ----------------------------------------------------------------------------------------------


def test_the_hermetic_cluster_is_meant_unless_something_else_is_said(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connection.chosen() is Provider.HERMETIC
    monkeypatch.setenv("E2E_CLUSTER", "current")
    assert connection.chosen() is Provider.CURRENT
    monkeypatch.setenv("E2E_CLUSTER", "minikube")
    with pytest.raises(ClusterError, match="write one of hermetic, kind, current"):
        connection.chosen()


def test_what_only_the_hermetic_cluster_has_is_not_here() -> None:
    foreign_one = somewhere(Provider.CURRENT)

    with pytest.raises(NotHereError, match="audit_log is not known"):
        _ = foreign_one.audit_log
    with pytest.raises(NotHereError, match="s3 is not known"):
        _ = foreign_one.s3
    assert foreign_one.api_server == "a"
    assert foreign_one.with_storage(Storage("http://s3", "a", "s")).s3.endpoint == "http://s3"
    assert "secret" not in repr(foreign_one)


# --- the current cluster ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", ["kind-e2e", "minikube", "k3d-test", "docker-desktop"])
def test_clusters_on_ones_own_machine_need_no_confirmation(context: str) -> None:
    foreign.refuse_strangers(context, "", [])


def test_a_cluster_that_others_may_rely_on_must_be_confirmed_by_its_name() -> None:
    with pytest.raises(ClusterError, match="E2E_CURRENT_CONFIRM=prod-eu"):
        foreign.refuse_strangers("prod-eu", "", [])
    with pytest.raises(ClusterError, match="E2E_CURRENT_CONFIRM=prod-eu"):
        foreign.refuse_strangers("prod-eu", "staging", [])
    foreign.refuse_strangers("prod-eu", "prod-eu", [])


def test_a_cluster_with_an_axiom_at_work_is_refused_even_when_confirmed() -> None:
    with pytest.raises(ClusterError, match="would disturb: operator axiom-system/axiom-operator"):
        foreign.refuse_strangers("prod-eu", "prod-eu", ["operator axiom-system/axiom-operator"])


def test_the_context_in_use_is_written_alone_and_for_oneself(tools: Tools, tmp_path: Path) -> None:
    tools.say("kubectl", json.dumps(KUBECONFIG))
    tools.say("helm")

    file = foreign.write_kubeconfig(foreign.tools_folder(), Provider.CURRENT)

    assert json.loads(file.read_text()) == KUBECONFIG
    assert file.stat().st_mode & 0o777 == 0o600
    assert tools.calls == ["kubectl config view --raw --minify --flatten --output json"]


def test_a_missing_context_and_credentials_of_an_unknown_kind_are_named(tools: Tools, tmp_path: Path) -> None:
    tools.say("kubectl", "error: current-context must exist", code=1)
    tools.say("helm")
    with pytest.raises(ClusterError, match="the kubeconfig names no cluster"):
        foreign.write_kubeconfig(foreign.tools_folder(), Provider.CURRENT)

    file = tmp_path / "kubeconfig"
    user = {"exec": {"command": "aws"}}
    file.write_text(json.dumps({**KUBECONFIG, "users": [{"name": "u", "user": user}]}))
    with pytest.raises(ClusterError, match="user has exec; tests know certificates and tokens"):
        from_kubeconfig(file)


def test_a_token_opens_the_api_server(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(KUBECONFIG))

    assert from_kubeconfig(file).headers == {"Authorization": "Bearer t"}


# --- images -----------------------------------------------------------------------------------------------------


def test_images_are_pushed_to_the_registry_that_is_named(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.say("docker")
    monkeypatch.setenv("E2E_REGISTRY", "registry.example/team/")
    there = somewhere(Provider.CURRENT)

    image = providing.image_name(there, "axiom-sandbox", "0123")
    assert not providing.has_image(there, image)
    providing.provide_image(there, image, tmp_path / "Dockerfile", tmp_path)

    assert image == "registry.example/team/axiom-sandbox:0123"
    assert tools.calls == [
        f"docker build --tag {image} --file {tmp_path}/Dockerfile {tmp_path}",
        f"docker push {image}",
    ]


def test_images_that_nodes_have_are_not_built(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2E_IMAGES", "preloaded")
    there = somewhere(Provider.CURRENT)

    image = providing.image_name(there, "axiom-sandbox", "0123")

    assert image == "axiom.dev/axiom-sandbox:0123"
    assert providing.has_image(there, image)


@pytest.mark.parametrize(
    "settings", [{}, {"E2E_REGISTRY": "r", "E2E_IMAGES": "preloaded"}, {"E2E_IMAGES": "yes"}]
)
def test_where_images_come_from_must_be_said(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ClusterError, match=r"E2E_REGISTRY=registry\.example|E2E_IMAGES is 'yes'"):
        providing.image_name(somewhere(Provider.CURRENT), "axiom-sandbox", "0123")


def test_kinds_nodes_are_given_an_archive(tools: Tools, tmp_path: Path) -> None:
    tools.say("docker", "sha\naxiom.dev/axiom-sandbox:old\n", when="exec x-control-plane ctr*")
    tools.say("docker")
    tools.say("kind", "x-control-plane\n", when="get nodes*")
    tools.say("kind")
    there = somewhere(Provider.KIND)

    assert providing.has_image(there, "axiom.dev/axiom-sandbox:old")
    assert not providing.has_image(there, "axiom.dev/axiom-sandbox:new")
    providing.provide_image(there, "axiom.dev/axiom-sandbox:new", tmp_path / "Dockerfile", tmp_path)

    build, save, load = tools.calls[-3:]
    assert build == f"docker build --tag axiom.dev/axiom-sandbox:new --file {tmp_path}/Dockerfile {tmp_path}"
    archive = save.split()[3]
    assert save == f"docker save --output {archive} axiom.dev/axiom-sandbox:new"
    assert load == f"kind load image-archive {archive} --name x"


# --- kind -------------------------------------------------------------------------------------------------------


def test_a_cluster_is_made_once_with_our_configuration(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2E_KIND_IMAGE", "mirror.example/node:v1.36.1")
    tools.say("docker", "172.18.0.2\n", when="inspect*")
    tools.say("docker", "10.244.0.0/24", when="exec*")
    tools.say("docker")
    tools.say("kind", "another\n", when="get clusters")
    tools.say("kind", "x-control-plane\n", when="get nodes*")
    tools.say("kind")
    tools.say("ip")

    kind.create("x")

    [created] = [call for call in tools.calls if call.startswith("kind create")]
    assert created == (
        f"kind create cluster --name x --config {kind.CONFIGURATION} --wait 180s --kubeconfig /dev/null "
        "--image mirror.example/node:v1.36.1"
    )
    if os.geteuid() == 0:
        assert tools.calls[-1] == "ip route replace 10.244.0.0/24 via 172.18.0.2"
    before = len(tools.calls)
    kind.create("another")
    assert not any(call.startswith("kind create") for call in tools.calls[before:])


def test_a_node_image_that_cannot_be_had_is_told_with_the_cure(tools: Tools) -> None:
    tools.say("docker")
    tools.say("kind", MISSING_IMAGE, when="create*", code=1)
    tools.say("kind")

    with pytest.raises(
        ClusterError, match=r"(?s)name it in E2E_KIND_IMAGE.*E2E_CLUSTER=hermetic.*exit status 1"
    ):
        kind.create("x")


def test_kind_without_docker_is_refused(tools: Tools) -> None:
    tools.say("docker", "Cannot connect to the Docker daemon", code=1)

    with pytest.raises(ClusterError, match="docker, which does not answer: Cannot connect"):
        kind.create("x")


def test_a_cluster_of_kind_that_is_not_there_is_named(tools: Tools) -> None:
    tools.say("kind")

    with pytest.raises(ClusterError, match="kind has no cluster x: run `E2E_CLUSTER=kind"):
        kind.kubeconfig("x")


# --- reaching pods ----------------------------------------------------------------------------------------------


def test_pods_of_the_pod_network_that_listen_are_tried() -> None:
    def pod(address: str, *ports: dict[str, object], **spec: object) -> dict[str, object]:
        container = {"name": "c", "ports": list(ports)}
        return {"status": {"phase": "Running", "podIP": address}, "spec": {"containers": [container], **spec}}

    dns = pod("10.0.0.1", {"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"})
    proxy = pod("192.168.0.1", {"containerPort": 10249}, hostNetwork=True)
    pending = {"status": {"phase": "Pending"}, "spec": {"containers": []}}

    assert list(listening([dns, proxy, pending])) == [("10.0.0.1", 53)]
