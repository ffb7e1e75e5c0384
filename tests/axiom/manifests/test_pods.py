"""A sandbox pod is locked down by design: every rule that isolation rests on, stated once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axiom.api.agentclass import AgentClassSpec, IsolationSettings, Screenshots
from axiom.api.agenttask import Capabilities, Resources
from axiom.api.loading import parse_task
from axiom.manifests.hidden_tests import hidden_mounts
from axiom.manifests.naming import identity_of
from axiom.manifests.one_shot import OneShot, one_shot
from axiom.manifests.pods import Egress, Images, Owner, PodInput, certificate_of, photographs, sandbox_pod
from axiom.planning.briefing import MOST_PAUSE_SECONDS
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.jobs import CopyArchive, CopyVolume, FetchGit, PushBranch
from axiom_sandbox.protocol.launching import Layer
from axiom_sandbox.supervising.settings import SETTINGS_VARIABLE, SandboxSettings

UID = "0d3f1c5e-8a53-4c4e-9f0e-0c2f7f5f9a11"
CLASS = AgentClassSpec(image="agent:1", command=["agent", "$(AXIOM_PROMPT)"])
GIT = {"url": "https://git.example/leap.git", "revision": "3f2c9e1"}
FETCH = FetchGit(**GIT)
TASK: dict[str, Any] = {
    "metadata": {"name": "fix", "namespace": "team", "uid": UID},
    "spec": {"agentClassName": "c", "prompt": "do", "criteria": [{"name": "scope", "diff": {}}]},
}
JOBS = {
    Role.FETCHER: OneShot(FETCH),
    Role.COPIER: OneShot(CopyArchive(key="inputs/team/a")),
    Role.PUSHER: OneShot(
        PushBranch(source=FETCH, base="0" * 64, url=FETCH.url, branch="axiom/fix", message="fix", time=1)
    ),
}
TRUSTED_VOLUMES = {"state", "keys", "scratch"}


def spec_of(role: Role, **fields: Any) -> PodInput:
    verifies = int(role is Role.VERIFIER)
    identity = Identity(
        namespace="team", task="fix", task_id=UID, attempt=2, role=role, round=verifies, trial=verifies
    )
    spec = PodInput(
        identity=identity,
        owner=Owner(uid=UID, name="fix"),
        agent_class=CLASS,
        resources=Resources(),
        images=Images(sandbox="sandbox:1", verifier="verifier:1"),
        client_ca="-----BEGIN CERTIFICATE-----",
        seconds_left=1200.9,
        egress=Egress("10.0.0.7"),
        job=JOBS.get(role),
    )
    return replace(spec, **fields)


def pod_spec(role: Role, **fields: Any) -> dict[str, Any]:
    spec: dict[str, Any] = sandbox_pod(spec_of(role, **fields))["spec"]
    return spec


def containers(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        container["name"]: container for container in (*spec.get("initContainers", ()), *spec["containers"])
    }


def settings_of(spec: dict[str, Any]) -> SandboxSettings:
    (value,) = [
        item["value"] for item in containers(spec)["supervisor"]["env"] if item["name"] == SETTINGS_VARIABLE
    ]
    return SandboxSettings.model_validate_json(value)


def mounts(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["mountPath"]: mount for mount in container["volumeMounts"]}


roles = pytest.mark.parametrize("role", list(Role))
untrusted = pytest.mark.parametrize(("role", "name"), [(Role.AGENT, "agent"), (Role.VERIFIER, "candidate")])


@roles
def test_every_container_is_without_privileges(role: Role) -> None:
    for container in containers(pod_spec(role)).values():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert {"cpu", "memory", "ephemeral-storage"} == container["resources"]["limits"].keys()
        assert container["imagePullPolicy"] == "IfNotPresent"


@roles
def test_the_pod_is_closed(role: Role) -> None:
    spec = pod_spec(role)
    assert spec["hostUsers"] is False
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["terminationGracePeriodSeconds"] == 60
    assert spec["activeDeadlineSeconds"] == 1200 + 3600 + MOST_PAUSE_SECONDS
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "serviceAccountName"):
        assert name not in spec


@roles
def test_every_volume_is_empty_at_the_start_and_limited(role: Role) -> None:
    for volume in pod_spec(role)["volumes"]:
        assert volume.keys() == {"name", "emptyDir"}
        assert int(volume["emptyDir"]["sizeLimit"]) > 0


@untrusted
def test_the_untrusted_side_sees_no_volume_of_the_trusted(role: Role, name: str) -> None:
    mounted = mounts(containers(pod_spec(role))[name])
    assert not TRUSTED_VOLUMES & {mount["name"] for mount in mounted.values()}
    writable = {path for path, mount in mounted.items() if not mount.get("readOnly")}
    assert writable == {"/workspace", "/home/agent", "/tmp"}


@untrusted
def test_the_trusted_side_reaches_all_that_the_untrusted_may_write(role: Role, name: str) -> None:
    spec = pod_spec(role)
    settings, written = settings_of(spec), {"files", "tmp"}
    own = {mount["name"]: path for path, mount in mounts(containers(spec)["supervisor"]).items()}
    assert {
        mount["name"] for mount in mounts(containers(spec)[name]).values() if not mount.get("readOnly")
    } == written
    assert settings.tmp == Path(own["tmp"])
    assert settings.workspace.is_relative_to(own["files"])
    assert settings.home.is_relative_to(own["files"])


@untrusted
def test_the_untrusted_side_starts_with_the_launcher_alone(role: Role, name: str) -> None:
    container = containers(pod_spec(role))[name]
    assert container["command"] == ["/axiom/bin/launcher", "init", "--socket", "/axiom/run/launcher.sock"]
    assert "env" not in container
    assert not container["terminationMessagePath"].startswith(("/dev", "/tmp", "/workspace", "/home"))


@untrusted
def test_the_sandbox_has_no_dns(role: Role, name: str) -> None:
    spec = pod_spec(role)
    assert (spec["dnsPolicy"], spec["dnsConfig"]) == ("None", {"nameservers": ["127.0.0.1"]})


def test_an_agent_finds_the_proxy_by_name() -> None:
    spec = pod_spec(Role.AGENT)
    assert spec["hostAliases"] == [{"ip": "10.0.0.7", "hostnames": ["axiom-egress"]}]
    inside = settings_of(spec).inside
    assert (inside.proxy_url, inside.proxy_ports) == ("http://axiom-egress:8788", (8788,))
    assert inside.denied_ports == (8443,)


def test_a_verifier_has_no_network_at_all() -> None:
    spec = pod_spec(Role.VERIFIER)
    settings = settings_of(spec)
    assert "hostAliases" not in spec
    assert (settings.inside.network, settings.expect.network) == ("None", "None")
    assert (settings.inside.proxy_url, settings.inside.proxy_ports) == ("", ())


def test_a_fetcher_runs_nothing_untrusted() -> None:
    spec = pod_spec(Role.FETCHER)
    assert [container["image"] for container in containers(spec).values()] == ["sandbox:1", "sandbox:1"]
    assert spec["dnsPolicy"] == "ClusterFirst"
    assert settings_of(spec).job == FETCH
    assert not [mount for mount in mounts(containers(spec)["supervisor"]) if "credentials" in mount]


def test_a_secret_is_mounted_by_the_one_pod_that_needs_it_and_read_by_nobody_else() -> None:
    task = parse_task(
        TASK | {"spec": TASK["spec"] | {"workspace": {"git": {**GIT, "credentialsSecret": "robot"}}}}
    )
    job = one_shot(task, Role.FETCHER, "authorities")
    assert job is not None
    spec = pod_spec(Role.FETCHER, job=job)
    mount = mounts(containers(spec)["supervisor"])["/axiom/credentials/fetch"]
    assert mount["readOnly"]
    [volume] = [volume for volume in spec["volumes"] if volume["name"] == mount["name"]]
    assert (volume["secret"]["secretName"], volume["secret"]["optional"]) == ("robot", True)
    assert settings_of(spec).job == FETCH.model_copy(update={"secret": "robot", "authorities": "authorities"})
    others = [container for name, container in containers(spec).items() if name != "supervisor"]
    assert not [path for other in others for path in mounts(other) if "credentials" in path]


def test_a_volume_is_mounted_by_the_copier_alone_and_never_for_writing() -> None:
    workspace = {"persistentVolumeClaim": {"claimName": "data", "path": "src"}}
    task = parse_task(TASK | {"spec": TASK["spec"] | {"workspace": workspace}})
    job = one_shot(task, Role.COPIER, "")
    assert job is not None
    spec = pod_spec(Role.COPIER, job=job)
    mount = mounts(containers(spec)["supervisor"])["/axiom/source"]
    [volume] = [volume for volume in spec["volumes"] if volume["name"] == mount["name"]]
    assert mount["readOnly"]
    assert volume["persistentVolumeClaim"] == {"claimName": "data", "readOnly": True}
    assert settings_of(spec).job == CopyVolume(claim="data", path="src")
    assert spec["dnsPolicy"] == "None"
    assert one_shot(task, Role.AGENT, "") is one_shot(task, Role.VERIFIER, "") is None


def test_a_pusher_mounts_what_may_push_and_what_may_read_and_no_agent_does() -> None:
    workspace = {"git": {**GIT, "credentialsSecret": "reader"}}
    push = {"branch": "axiom/fix", "url": "https://git.example/fork.git", "credentialsSecret": "writer"}
    spec = TASK["spec"] | {"workspace": workspace, "result": {"push": push}}
    status = {
        "acceptedTime": "2026-01-02T03:04:05.678Z",
        "workspace": {"digest": "b" * 64, "revision": "c" * 40},
    }
    task = parse_task(TASK | {"spec": spec, "status": status})
    job = one_shot(task, Role.PUSHER, "authorities")
    assert job is not None
    assert isinstance(job.job, PushBranch)
    assert (job.job.url, job.job.secret, job.job.base) == (push["url"], "writer", "b" * 64)
    assert (job.job.source.revision, job.job.source.secret) == ("c" * 40, "reader")
    assert job.job.time == 1767323045
    pod = pod_spec(Role.PUSHER, job=job)
    secrets = {
        volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume
    }
    assert secrets == {"fetch-credentials": "reader", "push-credentials": "writer"}
    found = mounts(containers(pod)["supervisor"])
    assert found["/axiom/credentials/fetch"]["readOnly"]
    assert found["/axiom/credentials/push"]["readOnly"]
    assert one_shot(task, Role.AGENT, "") is one_shot(task, Role.VERIFIER, "") is None


def test_who_pushes_to_where_the_revision_came_from_may_read_there_too() -> None:
    push = {"branch": "axiom/fix", "credentialsSecret": "writer"}
    spec = TASK["spec"] | {"workspace": {"git": GIT}, "result": {"push": push}}
    job = one_shot(parse_task(TASK | {"spec": spec}), Role.PUSHER, "")
    assert job is not None
    assert isinstance(job.job, PushBranch)
    assert (job.job.url, job.job.source.secret) == (GIT["url"], "writer")


def test_an_archive_lies_below_the_namespace_of_its_task() -> None:
    workspace = {"archive": {"key": "base.tar", "digest": "0a" * 32}}
    task = parse_task(TASK | {"spec": TASK["spec"] | {"workspace": workspace}})
    job = one_shot(task, Role.COPIER, "")
    assert job == OneShot(CopyArchive(key="inputs/team/base.tar", digest="0a" * 32))


def test_agents_and_verifiers_have_no_job() -> None:
    task = parse_task(
        TASK | {"spec": TASK["spec"] | {"workspace": {"git": {**GIT, "credentialsSecret": "robot"}}}}
    )
    assert one_shot(task, Role.AGENT, "") is one_shot(task, Role.VERIFIER, "") is None


@untrusted
def test_the_supervisor_is_a_sidecar_that_hears_of_the_pods_end(role: Role, name: str) -> None:
    supervisor = pod_spec(role)["initContainers"][0]
    assert supervisor["name"] == "supervisor"
    assert supervisor["restartPolicy"] == "Always"
    assert supervisor["lifecycle"]["preStop"] == {"exec": {"command": ["axiom-sandbox", "stop"]}}


@roles
def test_everything_is_installed_before_another_container_starts(role: Role) -> None:
    spec = pod_spec(role)
    order = [*spec.get("initContainers", ()), *spec["containers"]]
    assert [container["name"] for container in order[:2]] == ["supervisor", "certificate"]
    assert order[0]["lifecycle"]["postStart"] == {"exec": {"command": ["/opt/axiom/installer", "install"]}}
    assert {"bin", "keys", "files"} <= {mount["name"] for mount in order[0]["volumeMounts"]}
    names = {item["name"] for item in order[0]["env"]}
    assert {"AXIOM_SUBJECT", "AXIOM_CLIENT_CA"} <= names


@roles
def test_the_certificate_is_told_by_a_container_that_asks_for_next_to_nothing(role: Role) -> None:
    teller = containers(pod_spec(role))["certificate"]
    assert (teller["image"], teller["command"]) == ("sandbox:1", ["/opt/axiom/installer", "tell"])
    assert teller["volumeMounts"] == [{"name": "keys", "mountPath": "/axiom/keys", "readOnly": True}]
    assert teller["resources"]["requests"]["cpu"] == "1m"


def test_a_fetcher_ends_when_its_supervisor_does() -> None:
    spec = pod_spec(Role.FETCHER)
    assert "initContainers" not in spec
    assert spec["restartPolicy"] == "Never"


@roles
def test_the_channel_listens_with_tls_on_the_pods_own_address(role: Role) -> None:
    spec = pod_spec(role)
    settings = settings_of(spec)
    assert settings.listen_host == "$(AXIOM_POD_ADDRESS)"
    first = containers(spec)["supervisor"]["env"][0]
    assert first == {
        "name": "AXIOM_POD_ADDRESS",
        "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
    }
    assert settings.tls
    mounted = mounts(containers(spec)["supervisor"])
    for path in (settings.tls.certificate, settings.tls.key, settings.tls.client_ca):
        assert mounted[str(path.parent)]["name"] == "keys"


@pytest.mark.parametrize("role", [Role.AGENT, Role.VERIFIER])
@pytest.mark.parametrize(
    ("runtime", "may_miss"),
    [
        ("gvisor", ["UserNamespace", "Landlock", "Seccomp"]),
        ("kata-qemu", ["UserNamespace", "Landlock"]),
    ],
)
def test_a_runtime_with_a_kernel_of_its_own_gets_no_user_namespace_and_all_the_rest(
    role: Role, runtime: str, may_miss: list[str]
) -> None:
    own = AgentClassSpec(
        image="agent:1",
        command=["agent", "$(AXIOM_PROMPT)"],
        runtimeClassName=runtime,
        isolation={"mayMiss": may_miss},
    )
    spec, shared = pod_spec(role, agent_class=own), pod_spec(role)
    assert spec["runtimeClassName"] == runtime
    assert "hostUsers" not in spec
    assert settings_of(spec).expect.may_miss == own.isolation.layers
    differing = {name for name in {*spec, *shared} if spec.get(name) != shared.get(name)}
    assert differing == {"runtimeClassName", "hostUsers", "initContainers"}
    for container in containers(spec).values():
        assert container["securityContext"] == containers(shared)[container["name"]]["securityContext"]


def test_an_agent_has_what_its_task_leaves_it_and_no_other_role_is_narrowed() -> None:
    given = Capabilities(writePaths=["src", "docs/out"], destinations=["pypi.org"])
    pod = sandbox_pod(spec_of(Role.AGENT, capabilities=given))
    assert pod["metadata"]["annotations"]["axiom.dev/destinations"] == "pypi.org"
    inside = settings_of(pod["spec"]).inside
    assert inside.write_paths == ("/workspace/src", "/workspace/docs/out", "/home/agent", "/tmp", "/dev")
    verifier = sandbox_pod(spec_of(Role.VERIFIER, capabilities=given))
    assert "axiom.dev/destinations" not in verifier["metadata"]["annotations"]
    assert "/workspace" in settings_of(verifier["spec"]).inside.write_paths


def test_a_task_that_leaves_nothing_is_told_from_one_that_says_nothing() -> None:
    nothing = sandbox_pod(spec_of(Role.AGENT, capabilities=Capabilities(writePaths=[], destinations=[])))
    assert nothing["metadata"]["annotations"]["axiom.dev/destinations"] == ""
    assert settings_of(nothing["spec"]).inside.write_paths == ("/home/agent", "/tmp", "/dev")
    silent = sandbox_pod(spec_of(Role.AGENT))
    assert "axiom.dev/destinations" not in silent["metadata"]["annotations"]
    assert "/workspace" in settings_of(silent["spec"]).inside.write_paths


def test_another_runtime_keeps_the_user_namespace() -> None:
    spec = pod_spec(Role.AGENT, agent_class=CLASS.model_copy(update={"runtime_class_name": "crun"}))
    assert spec["hostUsers"] is False
    assert settings_of(spec).expect.may_miss == ()


def test_a_class_that_may_miss_landlock_keeps_the_user_namespace() -> None:
    spec = pod_spec(
        Role.AGENT,
        agent_class=CLASS.model_copy(update={"isolation": IsolationSettings(mayMiss=["Landlock"])}),
    )
    assert spec["hostUsers"] is False
    assert settings_of(spec).expect.may_miss == (Layer.LANDLOCK,)


@pytest.mark.parametrize(
    ("wished", "cpu", "memory", "storage"),
    [
        (Resources(), "1000m", 2 * 1024**3, 2 * 1024**3),
        (Resources(cpu="64", memory="1Ti", storage="1Ti"), "4000m", 8 * 1024**3, 10 * 1024**3),
        (Resources(cpu="250m", memory="256Mi", storage="1Gi"), "250m", 256 * 1024**2, 1024**3),
    ],
)
def test_a_tasks_wishes_end_at_its_classs_ceilings(
    wished: Resources, cpu: str, memory: int, storage: int
) -> None:
    spec = pod_spec(Role.AGENT, resources=wished)
    limits = containers(spec)["agent"]["resources"]["limits"]
    assert (limits["cpu"], limits["memory"]) == (cpu, str(memory))
    volumes = {volume["name"]: volume["emptyDir"] for volume in spec["volumes"]}
    assert volumes["files"]["sizeLimit"] == str(storage)
    assert volumes["tmp"]["medium"] == "Memory"
    assert int(volumes["tmp"]["sizeLimit"]) <= memory // 2


@roles
def test_a_pod_leads_back_to_its_task(role: Role) -> None:
    spec = spec_of(role, base="b" * 64, changes="c" * 64)
    pod = sandbox_pod(spec)
    assert identity_of(pod) == spec.identity
    assert pod["metadata"]["annotations"]["axiom.dev/base"] == "b" * 64
    assert pod["metadata"]["annotations"]["axiom.dev/changes"] == "c" * 64
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["kind"], owner["controller"]) == (UID, "AgentTask", True)


@roles
def test_the_same_input_makes_the_same_pod(role: Role) -> None:
    assert json.dumps(sandbox_pod(spec_of(role))) == json.dumps(sandbox_pod(spec_of(role)))


def test_a_class_without_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"set spec\.image"):
        sandbox_pod(spec_of(Role.AGENT, agent_class=CLASS.model_copy(update={"image": None})))


def test_a_task_may_bring_its_own_clean_room() -> None:
    spec = pod_spec(Role.VERIFIER, verifier_image="mine:1")
    assert containers(spec)["candidate"]["image"] == "mine:1"


def ended(code: int, message: str) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "message": message}}
    return {"status": {"containerStatuses": [{"name": "certificate", "state": state}]}}


def test_the_certificate_is_the_last_word_of_a_trusted_container() -> None:
    pem = "-----BEGIN CERTIFICATE-----\n"
    assert certificate_of(ended(0, pem)) == pem
    assert certificate_of(ended(1, pem)) is None
    assert certificate_of(ended(0, "")) is None
    assert certificate_of({}) is None
    running = {"name": "certificate", "state": {"running": {}}}
    assert certificate_of({"status": {"containerStatuses": [running]}}) is None
    agent = ended(0, pem)["status"]["containerStatuses"][0] | {"name": "agent"}
    assert certificate_of({"status": {"containerStatuses": [agent]}}) is None


def test_a_verifier_finds_room_on_a_node_full_of_agents() -> None:
    asked = {
        role: containers(pod_spec(role))[name]["resources"]["requests"]
        for role, name in ((Role.AGENT, "agent"), (Role.VERIFIER, "candidate"))
    }
    assert int(asked[Role.VERIFIER]["memory"]) <= 64 * 1024**2 < int(asked[Role.AGENT]["memory"])
    limits = containers(pod_spec(Role.VERIFIER))["candidate"]["resources"]["limits"]
    assert int(limits["memory"]) > int(asked[Role.VERIFIER]["memory"])


def test_a_launcher_is_awaited_for_as_long_as_its_image_may_take() -> None:
    assert settings_of(pod_spec(Role.AGENT)).start_timeout == 1200.9
    assert settings_of(pod_spec(Role.AGENT, seconds_left=1.0)).start_timeout == 60


WITH_BROWSER = {"images": Images("sandbox:1", "verifier:1", "browser:1"), "photographs": True}
CLOSED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 1001,
    "runAsGroup": 1001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@untrusted
def test_a_browser_has_a_container_of_its_own_that_shares_its_socket_with_the_supervisor_alone(
    role: Role, name: str
) -> None:
    spec = pod_spec(role, **WITH_BROWSER)
    assert [container["name"] for container in spec["initContainers"]] == ["supervisor", "browser"]
    browser = containers(spec)["browser"]
    assert (browser["image"], browser["restartPolicy"]) == ("browser:1", "Always")
    assert browser["command"] == ["axiom-sandbox", "browse"]
    assert browser["securityContext"] == CLOSED
    assert {"cpu", "memory", "ephemeral-storage"} == browser["resources"]["limits"].keys()
    assert "env" not in browser
    assert "ports" not in browser
    assert {path: mount["name"] for path, mount in mounts(browser).items()} == {
        "/axiom/browser": "browser",
        "/tmp": "browser-tmp",
    }
    sharing = {
        other: mount.get("readOnly", False)
        for other, container in containers(spec).items()
        for mount in mounts(container).values()
        if mount["name"].startswith("browser")
    }
    assert sharing == {"browser": False, "supervisor": True}
    assert settings_of(spec).browser.socket == Path("/axiom/browser/browser.sock")
    assert name in containers(spec)


@roles
def test_without_need_or_image_there_is_no_browser(role: Role) -> None:
    images = Images("sandbox:1", "verifier:1", "browser:1")
    for fields in ({"images": images}, {"photographs": True}):
        spec = pod_spec(role, **fields)
        assert "browser" not in containers(spec)
        assert settings_of(spec).browser.socket is None
        assert "images.browser of the chart" in settings_of(spec).browser.missing


def test_pages_are_photographed_where_class_or_criteria_say_so() -> None:
    probe = {"argv": ["serve"], "port": 8080, "pictures": [{"name": "home", "path": "/"}]}
    asked = parse_task(
        {**TASK, "spec": {**TASK["spec"], "criteria": [{"name": "p", "probe": probe}]}}
    ).criteria
    pages = {"screenshots": Screenshots.model_validate({"pages": [{"name": "app", "port": 3000}]})}
    filmed = CLASS.model_copy(update=pages)
    assert photographs(Role.VERIFIER, CLASS, asked)
    assert photographs(Role.AGENT, filmed, ())
    assert not any(photographs(role, CLASS, ()) for role in Role)
    assert not photographs(Role.AGENT, CLASS, asked)
    assert not photographs(Role.VERIFIER, filmed, ())


HIDING = [
    {"name": "seen", "tests": {"failToPass": ["a.py"]}},
    {"name": "from-secret", "tests": {"failToPass": ["a.py"], "hidden": {"secret": {"name": "s"}}}},
    {"name": "from-map", "tests": {"failToPass": ["a.py"], "hidden": {"configMap": {"name": "m"}}}},
    {"name": "from-archive", "tests": {"failToPass": ["a.py"], "hidden": {"archive": {"key": "k"}}}},
]


def test_hidden_tests_are_mounted_by_the_verifiers_trusted_side_alone() -> None:
    criteria = parse_task({**TASK, "spec": {**TASK["spec"], "criteria": HIDING}}).spec.criteria
    spec = pod_spec(Role.VERIFIER, hidden=hidden_mounts(criteria, Role.VERIFIER))
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["hidden-1"]["secret"] == {"secretName": "s", "optional": True, "defaultMode": 0o444}
    assert volumes["hidden-2"]["configMap"] == {"name": "m", "optional": True, "defaultMode": 0o444}
    assert "hidden-3" not in volumes
    found = {
        name: {path: mount["name"] for path, mount in mounts(container).items() if "hidden" in path}
        for name, container in containers(spec).items()
    }
    assert found == {
        "supervisor": {"/axiom/hidden/from-secret": "hidden-1", "/axiom/hidden/from-map": "hidden-2"},
        "certificate": {},
        "candidate": {},
    }
    assert hidden_mounts(criteria, Role.AGENT) == hidden_mounts(criteria[:1], Role.VERIFIER)
