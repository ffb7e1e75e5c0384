"""Stands at the root so that pytest puts the repository on the import path: tests and e2e share what is in tests."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Campaigns take many minutes: they run only where somebody asks for them by their marker."""
    if "campaign" in config.option.markexpr:
        return
    campaigns = [item for item in items if item.get_closest_marker("campaign")]
    config.hook.pytest_deselected(items=campaigns)
    items[:] = [item for item in items if item not in campaigns]
