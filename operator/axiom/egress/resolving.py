"""Which addresses the proxy dials: a name is resolved once per connection, and what was checked is what is dialled."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterable

from aiohttp.abc import AbstractResolver, ResolveResult

_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenAddressError(OSError):
    """A name leads to an address inside the cluster or the machine."""


class GuardedResolver(AbstractResolver):
    """Resolves names, and refuses those that lead to a loopback, link-local or private address.

    Args:
        resolver: who asks the DNS.
        allow_private: names that may lead anywhere.
    """

    def __init__(self, resolver: AbstractResolver, allow_private: Collection[str]) -> None:
        self._resolver = resolver
        self._allow_private = frozenset(name.lower().rstrip(".") for name in allow_private)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses to dial. One bad address among several spoils all: such a name is not to be trusted.

        Raises:
            ForbiddenAddressError: an address is not a public one.
        """
        results = await self._resolver.resolve(host, port, family)
        self._check(host, [item["host"] for item in results])
        return results

    def check_address(self, host: str) -> None:
        """For a host that is an address itself, which is dialled without being resolved; others pass.

        Raises:
            ForbiddenAddressError: the address is not a public one.
        """
        if is_address(host):
            self._check(host, [host])

    def _check(self, host: str, addresses: Iterable[str]) -> None:
        if host.lower().rstrip(".") not in self._allow_private and not all(map(is_public, addresses)):
            raise ForbiddenAddressError(
                f"{host} leads to an address that is not public; if that is meant, name the host in the"
                " egress proxy's setting for private upstreams"
            )

    async def close(self) -> None:
        """Ends the resolver inside."""
        await self._resolver.close()


def is_address(host: str) -> bool:
    """Whether a host is an IP address, not a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Whether an IP address, also one wrapped into IPv6, is reachable from everywhere and belongs to one machine."""
    try:
        parsed: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_is_public(item) for item in (parsed, *_wrapped(parsed)))


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST and address not in _NAT64:
        return False
    return address.is_global and not address.is_multicast


def _wrapped(address: Address) -> list[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    wrapped: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        wrapped.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [item for item in wrapped if item is not None]
