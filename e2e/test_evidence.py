"""A task's evidence as people read it: through the gateway with their own token, and out of the bucket with its keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.cluster.connection import Connection
from e2e.support.command_line import Person, axiom
from e2e.support.kubernetes import Object
from e2e.support.ledgers import wait_for_outcome
from e2e.support.world import World

pytestmark = pytest.mark.e2e


def reader(world: World, folder: Path, *, original: bool) -> Person:
    """Somebody who may read tasks, and perhaps what is masked for others."""
    name = "auditor" if original else "viewer"
    resources = "agenttasks.axiom.dev" + (",agenttasks.axiom.dev/original" if original else "")
    return Person(world.kubectl, world.control_plane.gateway_url, folder, name, f"get {resources}")


@pytest.fixture
def task(world: World, cluster: Connection) -> Object:
    """A task that is complete, its outcome stored."""
    world.make_class()
    made = world.make_task("told", "say seen", "write greeting.txt hello", "exit 0")
    assert world.wait_complete("told")["verdict"] == "Pass"
    wait_for_outcome(cluster, world.control_plane.environment["AXIOM_S3_BUCKET"], made)
    return made


def test_ledgers_are_read_proven_and_replayed_through_the_gateway(
    world: World, task: Object, tmp_path: Path
) -> None:
    assert task
    viewer = reader(world, tmp_path, original=False)
    code, shown, said = viewer.axiom("ledger", "show", "told", "--slot", "agent")
    assert code == 0, said
    assert "task_declared" in shown
    assert "Added greeting.txt" in shown
    code, _, said = viewer.axiom("ledger", "verify", "told")
    assert code == 3, "proofs are made of the original, to which a viewer has no right"
    assert "403" in said
    code, found, _ = viewer.axiom("ledger", "grep", "closed", "told")
    assert code == 0
    assert "closed" in found
    code, report, said = viewer.axiom("ledger", "export", "told", "--format", "markdown")
    assert code == 0, said
    assert "Pass" in report
    code, screen, said = viewer.axiom("replay", "told", "--print")
    assert (code, "seen" in screen) == (0, True), said
    code, files, said = viewer.axiom("replay", "told", "--files")
    assert (code, "Added    greeting.txt" in files) == (0, True), said

    auditor = reader(world, tmp_path, original=True)
    code, proofs, said = auditor.axiom("ledger", "verify", "told", "--json")
    assert code == 0, proofs + said
    ledgers = {ledger["ledger"]: ledger for ledger in json.loads(proofs)["ledgers"]}
    assert {name.rpartition("/")[2] for name in ledgers} >= {"agent", "verifier-1-1"}
    assert all(ledger["whole"] and ledger["witnessed"] for ledger in ledgers.values()), proofs


def test_ledgers_are_read_and_proven_out_of_the_bucket(world: World, task: Object) -> None:
    settings = world.control_plane.environment
    keys = {name: settings[name] for name in ("AXIOM_S3_ENDPOINT", "AXIOM_S3_CREDENTIALS")}
    where = f"s3://{settings['AXIOM_S3_BUCKET']}/tasks/{world.kubectl.namespace}/{task['metadata']['uid']}/"
    code, proofs, said = axiom("ledger", "verify", where, "--json", **keys)
    assert code == 0, proofs + said
    assert all(ledger["whole"] and ledger["witnessed"] for ledger in json.loads(proofs)["ledgers"])
    code, shown, said = axiom("ledger", "show", where, "--slot", "agent", **keys)
    assert (code, "Added greeting.txt" in shown) == (0, True), said
    code, screen, said = axiom("replay", where, "--print", **keys)
    assert (code, "seen" in screen) == (0, True), said
    code, _, said = axiom("ledger", "verify", where, **{**keys, "AXIOM_S3_CREDENTIALS": "/nowhere"})
    assert code == 3
    assert "cannot be read from /nowhere" in said
