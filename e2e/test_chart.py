"""The Helm chart on a real cluster: everything comes up, may do what it must and no more, and a task passes."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import pytest
from cryptography import x509

from e2e.cluster.connection import Connection, Provider
from e2e.cluster.waiting import wait_until
from e2e.support.chart import Release, build_storage_image, image_values, installed
from e2e.support.doctor import probed, troubles
from e2e.support.images import Images
from e2e.support.kubernetes import Kubectl, KubectlError, Object
from e2e.support.object_storage import object_storage
from e2e.support.pod_network import require_pod_network
from e2e.support.vendor import KEY, Vendor, asking_class

pytestmark = pytest.mark.e2e

COMPONENTS = ("operator", "gateway", "egress", "storage")
SECRETS = ("axiom-operator-channel", "axiom-gateway-channel", "axiom-token-keys", "axiom-storage")
CREDENTIAL = "model"

Right = tuple[str, str, str]
"""Verb, resource, name ("" for any)."""


@pytest.fixture(scope="module")
def model(cluster: Connection) -> Iterator[str]:
    """Base address of a vendor on this machine, outside of the cluster."""
    with ThreadingHTTPServer((cluster.machine_address, 0), Vendor) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{cluster.machine_address}:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def values(cluster: Connection, images: Images) -> dict[str, Any]:
    egress = {"credentialSecrets": [CREDENTIAL], "privateUpstreams": [cluster.machine_address]}
    return {**image_values(images, build_storage_image(cluster)), "egress": egress}


@pytest.fixture(scope="module")
def release(cluster: Connection, values: dict[str, Any]) -> Iterator[Release]:
    """Installed in a namespace that admits nothing outside Pod Security's `restricted` profile."""
    with installed(cluster, values, {CREDENTIAL: {"key": KEY}}) as release:
        yield release


@pytest.fixture
def admin(release: Release) -> Kubectl:
    """kubectl in the release's namespace."""
    return Kubectl(release.connection, release.namespace)


@pytest.fixture
def team(
    release: Release, restricted_kubectl: Kubectl, agent_image: Callable[[str], str], model: str
) -> Iterator[Kubectl]:
    """kubectl in the namespace of somebody who has tasks, and a class for them."""
    name = f"plain-{restricted_kubectl.namespace}"
    restricted_kubectl.apply(asking_class(name, agent_image("plain"), model, CREDENTIAL))
    yield restricted_kubectl
    restricted_kubectl.run("delete", "agenttasks", "--all", timeout=120)
    restricted_kubectl.run("delete", "agentclass", name)


@pytest.fixture
def without_gateway(admin: Kubectl) -> Iterator[None]:
    """The gateway is away for the test."""
    admin("scale", "deployment/axiom-gateway", "--replicas=0")
    admin(
        "wait",
        "--for=delete",
        "pod",
        "--selector=app.kubernetes.io/component=gateway",
        "--timeout=180s",
        timeout=200,
    )
    yield
    admin("scale", "deployment/axiom-gateway", "--replicas=1")
    admin("rollout", "status", "deployment/axiom-gateway", "--timeout=180s", timeout=200)


@pytest.mark.usefixtures("team")
def test_the_doctor_finds_nothing_wrong(release: Release) -> None:
    assert troubles(release.connection) == {}


def test_a_pod_of_a_class_is_probed_without_its_agent(release: Release, team: Kubectl) -> None:
    code, report = probed(release.connection, f"plain-{team.namespace}", team.namespace)
    assert code == 0, report
    assert report["missing"] == []
    assert sum(layer["held"] for layer in report["layers"]) > 100
    assert team("get", "agenttasks", "--output=name") == ""


@pytest.mark.usefixtures("team", "without_gateway")
def test_the_doctor_finds_the_gateway_that_is_away(release: Release) -> None:
    assert troubles(release.connection) == {f"gateway in {release.namespace}": ["GatewayAway"]}


def make_task(team: Kubectl, name: str, *steps: str, expect: tuple[str, ...] = ("greeting.txt",)) -> Object:
    return team.create(
        {
            "apiVersion": "axiom.dev/v1alpha1",
            "kind": "AgentTask",
            "metadata": {"name": name},
            "spec": {
                "agentClassName": f"plain-{team.namespace}",
                "prompt": "\n".join(steps),
                "workspace": {"files": [{"path": "README.md", "content": "Say hello.\n"}]},
                "criteria": [{"name": "files", "files": {"expect": [{"path": path} for path in expect]}}],
                "limits": {"deadline": "5m", "maxRounds": 1},
            },
        }
    )


def condition(item: Object, kind: str) -> Object:
    found = [one for one in item.get("status", {}).get("conditions", ()) if one["type"] == kind]
    return found[0] if found else {}


def wait_complete(team: Kubectl, name: str) -> Object:
    task = team.wait_for(
        "agenttask", name, lambda item: condition(item, "Complete").get("status") == "True", 240
    )
    return dict(task["status"])


@pytest.fixture
def sandbox(team: Kubectl) -> str:
    """The pod of an agent that runs."""
    task = make_task(team, "working", "await never.txt")
    team.wait_for(
        "agenttask", "working", lambda item: condition(item, "Running").get("status") == "True", 180
    )
    selector = f"axiom.dev/task-uid={task['metadata']['uid']},axiom.dev/role=agent"
    return team("get", "pods", "--selector", selector, "--output", "jsonpath={.items[0].metadata.name}")


def pod_address(admin: Kubectl, component: str) -> str:
    if admin.connection.provider is not Provider.HERMETIC:
        require_pod_network(admin)
    return admin.address_of(component)


def read(url: str, token: str = "") -> str:
    with urlopen(Request(url, headers={"Authorization": f"Bearer {token}"}), timeout=60) as answer:
        return str(answer.read().decode())


# --- a task -----------------------------------------------------------------------------------------------------


def test_a_task_passes_and_is_told_of(team: Kubectl, admin: Kubectl) -> None:
    make_task(team, "hello", "say working", "write greeting.txt hello", "exit 0")

    status = wait_complete(team, "hello")

    assert (status["state"], status["verdict"]) == ("Complete", "Pass")
    header, row = team("get", "agenttasks").splitlines()
    assert header.split()[:4] == ["NAME", "AGENT", "STATE", "VERDICT"]
    assert row.split()[2:4] == ["Complete", "Pass"]
    assert "Pass: every hard criterion passed in round 1" in team("describe", "agenttask", "hello")
    metrics = f"http://{pod_address(admin, 'operator')}:9090/metrics"
    counted = f'agent_class="plain-{team.namespace}",reason="Passed",verdict="Pass"}} 1.0'
    wait_until(
        "the outcome to be counted",
        lambda: None if counted in read(metrics) else "not yet",
        limit_seconds=30,
    )


def test_whoever_may_view_the_namespace_reads_the_evidence(team: Kubectl, admin: Kubectl) -> None:
    make_task(team, "shown", "say seen", "write greeting.txt hello", "exit 0")
    wait_complete(team, "shown")
    team("create", "serviceaccount", "viewer")
    team("create", "rolebinding", "viewer", "--clusterrole=view", f"--serviceaccount={team.namespace}:viewer")
    token = team("create", "token", "viewer").strip()

    task = f"http://{pod_address(admin, 'gateway')}:8080/v1/tasks/{team.namespace}/shown"

    assert "+hello" in read(f"{task}/diff", token)
    assert "seen" in read(f"{task}/recording", token)


def test_an_agent_uses_a_credential_that_it_never_sees(team: Kubectl, admin: Kubectl) -> None:
    make_task(team, "caller", "call v1/answer", "exit 0", expect=("answer",))

    assert wait_complete(team, "caller")["verdict"] == "Pass"

    team("create", "serviceaccount", "viewer")
    team("create", "rolebinding", "viewer", "--clusterrole=view", f"--serviceaccount={team.namespace}:viewer")
    token = team("create", "token", "viewer").strip()
    task = f"http://{pod_address(admin, 'gateway')}:8080/v1/tasks/{team.namespace}/caller"
    assert "+200 OK right key" in read(f"{task}/diff", token)
    assert KEY not in read(f"{task}/events", token)


@pytest.mark.hermetic("knows the addresses of node, kubelet and metadata")
def test_a_sandbox_reaches_the_egress_proxy_and_nothing_else(
    team: Kubectl, admin: Kubectl, release: Release
) -> None:
    cluster = release.connection
    service = admin("get", "service", "axiom-egress", "--output", "jsonpath={.spec.clusterIP}")
    # ports from 1024 on: the sandbox's own lock lets those through, so it is the network that has to hold
    closed = {
        "api-server": f"{cluster.node_address}:6443",
        "kubelet": f"{cluster.node_address}:10250",
        "operator": f"{pod_address(admin, 'operator')}:9090",
        "gateway": f"{pod_address(admin, 'gateway')}:8080",
        "proxy-metrics": f"{pod_address(admin, 'egress')}:8789",
        "storage": f"{pod_address(admin, 'storage')}:7070",
        "storage-outside": cluster.s3.endpoint.removeprefix("http://"),
        "metadata": "169.254.169.254:80",
    }
    reached = {"proxy": f"{service}:8788", "proxy-by-name": "axiom-egress:8788"}
    steps = [f"reach {name} {address}" for name, address in (reached | closed).items()]
    expect = (*(f"open/{name}" for name in reached), *(f"closed/{name}" for name in closed))

    make_task(team, "explorer", *steps, "exit 0", expect=expect)
    status = wait_complete(team, "explorer")

    assert status["verdict"] == "Pass", status["rounds"]
    # what was closed to the sandbox is open to others
    assert "axiom_reconcile" in read(f"http://{closed['operator']}/metrics")
    assert read(f"http://{closed['proxy-metrics']}/healthz")


# --- rights -----------------------------------------------------------------------------------------------------


def rights(kubectl: Kubectl, user: str) -> set[Right]:
    """All that a user may do in kubectl's namespace, as the API server says."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": kubectl.namespace},
    }
    answer = json.loads(kubectl("create", "--raw", path, "--filename", "-", "--as", user, document=review))
    return {
        (verb, f"{resource}.{group}" if group else resource, name)
        for rule in answer["status"]["resourceRules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or ("",)
    }


def every(resource: str, *verbs: str, name: str = "") -> set[Right]:
    return {(verb, resource, name) for verb in verbs}


RIGHTS: dict[str, tuple[set[Right], set[Right]]] = {
    "operator": (
        every("agenttasks.axiom.dev", "get", "list", "watch", "delete")
        | every("agenttasks/status.axiom.dev", "update")
        | every("agentclasses.axiom.dev", "list", "watch")
        | every("verificationprofiles.axiom.dev", "list", "watch")
        | every("pods", "get", "list", "watch", "create", "delete", "deletecollection")
        | every("events", "get", "create", "patch")
        | every("networkpolicies.networking.k8s.io", "list", "create", "update"),
        every("leases.coordination.k8s.io", "get", "update", name="axiom-operator"),
    ),
    "gateway": (
        every("agenttasks.axiom.dev", "list", "watch")
        | every("pods", "list", "watch")
        | every("configmaps", "get")
        | every("tokenreviews.authentication.k8s.io", "create")
        | every("subjectaccessreviews.authorization.k8s.io", "create"),
        set(),
    ),
    "egress": (
        every("agentclasses.axiom.dev", "list", "watch") | every("pods", "list", "watch"),
        every("secrets", "get", name=CREDENTIAL),
    ),
    "storage": (set(), set()),
}
"""By component: what it may do everywhere, and besides in the release's namespace."""


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_may_do_what_it_must_and_nothing_more(
    admin: Kubectl, kubectl: Kubectl, component: str
) -> None:
    user = f"system:serviceaccount:{admin.namespace}:axiom-{component}"
    nobody = f"system:serviceaccount:{admin.namespace}:nobody"
    everywhere, at_home = RIGHTS[component]

    assert rights(kubectl, user) - rights(kubectl, nobody) == everywhere
    assert rights(admin, user) - rights(admin, nobody) == everywhere | at_home


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("view", ["get", "list", "watch"], ["create", "delete"]),
        ("edit", ["get", "create", "update", "patch", "delete"], []),
    ],
)
def test_roles_of_a_namespace_cover_its_tasks(
    admin: Kubectl, kubectl: Kubectl, role: str, may: list[str], may_not: list[str]
) -> None:
    kubectl("create", "serviceaccount", "person")
    kubectl(
        "create",
        "rolebinding",
        "person",
        f"--clusterrole={role}",
        f"--serviceaccount={kubectl.namespace}:person",
    )
    user = f"system:serviceaccount:{kubectl.namespace}:person"

    def answer(verb: str, *options: str) -> str:
        return kubectl.run(
            "auth", "can-i", verb, "agenttasks.axiom.dev", *options, "--as", user
        ).stdout.strip()

    wait_until_said("yes", lambda: answer(may[0]))
    assert {verb: answer(verb) for verb in may} == dict.fromkeys(may, "yes")
    assert {verb: answer(verb) for verb in may_not} == dict.fromkeys(may_not, "no")
    assert answer("update", "--subresource=status") == "no"


# --- admission --------------------------------------------------------------------------------------------------


INTRUSIONS = {
    "exec": ("exec", "POD", "--container=agent", "--", "true"),
    "exec into the supervisor": ("exec", "POD", "--container=supervisor", "--", "true"),
    "attach": ("attach", "POD", "--container=agent"),
    "port-forward": ("port-forward", "POD", "18443:8443"),
    "debug": ("debug", "POD", "--image=debug:1", "--attach=false", "--profile=restricted"),
    "take a label away": ("label", "pod", "POD", "app.kubernetes.io/managed-by-"),
    "change an annotation": ("annotate", "pod", "POD", "axiom.dev/base=other", "--overwrite"),
    "change the image": ("set", "image", "pod/POD", "agent=other:1"),
    "disown": ("patch", "pod", "POD", "--type=merge", "--patch", '{"metadata":{"ownerReferences":null}}'),
}


def test_nobody_enters_or_changes_a_sandbox(team: Kubectl, sandbox: str) -> None:
    answers = {
        name: team.run(*(part.replace("POD", sandbox) for part in command)).stderr
        for name, command in INTRUSIONS.items()
    }

    assert {name: text for name, text in answers.items() if "of an Axiom sandbox" not in text} == {}


def test_other_pods_are_entered_as_ever(admin: Kubectl) -> None:
    admin("exec", "deployment/axiom-operator", "--", "true")


@pytest.mark.parametrize(
    "labels",
    [
        {"axiom.dev/role": "agent", "axiom.dev/task-uid": "00000000", "axiom.dev/attempt": "1"},
        {"app.kubernetes.io/managed-by": "axiom"},
    ],
)
def test_nobody_else_makes_pods_that_look_like_sandboxes(
    release: Release, kubectl: Kubectl, labels: dict[str, str]
) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "false", "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "none:1"}]},
    }

    with pytest.raises(KubectlError, match="only the Axiom operator makes pods"):
        kubectl.create(pod)
    kubectl.create({**pod, "metadata": {"name": "honest", "labels": {"app": "web"}}})
    with pytest.raises(KubectlError, match="only the Axiom operator makes pods"):
        kubectl("label", "pod", "honest", *(f"{key}={value}" for key, value in labels.items()))
    kubectl("label", "pod", "honest", "app=shop", "--overwrite")


def wait_until_said(wanted: str, ask: Callable[[], str]) -> None:
    """The API server's authorizer learns of a role a moment after it was bound."""

    def unsaid() -> str | None:
        said = ask()
        return None if wanted in said else said or "nothing was said against it"

    wait_until(f"the answer {wanted!r}", unsaid, limit_seconds=30)


def test_a_class_is_used_by_those_who_may(admin: Kubectl, team: Kubectl) -> None:
    team("create", "serviceaccount", "person")
    user = f"system:serviceaccount:{team.namespace}:person"
    team("create", "rolebinding", "edit", "--clusterrole=edit", f"--serviceaccount={team.namespace}:person")
    task = {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": "used"},
        "spec": {
            "agentClassName": f"plain-{team.namespace}",
            "prompt": "wait",
            "suspend": True,
            "criteria": [{"name": "scope", "diff": {}}],
        },
    }

    def create() -> str:
        return team.run("create", "--filename", "-", "--as", user, document=task).stderr

    wait_until_said("you may not use the AgentClass", create)
    team(
        "create", "rolebinding", "use", "--clusterrole=axiom-use", f"--serviceaccount={team.namespace}:person"
    )
    wait_until("the AgentClass to be used", lambda: create() or None, limit_seconds=30)
    team("delete", "rolebinding", "use")
    spends = '{"spec":{"limits":{"deadline":"5h"}}}'
    raised = team.run("patch", "agenttask", "used", "--type=merge", "--patch", spends, "--as", user).stderr
    assert "you may not use the AgentClass" in raised
    assert team.run("label", "agenttask", "used", "team=a", "--as", user).returncode == 0


def test_a_decision_on_a_task_is_taken_from_those_who_may_review_under_their_own_name(
    admin: Kubectl, team: Kubectl
) -> None:
    team("create", "serviceaccount", "reviewer")
    user, account = f"system:serviceaccount:{team.namespace}:reviewer", f"{team.namespace}:reviewer"
    for role in ("edit", "axiom-use"):
        team("create", "rolebinding", f"r-{role}", f"--clusterrole={role}", f"--serviceaccount={account}")
    team.create(
        {
            "apiVersion": "axiom.dev/v1alpha1",
            "kind": "AgentTask",
            "metadata": {"name": "reviewed"},
            "spec": {
                "agentClassName": f"plain-{team.namespace}",
                "prompt": "wait",
                "suspend": True,
                "criteria": [{"name": "scope", "diff": {}}],
            },
        }
    )

    def decide(by: str) -> str:
        patch = json.dumps({"spec": {"review": {"decision": "Reject", "by": by, "why": "no"}}})
        options = ("--type=merge", "--patch", patch, "--as", user)
        return team.run("patch", "agenttask", "reviewed", *options).stderr

    wait_until_said("you may not review this task", lambda: decide(user))
    team("create", "rolebinding", "r-review", "--clusterrole=axiom-review", f"--serviceaccount={account}")
    wait_until_said("must be the name by which the API server knows you", lambda: decide("somebody-else"))
    assert decide(user) == ""
    team("delete", "agenttask", "reviewed")
    for role in ("edit", "axiom-use", "review"):
        team("delete", "rolebinding", f"r-{role}")


def test_nobody_adds_a_way_out_for_sandboxes(kubectl: Kubectl, release: Release) -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "out"},
        "spec": {"podSelector": {"matchLabels": {"axiom.dev/role": "agent"}}, "egress": [{}]},
    }
    with pytest.raises(KubectlError, match="only the Axiom operator makes NetworkPolicies"):
        kubectl.create(policy)
    kubectl.create({**policy, "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "egress": [{}]}})


def test_nobody_opens_the_network_of_sandboxes(team: Kubectl, sandbox: str) -> None:
    assert sandbox
    with pytest.raises(KubectlError, match="closes the network around Axiom's sandboxes"):
        team("delete", "networkpolicy", "axiom-sandboxes")
    with pytest.raises(KubectlError, match="closes the network around Axiom's sandboxes"):
        team("patch", "networkpolicy", "axiom-agents", "--type=merge", "--patch", '{"spec":{"egress":[{}]}}')


def test_a_namespace_with_sandboxes_can_be_deleted(team: Kubectl, sandbox: str) -> None:
    assert sandbox
    team("delete", "namespace", team.namespace, "--timeout=180s", timeout=200)


# --- life of a release ------------------------------------------------------------------------------------------


def secrets(admin: Kubectl) -> dict[str, Any]:
    found = {name: admin.get("secret", name) for name in SECRETS}
    return {name: secret and secret["data"] for name, secret in found.items()}


def test_an_upgrade_keeps_keys_and_the_addresses_of_services(
    release: Release, admin: Kubectl, team: Kubectl, values: dict[str, Any]
) -> None:
    def addresses() -> str:
        return admin("get", "services", "--output", "jsonpath={.items[*].spec.clusterIP}")

    before = secrets(admin), addresses()

    notes = release.upgrade({**values, "operator": {"concurrency": 8}})

    assert (secrets(admin), addresses()) == before
    assert all(before[0].values())
    assert f"The Secret {CREDENTIAL} (egress.credentialSecrets) was not found" not in notes
    assert "lost with the server's pod" in notes
    assert "There is no AgentClass" not in notes
    make_task(team, "after", "write greeting.txt hello", "exit 0")
    assert wait_complete(team, "after")["verdict"] == "Pass"


def test_evidence_goes_to_a_server_of_ones_own_with_a_certificate_of_ones_own(
    release: Release, admin: Kubectl, team: Kubectl, values: dict[str, Any], tmp_path: Path
) -> None:
    with object_storage(release.connection.machine_address, tmp_path) as s3:
        client = s3.client()
        client.make_bucket("evidence")
        keys = (f"--from-literal=accessKey={s3.access_key}", f"--from-literal=secretKey={s3.secret_key}")
        admin("create", "secret", "generic", "evidence", *keys)
        admin("create", "configmap", "s3-authority", f"--from-file=ca.crt={s3.authority}")
        storage = {
            "endpoint": f"https://{s3.address}",
            "bucket": "evidence",
            "secretName": "evidence",
            "caConfigMapName": "s3-authority",
        }

        notes = release.upgrade({**values, "objectStorage": storage})
        make_task(team, "kept", "write greeting.txt hello", "exit 0")
        status = wait_complete(team, "kept")

        assert "lost with the server's pod" not in notes
        assert status["verdict"] == "Pass"
        stored = {item.object_name for item in client.list_objects("evidence", recursive=True)}
        assert status["recording"] in stored
        assert any(str(name).startswith(status["ledger"]["path"]) for name in stored)
        assert admin.get("deployment", "axiom-storage") is None
        assert f"ok      object storage: https://{s3.address}, bucket evidence" in release.test()


def test_the_collector_deletes_what_is_over_and_nothing_else(
    release: Release, admin: Kubectl, team: Kubectl, values: dict[str, Any], tmp_path: Path
) -> None:
    with object_storage(release.connection.machine_address, tmp_path, https=False) as s3:
        client = s3.client()
        client.make_bucket("collected")
        keys = (f"--from-literal=accessKey={s3.access_key}", f"--from-literal=secretKey={s3.secret_key}")
        admin("create", "secret", "generic", "collected", *keys)
        storage = {"endpoint": f"http://{s3.address}", "bucket": "collected", "secretName": "collected"}
        release.upgrade(
            {**values, "objectStorage": storage, "collector": {"schedule": "0 0 1 1 *", "safeAge": "1s"}}
        )
        for name, steps in (("passes", ("write greeting.txt hello", "exit 0")), ("fails", ("exit 0",))):
            make_task(team, name, *steps)
        statuses = {name: wait_complete(team, name) for name in ("passes", "fails")}
        team(
            "patch", "agentclass", f"plain-{team.namespace}", "--type=merge",
            '--patch={"spec": {"retention": {"afterPass": "1s"}}}',
        )  # fmt: skip

        def stored() -> set[str]:
            return {str(item.object_name) for item in client.list_objects("collected", recursive=True)}

        def collect(name: str) -> Object:
            admin("create", "job", name, "--from=cronjob/axiom-collector")
            admin("wait", "--for=condition=Complete", f"job/{name}", "--timeout=180s", timeout=200)
            told = admin("logs", f"job/{name}").strip().splitlines()[-1]
            done: Object = json.loads(told[told.index("{") :])
            return done

        uids = {name: team.get("agenttask", name)["metadata"]["uid"] for name in statuses}  # type: ignore[index]
        wait_until(
            "the outcomes to be stored",
            lambda: None if sum(key.endswith("/outcome.json") for key in stored()) == 2 else "not yet",
            limit_seconds=60,
        )
        done = collect("collect-1")
        assert [name for name, _ in done["tasks"]] == [f"{team.namespace}/passes"]
        assert not any(uids["passes"] in key for key in stored())
        assert done["candidates"] > 0
        collect("collect-2")
        left = stored()
        assert statuses["passes"]["recording"] not in left
        assert {statuses["fails"]["recording"], statuses["fails"]["rounds"][0]["diff"]} <= left
        assert any(str(key).startswith(statuses["fails"]["ledger"]["path"]) for key in left)


def test_an_authority_is_replaced_and_the_former_pair_stays_beside_the_new_one(
    release: Release, admin: Kubectl, values: dict[str, Any]
) -> None:
    """That tasks go on meanwhile: e2e/faults/test_rotation.py."""
    channels = [name for name in SECRETS if name.endswith("-channel")]
    before = secrets(admin)

    release.upgrade({**values, "secrets": {"channelGeneration": 2}})
    after = secrets(admin)

    assert {after[name]["ca.crt"] for name in channels} == {after[channels[0]]["ca.crt"]}
    for name in channels:
        old, new = before[name], after[name]
        assert (new["previous.crt"], new["previous.key"]) == (old["tls.crt"], old["tls.key"])
        current, former = x509.load_pem_x509_certificates(b64decode(new["ca.crt"]))
        load(new["tls.crt"]).verify_directly_issued_by(current)
        load(old["tls.crt"]).verify_directly_issued_by(former)
    release.upgrade({**values, "secrets": {"channelGeneration": 2}})
    assert secrets(admin) == after


def load(encoded: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(b64decode(encoded))


def test_nothing_of_a_release_is_left_but_definitions(release: Release, admin: Kubectl) -> None:
    """The last test: it takes the release away."""
    admin.run("delete", "agenttasks", "--all", "--all-namespaces", timeout=120)
    kinds = admin("api-resources", "--verbs=list", "--output=name").split()
    release.uninstall()

    def left() -> str | None:
        found = admin(
            "get", ",".join(kinds), "--all-namespaces", "--output=name", "--ignore-not-found",
            "--selector", f"app.kubernetes.io/instance={release.name},app.kubernetes.io/name=axiom",
        )  # fmt: skip
        leases = admin("get", "leases", "--output=name").split()
        return ", ".join(found.split() + leases) or None

    wait_until("the release to go", left, limit_seconds=120)
    definitions = admin("get", "crd", "agenttasks.axiom.dev", "agentclasses.axiom.dev", "--output=name")
    assert len(definitions.split()) == 2
