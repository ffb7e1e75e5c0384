"""Which addresses are dialled."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from axiom.egress.resolving import ForbiddenAddressError, GuardedResolver, is_public


class Zone(AbstractResolver):
    """A DNS that knows one name, and changes its answer each time it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in self.answers.pop(0)
        ]

    async def close(self) -> None:
        self.answers.clear()


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::808:808"]
)
def test_addresses_of_the_internet_are_dialled(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::", "::1", "fe80::1",
        "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::", "fec0::1", "2001:db8::1",
        "", "localhost", "0x7f.1", "2130706433", "127.1",
    ],
)  # fmt: skip
def test_other_addresses_are_not_dialled(address: str) -> None:
    assert not is_public(address)


async def test_what_was_checked_is_what_is_dialled() -> None:
    zone = Zone(["8.8.8.8", "8.8.4.4"], ["127.0.0.1"])
    results = await GuardedResolver(zone, ()).resolve("api.example", 443)
    assert [item["host"] for item in results] == ["8.8.8.8", "8.8.4.4"]
    assert len(zone.answers) == 1


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["fd00::1", "8.8.8.8"]])
async def test_one_bad_address_spoils_the_name(answer: list[str]) -> None:
    with pytest.raises(ForbiddenAddressError, match=r"api\.example leads to an address that is not public"):
        await GuardedResolver(Zone(answer), {"other.example"}).resolve("api.example", 443)


async def test_a_name_that_rebinds_is_refused_the_second_time() -> None:
    resolver = GuardedResolver(Zone(["8.8.8.8"], ["127.0.0.1"]), ())
    await resolver.resolve("api.example")
    with pytest.raises(ForbiddenAddressError):
        await resolver.resolve("api.example")


@pytest.mark.parametrize("host", ["model.svc", "MODEL.svc", "model.svc."])
async def test_a_host_that_is_named_may_be_private(host: str) -> None:
    assert await GuardedResolver(Zone(["10.0.0.1"]), {"Model.SVC"}).resolve(host)
