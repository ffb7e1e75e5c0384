"""The operator's settings, read from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from axiom.environment import SettingsError
from axiom.reconciling.settings import read_settings

GOOD = {
    "AXIOM_NAMESPACE": "axiom",
    "AXIOM_CHANNEL_TLS": "/tls",
    "AXIOM_TOKEN_KEYS": "/keys",
    "AXIOM_SUPERVISOR_IMAGE": "sandbox:1",
    "AXIOM_VERIFIER_IMAGE": "verifier:1",
}


def test_what_is_needed_is_enough() -> None:
    settings = read_settings({**GOOD, "AXIOM_OPERATOR_IDENTITY": "pod-1"})
    assert (settings.lease.name, settings.lease.identity) == ("axiom-operator", "pod-1")
    assert (settings.listen_host, settings.listen_port) == ("127.0.0.1", 9090)
    assert settings.egress is None
    assert settings.channel_tls == Path("/tls")


def test_addresses_and_numbers_are_read() -> None:
    settings = read_settings(
        {
            **GOOD,
            "AXIOM_EGRESS": "egress:8788",
            "AXIOM_OPERATOR_METRICS": "[::]:9000",
            "AXIOM_OPERATOR_CONCURRENCY": "7",
        }
    )
    assert settings.egress == ("egress", 8788)
    assert (settings.listen_host, settings.listen_port, settings.concurrency) == ("::", 9000, 7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AXIOM_NAMESPACE", ""),
        ("AXIOM_OPERATOR_METRICS", "nine"),
        ("AXIOM_OPERATOR_METRICS", "host:99999"),
        ("AXIOM_OPERATOR_CONCURRENCY", "0"),
        ("AXIOM_NETWORK_POLICIES", "no"),
        ("AXIOM_FETCH_ALSO", "git.example:443"),
        ("AXIOM_FETCH_CA", "/etc/ssl/ca.crt"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({**GOOD, name: value})
