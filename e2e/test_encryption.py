"""Evidence and inputs with keys of their namespaces: nothing in the bucket can be read without them, and with them all is as ever."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from minio import Minio

from axiom.storage.ciphers import MAGIC
from e2e.cluster.connection import Connection
from e2e.support.command_line import axiom
from e2e.support.ledgers import wait_for_outcome
from e2e.support.world import World
from e2e.test_evidence import reader

pytestmark = pytest.mark.e2e

WORD = "unmistakable-content-of-this-test"


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of keys that the control plane looks into, each time anew."""
    return tmp_path_factory.mktemp("keyring")


@pytest.fixture(scope="module")
def control_plane_settings(keyring: Path) -> dict[str, str]:
    return {"AXIOM_S3_KEYRING": str(keyring)}


def add_key(folder: Path, name: str) -> None:
    whole = folder / f".{name}"
    whole.write_text(secrets.token_hex(32) + "\n")
    whole.rename(folder / name)


def stored(cluster: Connection, bucket: str) -> dict[str, bytes]:
    """Every object, as it lies there."""
    s3 = cluster.s3
    client = Minio(
        urlsplit(s3.endpoint).netloc, access_key=s3.access_key, secret_key=s3.secret_key, secure=False
    )
    found = {}
    for item in client.list_objects(bucket, recursive=True):
        answer = client.get_object(bucket, item.object_name)
        found[item.object_name] = answer.read()
        answer.close()
        answer.release_conn()
    return found


def test_a_namespaces_inputs_and_evidence_can_be_read_with_its_keys_alone(
    world: World, cluster: Connection, keyring: Path, tmp_path: Path
) -> None:
    namespace = world.kubectl.namespace
    add_key(keyring, f"{namespace}.1")
    settings = world.control_plane.environment
    bucket = settings["AXIOM_S3_BUCKET"]
    reach = {
        name: settings[name] for name in ("AXIOM_S3_ENDPOINT", "AXIOM_S3_CREDENTIALS", "AXIOM_S3_KEYRING")
    }
    archive = tmp_path / "base.tar"
    with tarfile.open(archive, "w") as tar:
        info = tarfile.TarInfo("given.txt")
        info.size = len(WORD)
        tar.addfile(info, io.BytesIO(WORD.encode()))
    code, told, said = axiom(
        "upload", str(archive), "team/base.tar", "-n", namespace, "--to", f"s3://{bucket}", **reach
    )
    assert (code, f"encrypted with {namespace}.1" in told) == (0, True), told + said

    world.make_class()
    task = world.make_task(
        "sealed", "await given.txt", f"say {WORD}", f"write greeting.txt {WORD}", "exit 0",
        workspace={"archive": {"key": "team/base.tar"}},
    )  # fmt: skip
    status = world.wait_complete("sealed")
    assert status["verdict"] == "Pass", status["message"]
    wait_for_outcome(cluster, bucket, task)
    uid = task["metadata"]["uid"]

    objects = stored(cluster, bucket)
    ours = {key: data for key, data in objects.items() if uid in key or key.startswith(("blobs/", "inputs/"))}
    assert {key.partition("/")[0] for key in ours} == {"tasks", "blobs", "inputs"}
    assert [key for key, data in ours.items() if data and not data.startswith(MAGIC)] == []
    assert [key for key, data in objects.items() if WORD.encode() in data or WORD in key] == []

    where = f"s3://{bucket}/tasks/{namespace}/{uid}/"
    code, proofs, said = axiom("ledger", "verify", where, "--json", **reach)
    assert code == 0, proofs + said
    ledgers = json.loads(proofs)["ledgers"]
    assert all(ledger["whole"] for ledger in ledgers), proofs
    unwitnessed = [ledger["ledger"] for ledger in ledgers if not ledger["witnessed"]]
    assert all("copier" in name for name in unwitnessed), "the status has the heads of agent and verifiers"
    other = tmp_path / "other-keys"
    other.mkdir()
    add_key(other, "another.1")
    code, _, said = axiom("ledger", "verify", where, **{**reach, "AXIOM_S3_KEYRING": str(other)})
    assert (code, f"encrypted with the key '{namespace}.1'" in said) == (3, True), said

    viewer = reader(world, tmp_path, original=False)
    code, shown, said = viewer.axiom("ledger", "show", "sealed", "--slot", "agent")
    assert (code, WORD in shown) == (0, True), said
    code, screen, said = viewer.axiom("replay", "sealed", "--print")
    assert (code, WORD in screen) == (0, True), said
    words = ("checkpoints", "sealed", "--diff", "1", "1", "--json")
    code, _, said = viewer.axiom(*words)
    assert code == 1, f"one checkpoint differs in nothing from itself: {said}"
