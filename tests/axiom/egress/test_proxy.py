"""The proxy, from an agent's socket to a vendor on loopback."""

from __future__ import annotations

import aiohttp
from egress_helpers import (
    CANARY,
    Vendor,
    Way,
)


async def refusal(response: aiohttp.ClientResponse) -> tuple[int, str]:
    return response.status, (await response.json())["error"]["type"]


async def test_the_token_is_swapped_for_the_real_key(vendor: Vendor, way: Way) -> None:
    async with way.request("POST", "/openai/v1/responses?stream=true", data=b"question") as response:
        assert (response.status, await response.text()) == (200, "hello")
    [seen] = vendor.requests
    assert (seen.method, seen.target, seen.body) == ("POST", "/v1/responses?stream=true", b"question")
    assert seen.headers.getall("Authorization") == [f"Bearer {CANARY}"]
    assert "axm1." not in str(seen.headers)
