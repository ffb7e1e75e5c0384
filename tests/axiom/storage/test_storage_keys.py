"""Where things lie."""

from __future__ import annotations

import pytest

from axiom.storage.keys import blob_key, check_key, segment_key
from axiom_sandbox.protocol.identity import Identity, Role

AGENT = Identity(namespace="team-a", task="fix", task_id="5ac8ee7c", attempt=2, role=Role.AGENT)
VERIFIER = AGENT.model_copy(update={"role": Role.VERIFIER, "round": 3, "trial": 1})


def test_evidence_lies_under_its_sandbox() -> None:
    assert segment_key(AGENT, 7) == "tasks/team-a/5ac8ee7c/attempts/2/agent/ledger/000007.jsonl.zst"
    assert check_key(segment_key(VERIFIER, 999_999))


@pytest.mark.parametrize("number", [-1, 1_000_000])
def test_a_segment_outside_the_order_of_names_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        segment_key(AGENT, number)


def test_a_blob_lies_under_its_digest() -> None:
    assert blob_key("ab" * 32) == f"blobs/sha256/ab/{'ab' * 32}"


@pytest.mark.parametrize("digest", ["", "ab", "AB" * 32, "../" + "a" * 61, "ab" * 32 + "\n", "g" * 64])
def test_what_is_no_digest_is_refused(digest: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        blob_key(digest)


def test_a_key_longer_than_s3_allows_is_refused() -> None:
    with pytest.raises(ValueError, match="1024 bytes"):
        check_key("/".join(["a" * 200] * 6))
