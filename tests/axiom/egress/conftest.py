"""A vendor to talk to, and an agent's way to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.vendor import Vendor, Way, credential, run_vendor, run_way


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with run_vendor() as vendor:
        yield vendor


@pytest.fixture
async def way(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Way]:
    async with run_way(tmp_path, [credential(vendor.url)]) as way:
        yield way
