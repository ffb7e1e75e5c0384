"""How settings are read from environment variables, and refused with the variable's name and the cure."""

from __future__ import annotations

from collections.abc import Mapping


class SettingsError(Exception):
    """The settings cannot be used; the message names the variable and the cure."""


def needed(environment: Mapping[str, str], name: str, what: str) -> str:
    """A variable that must be set; `what` continues "it names". Raises SettingsError."""
    if not environment.get(name):
        raise SettingsError(f"{name} is not set; it names {what}")
    return environment[name]


def host_and_port(environment: Mapping[str, str], name: str, default: str) -> tuple[str, int]:
    """`host:port` → both. Raises SettingsError."""
    text = environment.get(name) or default
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise SettingsError(f"{name} is {text!r}; write an address and a port such as {default}")
    return host.strip("[]"), int(port)


def whole_number(environment: Mapping[str, str], name: str, default: int) -> int:
    """A number above 0. Raises SettingsError."""
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"{name} is {text!r}; write a whole number such as {default}")
    return int(text)
