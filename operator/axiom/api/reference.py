"""docs/reference/api.md, from the models."""


def reference() -> str:
    """tbd"""
    return ""
