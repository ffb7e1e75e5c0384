"""Hostnames that somebody would try who wants the proxy to judge one host and to dial another. Seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator

ALLOWED = ("pypi.org", "files.pythonhosted.org")
_EVIL = (
    "evil.example",
    "127.0.0.1",
    "169.254.169.254",
    "localhost",
    "[::1]",
    "0x7f000001",
    "2130706433",
    "017700000001",
)
_INSERTS = (
    "\0", "%00", "%2e", "%2f", "@", ":", "#", "?", "/", "\\", " ", "\t", ".", "..", ",", ";", "[", "]", "-", "_", "%", "\x7f", "\x01",
    "\u3002", "\uff0e", "\u00ad", "\u200b", "\u2024", "ı", "K", "ﬁ", "xn--", "%25", "%5c", "!", "*", "=", "&", "|", "`", "'", '"',
)  # fmt: skip
_PORTS = (
    "443", "0443", "443 ", " 443", "+443", "-443", "4_43", "443.", "44３", "0x1bb", "", "0", "65536", "443/", "443@x", "443\0", "80",
)  # fmt: skip


def authorities(seed: int, count: int) -> Iterator[str]:
    """Targets of CONNECT; about one in twenty is one that the class opens."""
    rng = random.Random(seed)
    for _ in range(count):
        yield _mutated(rng)


def _mutated(rng: random.Random) -> str:
    host, port = rng.choice(ALLOWED), "443"
    for _ in range(rng.randint(0, 3)):
        match rng.randrange(11):
            case 0:
                at = rng.randint(0, len(host))
                host = host[:at] + rng.choice(_INSERTS) + host[at:]
            case 1:
                at = rng.randint(0, len(host))
                host = host[:at] + chr(rng.randrange(256)) + host[at:]
            case 2:
                host = rng.choice(_EVIL) + rng.choice(_INSERTS) + host
            case 3:
                host = host + rng.choice(_INSERTS) + rng.choice(_EVIL)
            case 4:
                host = f"{rng.choice(_EVIL)}.{host}"
            case 5:
                host = f"{host}.{rng.choice(_EVIL)}"
            case 6:
                host = "".join(rng.choice((one.upper(), one.lower())) for one in host)
            case 7:
                at = rng.randrange(len(host) or 1)
                host = host[:at] + host[at + 1 :]
            case 8:
                port = rng.choice(_PORTS)
            case 9:
                host = rng.choice(
                    (rng.choice(_EVIL), f"user:pw@{host}", f"{host}.", f".{host}", f"[{host}]", host * 9)
                )
            case _:
                host = "".join(chr(rng.choice((ord(one), ord(one) ^ 1, ord(one) | 0x80))) for one in host)
    return f"{host}:{port}"
