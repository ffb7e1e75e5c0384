"""Which of our certificates a pod is shown."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from e2e.support.authority import Authority, make_authority

from axiom.cluster.channels import CURRENT, PREVIOUS, choose_pair
from axiom.manifests.pods import client_ca_of
from axiom_sandbox.installing import CLIENT_CA_VARIABLE


@pytest.fixture
def old(tmp_path: Path) -> Authority:
    return _made(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> Authority:
    return _made(tmp_path / "new")


def _made(folder: Path) -> Authority:
    folder.mkdir()
    return make_authority(folder)


def test_while_the_authority_is_replaced_each_pod_is_shown_what_it_can_check(
    old: Authority, new: Authority
) -> None:
    assert choose_pair(new.client, old.ca) == CURRENT, "there is no other"
    for suffix in ("crt", "key"):
        shutil.copy(old.client / f"tls.{suffix}", new.client / f"{PREVIOUS}.{suffix}")
    assert choose_pair(new.client, old.ca) == PREVIOUS
    assert choose_pair(new.client, new.ca) == CURRENT
    assert choose_pair(new.client, old.ca + new.ca) == CURRENT
    assert choose_pair(new.client, "") == CURRENT
    assert choose_pair(new.client, "no certificate") == CURRENT


@pytest.mark.parametrize("where", ["initContainers", "containers"])
def test_a_pod_says_whom_it_trusts(where: str) -> None:
    env = [{"name": "OTHER", "valueFrom": {}}, {"name": CLIENT_CA_VARIABLE, "value": "PEM"}]
    assert client_ca_of({"spec": {where: [{"name": "any"}, {"name": "install", "env": env}]}}) == "PEM"
    assert client_ca_of({"spec": {"containers": [{"name": "any"}]}}) == ""
