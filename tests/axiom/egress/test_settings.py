"""What a person can set, and what is said when it cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from axiom.egress.errors import SettingsError
from axiom.egress.settings import Address, TokenKeys, read_settings, read_token_keys

NEEDED = {"AXIOM_EGRESS_TOKEN_KEYS": "/keys", "AXIOM_NAMESPACE": "axiom-system"}
OLD, NEW = "o" * 32, "n" * 40


def test_by_default_nobody_else_reaches_the_proxy() -> None:
    settings = read_settings(NEEDED)
    assert settings.listen == Address("127.0.0.1", 8788)
    assert settings.metrics == Address("127.0.0.1", 8789)
    assert settings.proxy.allow_private_upstreams == frozenset()


def test_settings_come_from_the_environment() -> None:
    settings = read_settings(
        {
            **NEEDED,
            "AXIOM_EGRESS_LISTEN": "[::]:80",
            "AXIOM_EGRESS_METRICS": "0.0.0.0:81",
            "AXIOM_EGRESS_PRIVATE_UPSTREAMS": "model.e2e.svc, localhost,",
        }
    )
    assert settings.listen == Address("::", 80)
    assert settings.metrics == Address("0.0.0.0", 81)
    assert settings.proxy.allow_private_upstreams == {"model.e2e.svc", "localhost"}


@pytest.mark.parametrize("missing", list(NEEDED))
def test_a_setting_that_is_missing_is_named(missing: str) -> None:
    with pytest.raises(SettingsError, match=f"{missing} is not set"):
        read_settings({name: value for name, value in NEEDED.items() if name != missing})


@pytest.mark.parametrize("address", ["8788", ":8788", "host:", "host:http", "host:70000", ""])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="AXIOM_EGRESS_LISTEN"):
        read_settings({**NEEDED, "AXIOM_EGRESS_LISTEN": address})


@pytest.mark.parametrize("content", ["", "\n\n", "short", f"{OLD}\nshort"])
def test_keys_that_are_too_short_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys").write_text(content)
    with pytest.raises(SettingsError, match="at least 32"):
        read_token_keys(tmp_path / "keys")


def test_a_missing_file_of_keys_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read from"):
        TokenKeys(tmp_path / "keys")


def test_keys_are_rotated_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{OLD}\n")
    keys = TokenKeys(path)
    assert keys.current() == (OLD.encode(),)
    replace(path, f"{NEW}\n{OLD}\n")
    assert keys.current() == (NEW.encode(), OLD.encode())
    replace(path, "broken")
    assert keys.current() == (NEW.encode(), OLD.encode())
    path.unlink()
    assert keys.current() == (NEW.encode(), OLD.encode())
    assert "stay as they were" in caplog.text
    assert OLD not in caplog.text


def replace(path: Path, content: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(content)
    beside.replace(path)
