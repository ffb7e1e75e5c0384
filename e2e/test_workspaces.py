"""Workspaces from everywhere that a task may name, on a cluster: what arrives, who mounted it, and what is said of it."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from tests.axiom_sandbox.repositories.test_fetching import POINTER, commit, git, make
from tests.fakes.git_server import GitServer, serve_git

from e2e.cluster.connection import Connection
from e2e.cluster.waiting import wait_until
from e2e.support.command_line import axiom
from e2e.support.inputs import put_input
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.world import World, condition, has_condition

pytestmark = pytest.mark.e2e

PASSWORD = f"pw-{uuid.uuid4().hex}"
EXPECT_OUT = [{"name": "out", "files": {"expect": [{"path": "out.txt"}]}}]


@dataclass(frozen=True)
class Git:
    """A server that wants a password, with a repository of submodules and one with LFS."""

    server: GitServer
    folder: Path
    head: str

    @property
    def host(self) -> str:
        return self.server.url.removeprefix("https://")


@pytest.fixture(scope="module")
def repositories(cluster: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Git]:
    folder = tmp_path_factory.mktemp("git")
    for name in ("served", "keys"):
        (folder / name).mkdir()
    commit(make(folder / "library"), lib="l")
    git(folder, "clone", "-q", "--bare", "library", "served/library.git")
    app = make(folder / "app")
    commit(app, **{"in.txt": "from git"})
    with serve_git(folder / "served", folder / "keys", cluster.machine_address, PASSWORD) as server:
        (app / ".gitmodules").write_text('[submodule "lib"]\n\tpath = lib\n\turl = ../library.git\n')
        library = git(folder / "library", "rev-parse", "HEAD").strip()
        git(app, "update-index", "--add", "--cacheinfo", f"160000,{library},lib")
        git(app, "add", ".gitmodules")
        git(app, "commit", "-q", "-m", "a library")
        head = git(app, "rev-parse", "HEAD").strip()
        git(folder, "clone", "-q", "--bare", "app", "served/app.git")
        git(app, "checkout", "-q", "-b", "large")
        commit(app, **{".gitattributes": "*.bin filter=lfs\n", "model.bin": POINTER})
        git(app, "push", "-q", str(folder / "served" / "app.git"), "large")
        yield Git(server, folder, head)


@pytest.fixture(scope="module")
def git_authority(repositories: Git) -> str:
    return repositories.server.authority


def make_secret(world: World, repositories: Git, host: str = "") -> None:
    keys = {"host": host or repositories.host, "username": "robot", "password": PASSWORD}
    world.kubectl.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "robot"}, "stringData": keys}
    )


def git_workspace(repositories: Git, **source: object) -> Object:
    return {
        "git": {
            "url": f"{repositories.server.url}/app.git",
            "revision": repositories.head[:10],
            "credentialsSecret": "robot",
            **source,
        }
    }


def tar_gz(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


def test_an_archive_that_appears_in_the_bucket_becomes_the_workspace(
    world: World, cluster: Connection
) -> None:
    world.make_class()
    workspace = {"archive": {"key": "team/base.tar.gz"}}
    world.make_task(
        "arch", "await in.txt", "write out.txt x", "exit 0", workspace=workspace, criteria=EXPECT_OUT
    )
    key = f"inputs/{world.kubectl.namespace}/team/base.tar.gz"
    waiting = world.wait("arch", has_condition("SandboxReady", "WorkspaceFailed"))
    assert f"there is no {key} in the bucket" in condition(waiting, "SandboxReady")["message"]

    data = tar_gz(**{"in.txt": "hello", "src/a.py": "1"})
    put_input(cluster, world.control_plane.environment["AXIOM_S3_BUCKET"], key, data)

    status = world.wait_complete("arch")
    assert status["verdict"] == "Pass", status["message"]
    found = status["workspace"]
    assert (found["revision"], found["files"], found["bytes"]) == (f"sha256:{sha256(data).hexdigest()}", 2, 6)


def test_a_task_waits_for_another_and_works_on_its_result(world: World) -> None:
    world.make_class()
    second = {"task": {"name": "first"}}
    world.make_task(
        "second", "await out.txt", "write more.txt x", "exit 0", workspace=second,
        criteria=[{"name": "more", "files": {"expect": [{"path": "more.txt"}, {"path": "out.txt"}]}}],
    )  # fmt: skip
    waiting = world.wait("second", has_condition("Accepted", "WaitingForTask"))
    assert waiting["status"]["state"] == "Pending"
    assert world.pods(waiting) == []

    first = world.make_task("first", "write out.txt x", "exit 0", criteria=EXPECT_OUT)

    status = world.wait_complete("second")
    assert status["verdict"] == "Pass", status["message"]
    assert status["workspace"]["revision"] == f"{first['metadata']['uid']}/1"


def test_a_task_on_a_failed_one_ends_at_once_unless_it_may(world: World) -> None:
    world.make_class()
    world.make_task("bad", "write other.txt x", "exit 0", criteria=EXPECT_OUT)
    world.make_task("strict", workspace={"task": {"name": "bad"}})
    lenient = {"task": {"name": "bad", "allowFailed": True}}
    world.make_task(
        "lenient", "await other.txt", "write out.txt x", "exit 0", workspace=lenient, criteria=EXPECT_OUT
    )

    status = world.wait_complete("strict")
    assert "verdict" not in status
    assert "the verdict on round 1 of 'bad' is Fail" in status["message"]
    assert world.wait_complete("lenient")["verdict"] == "Pass"


@pytest.fixture
def volume(kubectl: Kubectl, cluster: Connection) -> Iterator[Path]:
    """A PersistentVolumeClaim `data`, whose files lie in a folder of the node."""
    folder = Path(f"/tmp/axiom-volume-{kubectl.namespace}")
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "in.txt").write_text("from a volume")
    (folder / "other.txt").write_text("not this")
    size = {"storage": "1Mi"}
    name = f"data-{kubectl.namespace}"
    shared = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {**shared, "capacity": size, "hostPath": {"path": str(folder)}},
        }
    )
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {**shared, "resources": {"requests": size}, "volumeName": name},
        }
    )
    yield folder
    kubectl.run("delete", "pvc", "data", "--wait=false")
    kubectl.run("delete", "pv", name, "--wait=false")
    shutil.rmtree(folder)


def test_a_volume_is_copied_by_the_copier_alone(world: World, volume: Path) -> None:
    world.make_class()
    workspace = {"persistentVolumeClaim": {"claimName": "data", "path": "src"}}
    task = world.make_task(
        "vol", "await in.txt", "write out.txt x", "exit 0", workspace=workspace, criteria=EXPECT_OUT
    )
    mounted: dict[str, bool] = {}

    def look() -> str | None:
        for pod in world.pods(task):
            role = pod["metadata"]["labels"]["axiom.dev/role"]
            claims = [
                item["persistentVolumeClaim"]
                for item in pod["spec"]["volumes"]
                if "persistentVolumeClaim" in item
            ]
            mounted[role] = bool(claims)
            assert all(claim["readOnly"] for claim in claims)
        return None if "verifier" in mounted else "no verifier yet"

    wait_until("the verifier's pod", look, limit_seconds=120, interval_seconds=0.1)
    status = world.wait_complete("vol")
    assert status["verdict"] == "Pass", status["message"]
    assert mounted == {"copier": True, "agent": False, "verifier": False}
    assert status["workspace"]["files"] == 1
    assert {path.name for path in volume.rglob("*")} == {"src", "in.txt", "other.txt"}


def test_a_private_repository_with_a_submodule_is_fetched_and_its_password_is_nowhere(
    world: World, repositories: Git
) -> None:
    world.make_class()
    make_secret(world, repositories)
    task = world.make_task(
        "private", "await lib/lib", "write out.txt x", "exit 0",
        workspace=git_workspace(repositories, submodules=True), criteria=EXPECT_OUT,
    )  # fmt: skip
    seen: dict[str, str] = {}

    def look() -> str | None:
        for pod in world.pods(task):
            name = pod["metadata"]["name"]
            seen[f"{name} spec"] = str(pod)
            seen[f"{name} log"] = world.kubectl.run("logs", name, "--all-containers").stdout
        return None if any("-fetcher-" in name for name in seen) else "no fetcher yet"

    wait_until("the fetcher's pod", look, limit_seconds=120, interval_seconds=0.1)
    status = world.wait_complete("private")
    assert status["verdict"] == "Pass", status["message"]
    assert status["workspace"]["revision"] == repositories.head
    look()
    seen["events"] = str(world.events("private"))
    seen["task"] = str(world.kubectl.get("agenttask", "private"))
    seen["operator"] = world.control_plane.operator.log.read_text()
    seen["gateway"] = world.control_plane.gateway.log.read_text()
    assert [where for where, text in seen.items() if PASSWORD in text] == []


@pytest.mark.parametrize(
    ("source", "host", "said"),
    [
        ({"revision": "large"}, "", "'model.bin' lies in Git LFS"),
        ({}, "other.example", "may be used for 'other.example'"),
        ({"credentialsSecret": "missing"}, "", "the Secret 'missing' does not exist in the task's namespace"),
        ({"credentialsSecret": None}, "", "name a Secret in spec.workspace.git.credentialsSecret"),
    ],
    ids=["lfs", "other-host", "no-secret", "no-credentials"],
)
def test_what_cannot_be_fetched_says_why(
    world: World, repositories: Git, source: Object, host: str, said: str
) -> None:
    world.make_class()
    make_secret(world, repositories, host)
    workspace = git_workspace(repositories, **source)
    workspace["git"] = {key: value for key, value in workspace["git"].items() if value is not None}
    world.make_task("refused", workspace=workspace)
    waiting = world.wait("refused", has_condition("SandboxReady", "WorkspaceFailed"))
    assert said in condition(waiting, "SandboxReady")["message"]
    world.kubectl.run("delete", "agenttask", "refused", "--wait=false")


def test_submodules_that_nobody_asked_for_are_noted(world: World, repositories: Git) -> None:
    world.make_class()
    make_secret(world, repositories)
    world.make_task("noted", workspace=git_workspace(repositories))
    world.wait_complete("noted")
    task = world.kubectl.get("agenttask", "noted")
    assert task
    assert "submodules are left empty: lib" in condition(task, "SandboxReady")["message"]


def test_a_result_becomes_a_branch_and_one_that_may_not_be_pushed_says_why(
    world: World, repositories: Git
) -> None:
    world.make_class()
    make_secret(world, repositories)
    push = {"branch": f"axiom/{world.kubectl.namespace}", "credentialsSecret": "robot"}
    steps = ("write out.txt x", "write .gitattributes * filter=evil", "exit 0")
    task = world.make_task(
        "pushed", *steps, workspace=git_workspace(repositories), criteria=EXPECT_OUT, result={"push": push}
    )
    status = world.wait_complete("pushed", limit_seconds=180)
    pushed = condition(world.kubectl.get("agenttask", "pushed") or {}, "Pushed")
    assert (status["verdict"], pushed["reason"]) == ("Pass", "BranchPushed"), pushed
    served = repositories.folder / "served" / "app.git"
    commit, parent = git(served, "rev-parse", push["branch"], f"{push['branch']}^").split()
    assert (status["result"]["branch"], status["result"]["commit"]) == (push["branch"], commit)
    assert parent == status["workspace"]["revision"] == repositories.head
    assert git(served, "show", f"{commit}:out.txt") == "x\n"
    assert f"Axiom-Task: {world.kubectl.namespace}/pushed {task['metadata']['uid']}" in git(
        served, "log", "-1", "--format=%B", commit
    )

    again = ("write out.txt y", "exit 0")
    world.make_task(
        "refused", *again, workspace=git_workspace(repositories), criteria=EXPECT_OUT, result={"push": push}
    )
    status = world.wait_complete("refused", limit_seconds=180)
    refused = condition(world.kubectl.get("agenttask", "refused") or {}, "Pushed")
    assert (status["verdict"], refused["reason"]) == ("Pass", "PushFailed")
    assert "is there already and holds other commits, and nothing is forced" in refused["message"]
    assert git(served, "rev-parse", push["branch"]).strip() == commit


def test_a_result_that_a_person_accepts_becomes_a_branch_also_where_the_server_refused_it_before(
    world: World, cluster: Connection, repositories: Git
) -> None:
    world.make_class()
    make_secret(world, repositories)
    served = repositories.folder / "served" / "app.git"
    push = {"branch": f"axiom/accepted-{world.kubectl.namespace}", "credentialsSecret": "robot"}
    protection = served / "hooks" / "update"
    protection.parent.mkdir(exist_ok=True)
    protection.write_text('#!/bin/sh\ncase $1 in */accepted-*) echo "it is protected" >&2; exit 1 ;; esac\n')
    protection.chmod(0o755)
    person = ("--kubeconfig", cluster.kubeconfig, "--namespace", world.kubectl.namespace)

    def accept(why: str) -> None:
        code, _, errors = axiom("review", "failed", "--accept", "--why", why, *person)
        assert code == 0, errors

    try:
        world.make_task(
            "failed", "write other.txt x", "exit 0",
            workspace=git_workspace(repositories), criteria=EXPECT_OUT, result={"push": push},
        )  # fmt: skip
        assert world.wait_complete("failed", limit_seconds=180)["verdict"] == "Fail"
        accept("it will do")
        refused = world.wait("failed", has_condition("Pushed", "PushFailed"), 180)
        message = condition(refused, "Pushed")["message"]
        assert f"the server refuses the branch '{push['branch']}'" in message
        assert "it is protected" in message
        assert (refused["status"]["review"]["decision"], refused["status"]["verdict"]) == ("Accept", "Fail")
    finally:
        protection.unlink()
    accept("nothing protects it any more")
    done = world.wait("failed", has_condition("Pushed", "BranchPushed"), 180)["status"]
    commit, parent = git(served, "rev-parse", push["branch"], f"{push['branch']}^").split()
    assert (done["result"]["branch"], done["result"]["commit"]) == (push["branch"], commit)
    assert parent == repositories.head
    assert git(served, "show", f"{commit}:other.txt") == "x\n"

    settings = world.control_plane.environment
    keys = {name: settings[name] for name in ("AXIOM_S3_ENDPOINT", "AXIOM_S3_CREDENTIALS")}
    where = ("--from", f"s3://{settings['AXIOM_S3_BUCKET']}", "--namespace", world.kubectl.namespace)

    def undecided() -> str | None:
        _, found, errors = axiom("history", "--json", *where, **keys)
        rows = [json.loads(line) for line in found.splitlines()]
        decided = [row["review"]["why"] for row in rows if row["review"]]
        return None if decided == ["nothing protects it any more"] else f"{decided} {errors}"

    wait_until("the decision to be kept", undecided, limit_seconds=60, interval_seconds=1)
    world.kubectl("delete", "agenttask", "failed", timeout=120)
    _, found, errors = axiom("history", "--json", "--rebuild", "--decision", "Accept", *where, **keys)
    [row] = [json.loads(line) for line in found.splitlines()]
    assert (row["name"], row["verdict"], row["review"]["decision"]) == ("failed", "Fail", "Accept"), errors
    assert row["review"]["by"]
