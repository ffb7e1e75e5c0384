"""What the gateway's metrics say of ledgers and of object storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.support.authority import make_authority

from axiom.gateway.metrics import Metrics
from axiom.monitoring.clients import watch_certificates
from axiom.monitoring.instruments import Instruments, Process
from axiom.storage.folder import FolderStore
from axiom.storage.measured import MeasuredStore
from axiom.storage.store import ConflictError, MissingError
from axiom_sandbox.protocol.channel import LedgerHead, Phase, SandboxState
from axiom_sandbox.protocol.identity import Identity, Role

IDENTITY = Identity(namespace="ns", task="t", task_id="u", attempt=1, role=Role.AGENT)


def state(
    records: int, sealed_records: int, segments: int = 0, sealed: int = 0, closed: bool = False
) -> SandboxState:
    head = LedgerHead(
        records=records, sealed_records=sealed_records, segments=segments, sealed=sealed, closed=closed
    )
    return SandboxState(revision=1, identity=IDENTITY, phase=Phase.RUNNING, ledger=head)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_the_lag_is_what_is_durable_and_not_sealed() -> None:
    metrics = Metrics(clock=(clock := Clock()))
    metrics.note_state("pod", state(10, 4, segments=3, sealed=1))
    clock.now += 5
    assert value(metrics, "axiom_gateway_unsealed_records") == 6
    assert value(metrics, "axiom_gateway_unsealed_segments") == 2
    assert value(metrics, "axiom_gateway_ledger_lag_seconds") == 5


def test_the_lag_begins_anew_with_every_segment_that_is_sealed() -> None:
    metrics = Metrics(clock=(clock := Clock()))
    metrics.note_state("pod", state(10, 4, segments=3, sealed=1))
    clock.now += 5
    metrics.note_state("pod", state(11, 4, segments=3, sealed=1))
    assert value(metrics, "axiom_gateway_ledger_lag_seconds") == 5
    metrics.note_state("pod", state(11, 8, segments=3, sealed=2))
    assert value(metrics, "axiom_gateway_ledger_lag_seconds") == 0
    metrics.note_state("pod", state(11, 11, segments=3, sealed=3))
    clock.now += 5
    assert value(metrics, "axiom_gateway_ledger_lag_seconds") == 0


def test_a_ledger_that_was_ended_for_a_lost_sandbox_is_counted_with_what_it_lacks() -> None:
    metrics = Metrics()
    metrics.note_state("pod", state(9, 4, 2, 1))
    metrics.note_gone("pod")
    assert value(metrics, "axiom_gateway_unsealed_records") == 0
    metrics.note_lost(state(9, 4, 2, 1))
    metrics.note_lost(None)
    assert value(metrics, "axiom_gateway_ledgers_lost_total") == 2
    assert value(metrics, "axiom_gateway_records_lost_total") == 5


async def test_operations_of_storage_are_counted_by_what_came_of_them(tmp_path: Path) -> None:
    metrics = Metrics()
    store = MeasuredStore(FolderStore(tmp_path / "store"), metrics)
    await store.put("a/b", b"four")
    assert await store.get("a/b") == b"four"
    assert await store.exists("a/b")
    assert await store.stat("a/b")
    assert (await store.fetch("a/b", tmp_path / "copy")).size == 4
    assert [key async for key in store.list("a/")] == ["a/b"]
    with pytest.raises(ConflictError):
        await store.put("a/b", b"other")
    with pytest.raises(MissingError):
        await store.get("a/c")

    def number(operation: str, result: str) -> float | None:
        return value(metrics, "axiom_storage_operations_total", operation=operation, result=result)

    assert [number("put", "Ok"), number("put", "Conflict")] == [1, 1]
    assert [number("get", "Ok"), number("get", "Missing")] == [1, 1]
    assert [number("stat", "Ok"), number("fetch", "Ok"), number("list", "Ok")] == [2, 1, 1]
    assert value(metrics, "axiom_storage_bytes_total", direction="up") == 4
    assert value(metrics, "axiom_storage_bytes_total", direction="down") == 8
    assert value(metrics, "axiom_storage_operation_seconds_count", operation="put") == 2


def test_a_certificate_says_when_it_runs_out(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    (authority.client / "ca.crt").write_text(authority.ca)
    instruments = Instruments(Process.GATEWAY)
    watch_certificates(instruments, authority.client)
    for name in ("channel", "channel-authority"):
        expiry = instruments.registry.get_sample_value(
            "axiom_certificate_expiry_timestamp_seconds", {"certificate": name}
        )
        assert expiry is not None
        assert expiry > 1.7e9


def test_a_certificate_that_cannot_be_read_has_no_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    instruments = Instruments(Process.GATEWAY)
    watch_certificates(instruments, tmp_path)
    assert "axiom_certificate_expiry_timestamp_seconds{" not in instruments.render().decode()
    assert "tls.crt runs out cannot be told" in caplog.text
