"""Which hosts a class opens, and that what was judged is what is dialled."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.egress.hostnames import ALLOWED, authorities
from tests.axiom.egress.test_resolving import Zone

from axiom.api.agentclass import Destination
from axiom.egress.destinations import Endpoint, is_absolute, narrowed, request_to, tunnel_to
from axiom.egress.errors import Refusal, RefusedError
from axiom.egress.resolving import ForbiddenAddressError, GuardedResolver

SEED = int(os.environ.get("AXIOM_FUZZ_SEED", "20"))
COUNT = int(os.environ.get("AXIOM_FUZZ_COUNT", "30000"))
OPEN = [Destination.model_validate({"host": host}) for host in ALLOWED]
MIRROR = Destination.model_validate(
    {
        "host": "mirror.example",
        "ports": [],
        "http": {"ports": [80, 8080], "methods": ["GET", "HEAD"], "paths": ["/simple/*", "/health"]},
    }
)


def test_a_tunnel_leads_where_the_class_says() -> None:
    assert tunnel_to("pypi.org:443", OPEN) == Endpoint("pypi.org", 443)
    assert tunnel_to("PyPI.org:443", OPEN) == Endpoint("pypi.org", 443)


@pytest.mark.parametrize(
    "authority",
    [
        "evil.example:443", "pypi.org:80", "pypi.org.evil.example:443", "evil.pypi.org:443", "pypi.org:4430", "mirror.example:80",
        "xn--ppi-fla.org:443",
    ],
)  # fmt: skip
def test_other_hosts_and_ports_are_closed(authority: str) -> None:
    with pytest.raises(RefusedError, match=r"egress\.destinations") as refused:
        tunnel_to(authority, [*OPEN, MIRROR])
    assert refused.value.refusal is Refusal.NO_DESTINATION


@pytest.mark.parametrize(
    "authority",
    [
        "", ":", "pypi.org", "pypi.org:", ":443", "pypi.org.:443", ".pypi.org:443", "pypi..org:443", "127.0.0.1:443", "127.1:443",
        "0x7f.1:443", "2130706433:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "::1:443", "[fe80::1%25eth0]:443", "pypi.org%00:443",
        "evil\0.pypi.org:443", "user@pypi.org:443", "evil.example:443@pypi.org:443", "pypi.org:443/x", "pypi.org:443?x", "pypi.org#:443",
        "pypi.org:443 ", " pypi.org:443", "pypi.org:+443", "pypi.org:0443", "pypi.org:0", "pypi.org:65536", "pypi.org:443443",
        "p\u00fdpi.org:443", "pypi\u3002org:443", "pypi.or\u0261:443", "pypi_.org:443", "-pypi.org:443", "pypi-.org:443", "pypi.org\r:443",
        "http://pypi.org:443", f"{'a' * 64}.org:443", f"{'a.' * 127}org:443", "PYP\u0130.org:443", "\u212aypi.org:443", "pypi.org:４43",
    ],
)  # fmt: skip
def test_what_is_no_plain_name_is_refused_before_anything_is_resolved(authority: str) -> None:
    with pytest.raises(RefusedError) as refused:
        tunnel_to(authority, OPEN)
    assert refused.value.refusal is Refusal.BAD_HOST
    assert not authority or authority not in refused.value.message


async def test_no_generated_hostname_is_judged_as_one_and_dialled_as_another() -> None:
    """The long form, with more of them and other seeds: make fuzz."""
    zone, opened = Recorder(), 0
    resolver = GuardedResolver(zone, ())
    for authority in authorities(SEED, COUNT):
        try:
            endpoint = tunnel_to(authority, OPEN)
        except RefusedError:
            continue
        opened += 1
        await resolver.resolve(endpoint.host, endpoint.port)
        judged = next(host for host in ALLOWED if authority.encode().lower() == f"{host}:443".encode())
        assert (zone.asked, endpoint.port) == (judged, 443), authority
    assert opened > COUNT // 100


class Recorder(Zone):
    """A DNS that keeps the last name that it was asked for."""

    asked = ""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[Any]:
        self.asked = host
        self.answers = [["93.184.215.14"]]
        return await super().resolve(host, port, family)


async def test_a_name_of_the_class_that_leads_inside_is_not_dialled() -> None:
    endpoint = tunnel_to("pypi.org:443", OPEN)
    with pytest.raises(ForbiddenAddressError):
        await GuardedResolver(Zone(["169.254.169.254"]), ()).resolve(endpoint.host, endpoint.port)


@pytest.mark.parametrize(
    ("method", "target", "url"),
    [
        ("GET", "http://mirror.example/simple/leap/", "http://mirror.example:80/simple/leap/"),
        ("HEAD", "http://Mirror.Example:8080/simple/?x=1", "http://mirror.example:8080/simple/?x=1"),
        ("GET", "http://mirror.example/health", "http://mirror.example:80/health"),
    ],
)
def test_a_plain_request_goes_where_the_class_says(method: str, target: str, url: str) -> None:
    assert request_to(method, target, [MIRROR]).url == url


@pytest.mark.parametrize(
    ("method", "target", "refusal"),
    [
        ("POST", "http://mirror.example/simple/", Refusal.BAD_METHOD),
        ("TRACE", "http://mirror.example/simple/", Refusal.BAD_METHOD),
        ("GET", "http://mirror.example/", Refusal.NO_DESTINATION),
        ("GET", "http://mirror.example", Refusal.NO_DESTINATION),
        ("GET", "http://mirror.example/healthy", Refusal.NO_DESTINATION),
        ("GET", "http://mirror.example:443/simple/", Refusal.NO_DESTINATION),
        ("GET", "http://pypi.org/simple/", Refusal.NO_DESTINATION),
        ("GET", "https://mirror.example/simple/", Refusal.BAD_HOST),
        ("GET", "HTTP://mirror.example/simple/", Refusal.BAD_HOST),
        ("GET", "http://user@mirror.example/simple/", Refusal.BAD_HOST),
        ("GET", "http://mirror.example:80@evil.example/simple/", Refusal.BAD_HOST),
        ("GET", "http://127.0.0.1/simple/", Refusal.BAD_HOST),
        ("GET", "http://mirror.example?/simple/", Refusal.BAD_HOST),
        ("GET", "http://mirror.example/simple/../admin", Refusal.BAD_PATH),
        ("GET", "http://mirror.example/simple/%2e%2e/admin", Refusal.BAD_PATH),
        ("GET", "http://mirror.example/simple/..%2fadmin", Refusal.BAD_PATH),
        ("GET", "http://mirror.example/simple\\..\\admin", Refusal.BAD_PATH),
        ("GET", "http://mirror.example//simple/", Refusal.BAD_PATH),
    ],
)
def test_other_plain_requests_are_refused(method: str, target: str, refusal: Refusal) -> None:
    with pytest.raises(RefusedError) as refused:
        request_to(method, target, [MIRROR, *OPEN])
    assert refused.value.refusal is refusal


def test_absolute_targets_are_told_from_paths() -> None:
    assert is_absolute("HTTPS://x/")
    assert not is_absolute("/http://x/")


def test_a_task_has_less_than_its_class_and_never_more() -> None:
    assert narrowed(OPEN, None) == OPEN
    assert narrowed(OPEN, ["pypi.org", "evil.example"]) == OPEN[:1]
    assert narrowed(OPEN, []) == []


def test_the_generated_hostnames_are_the_same_each_time(tmp_path: Path) -> None:
    assert list(authorities(1, 50)) == list(authorities(1, 50))
