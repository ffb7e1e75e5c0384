"""Everything secret is replaced while tasks run: nothing is restarted, and every task ends right."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.ports import free_port

from axiom.storage.s3 import ACCESS_KEY_FILE, SECRET_KEY_FILE
from e2e.cluster.binaries import binary
from e2e.cluster.connection import Connection, load
from e2e.cluster.layout import Cluster
from e2e.cluster.waiting import wait_until
from e2e.support.authority import make_authority
from e2e.support.control_plane import ControlPlane, Program
from e2e.support.evidence import check_evidence
from e2e.support.faulty_path import FaultyPath
from e2e.support.keeping import Keeper
from e2e.support.kubernetes import Kubectl, Object
from e2e.support.world import World, has_condition, is_running

pytestmark = pytest.mark.e2e

SECRET = "model"
OLD_KEY, NEW_KEY = "sk-old-0123456789", "sk-new-0123456789"
STEPS = ("call first", "await go.txt", "call second", "write greeting.txt hello", "exit 0")


@dataclass
class Vendor:
    """The model's vendor: which key came with which path, and which keys it takes."""

    url: str = ""
    takes: set[str] = field(default_factory=lambda: {OLD_KEY})
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    """Path, key and answer."""

    def answer(self, path: str, authorization: str) -> int:
        key = authorization.removeprefix("Bearer ")
        status = 200 if key in self.takes else 401
        self.seen.append((path, key, status))
        return status


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    vendor = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(vendor.answer(self.path, self.headers.get("Authorization", "")))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        vendor.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield vendor
        server.shutdown()


@pytest.fixture
def egress(cluster: Connection, control_plane: ControlPlane, tmp_path: Path) -> Iterator[Program]:
    """The egress proxy where pods reach it, known to the operator."""
    health = f"127.0.0.1:{free_port()}"
    address = f"{cluster.machine_address}:{free_port(cluster.machine_address)}"
    control_plane.environment["AXIOM_EGRESS"] = address
    environment = {
        **control_plane.environment,
        "AXIOM_EGRESS_LISTEN": address,
        "AXIOM_EGRESS_METRICS": health,
        "AXIOM_EGRESS_TOKEN_KEYS": control_plane.environment["AXIOM_TOKEN_KEYS"],
        "AXIOM_EGRESS_PRIVATE_UPSTREAMS": "127.0.0.1",
    }
    program = Program("axiom.egress", environment, tmp_path / "egress.log", health)
    program.start()
    control_plane.operator.stop()
    control_plane.operator.start()
    control_plane.operator.wait_until_ready()
    wait_until("the proxy", lambda: None if program.get("/healthz") else "not yet", limit_seconds=90)
    yield program
    program.stop()
    del control_plane.environment["AXIOM_EGRESS"]
    control_plane.operator.stop()
    control_plane.operator.start()
    control_plane.operator.wait_until_ready()


@pytest.fixture
def model_key(control_plane: ControlPlane) -> Iterator[None]:
    """The Secret that the AgentClass names."""
    write_key(control_plane, OLD_KEY)
    yield
    _admin(control_plane).delete("secret", SECRET)


def _admin(control_plane: ControlPlane) -> Kubectl:
    return Kubectl(load(), control_plane.environment["AXIOM_NAMESPACE"])


def write_key(control_plane: ControlPlane, key: str) -> None:
    _admin(control_plane).apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": {"key": key}}
    )


@contextmanager
def storage_with_keys(cluster: Connection, access: str, secret: str, log: Path) -> Iterator[int]:
    """A second S3 server on loopback, over the same objects, that takes other keys only; its port."""
    folder, port = Cluster(cluster.name).state / "storage", free_port()
    command = [binary("versitygw"), "--port", f"127.0.0.1:{port}", "posix", "--sidecar"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*map(str, command), str(folder / "metadata"), str(folder / "data")],
            env={"PATH": os.environ["PATH"], "ROOT_ACCESS_KEY": access, "ROOT_SECRET_KEY": secret},
            stdout=output,
            stderr=output,
        )
    try:
        yield port
    finally:
        server.terminate()
        server.wait(timeout=60)


def test_everything_secret_is_replaced_under_load(
    world: World,
    cluster: Connection,
    control_plane: ControlPlane,
    keeper: Keeper,
    model_key: None,
    egress: Program,
    vendor: Vendor,
    storage_path: FaultyPath,
    tmp_path: Path,
) -> None:
    """Tasks that began with the old secrets end with the new ones; those that come know the new ones only."""
    environment = control_plane.environment
    world.make_class(
        env=[
            {"name": "MODEL_URL", "value": "$(AXIOM_PROXY_URL)/model"},
            {"name": "MODEL_KEY", "value": "$(AXIOM_TOKEN)"},
        ],
        credentials=[
            {
                "name": "model",
                "secretRef": {"name": SECRET, "key": "key"},
                "route": {"prefix": "/model", "upstream": vendor.url},
            }
        ],
    )
    tasks = {name: make_task(world, name) for name in ("old-1", "old-2")}
    for name in ("old-1", "old-2"):
        wait_until_called(vendor, f"/{name}/first", OLD_KEY)

    # The model's key, and those that sign tokens.
    write_key(control_plane, NEW_KEY)
    tokens = Path(environment["AXIOM_TOKEN_KEYS"])
    old_tokens, new_tokens = tokens.read_text(), f"{secrets.token_hex(32)}\n"
    replace(tokens, new_tokens + old_tokens)
    # Certificates: of a new authority, the old pair beside them for the pods that know no other.
    channel = Path(environment["AXIOM_CHANNEL_TLS"])
    old_authority = (channel / "ca.crt").read_text()
    (tmp_path / "new").mkdir()
    new_authority = make_authority(tmp_path / "new", "axiom-e2e-new")
    for suffix in ("crt", "key"):
        shutil.copy(channel / f"tls.{suffix}", channel / f"previous.{suffix}")
    replace(channel / "ca.crt", new_authority.ca + old_authority)
    for suffix in ("crt", "key"):
        replace(channel / f"tls.{suffix}", (new_authority.client / f"tls.{suffix}").read_text())
    # The keys of object storage: the server changes first, so that the old ones fail for a while.
    access, secret = "new-access-key", secrets.token_urlsafe(30)
    with storage_with_keys(cluster, access, secret, tmp_path / "storage.log") as port:
        wait_until("the S3 server", lambda: _unreachable(port), limit_seconds=60)
        old_target = storage_path.retarget("127.0.0.1", port)
        keys = Path(environment["AXIOM_S3_CREDENTIALS"])
        try:
            world.let_go(tasks["old-1"])
            tasks["new"] = make_task(world, "new")
            world.wait("new", has_condition("SandboxReady", "StorageUnavailable"))
            replace(keys / ACCESS_KEY_FILE, access)
            replace(keys / SECRET_KEY_FILE, secret)
            world.wait("new", is_running)
            wait_until_called(vendor, "/new/first", None)

            wait_until_new_key(world, vendor)
            vendor.takes = {NEW_KEY}
            for name in ("old-2", "new"):
                world.let_go(tasks[name])
            statuses = {name: world.wait_complete(name, 120) for name in ("old-1", "old-2", "new")}
            assert ("/old-2/second", NEW_KEY, 200) in vendor.seen
            assert ("/new/second", NEW_KEY, 200) in vendor.seen

            # The old ones go: nothing that runs needs them any more.
            replace(tokens, new_tokens)
            replace(channel / "ca.crt", new_authority.ca)
            for suffix in ("crt", "key"):
                (channel / f"previous.{suffix}").unlink()
            world.make_task("after", "call after/first", "write greeting.txt hello", "exit 0")
            statuses["after"] = world.wait_complete("after", 120)
            assert ("/after/first", NEW_KEY, 200) in vendor.seen
        finally:
            storage_path.retarget(*old_target)
            replace(keys / ACCESS_KEY_FILE, cluster.s3.access_key)
            replace(keys / SECRET_KEY_FILE, cluster.s3.secret_key)

    assert {status["verdict"] for status in statuses.values()} == {"Pass"}
    assert {status["attempt"] for status in statuses.values()} == {1}
    assert keeper.exits == [], "nothing has to be restarted"
    for name in statuses:
        task = world.kubectl.get("agenttask", name)
        assert task
        check_evidence(cluster, environment["AXIOM_S3_BUCKET"], task, tmp_path)


def make_task(world: World, name: str) -> Object:
    """Its calls carry its name."""
    return world.make_task(name, *(step.replace("call ", f"call {name}/") for step in STEPS))


def replace(path: Path, text: str) -> None:
    """As the kubelet replaces a mounted file: at once."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def wait_until_called(vendor: Vendor, path: str, key: str | None) -> None:
    def missing() -> str | None:
        found = [seen for seen in vendor.seen if seen[0] == path and key in (None, seen[1])]
        return None if found and found[-1][2] == 200 else str(vendor.seen)

    wait_until(f"a call of {path}", missing, limit_seconds=120)


def wait_until_new_key(world: World, vendor: Vendor) -> None:
    """The proxy reads Secrets every 10 s: short tasks call until one comes with the new key."""
    vendor.takes = {OLD_KEY, NEW_KEY}
    for number in range(30):
        name = f"asks-{number}"
        world.make_task(name, f"call {name}/first", "write greeting.txt hello", "exit 0")
        wait_until_called(vendor, f"/{name}/first", None)
        if any(key == NEW_KEY for path, key, _ in vendor.seen if path == f"/{name}/first"):
            return
    raise AssertionError(f"no call came with the new key: {vendor.seen}")


def _unreachable(port: int) -> str | None:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError as error:
        return str(error)
    return None
