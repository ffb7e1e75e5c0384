"""What the probe's assertions say of each layer, and whether the agent may start. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from axiom_sandbox.protocol.channel import Isolation, LayerFound
from axiom_sandbox.protocol.launching import Assertion, Expectation, Layer


def judge(expect: Expectation, assertions: Iterable[Assertion], took_ms: int) -> Isolation:
    """One wrong assertion is enough to fail, but in a layer that may be missing. No assertion at all fails, too."""
    tried = list(assertions)
    wrong = [item for item in tried if not item.ok]
    layers = {item.layer for item in tried}
    tolerated = {layer.value for layer in expect.may_miss}
    failed = tuple(item.name for item in wrong if item.layer not in tolerated)
    missing = {item.layer for item in wrong if item.layer in tolerated} | {
        layer.value for layer in Layer if layer.value not in layers
    }
    return Isolation(
        passed=bool(tried) and not failed,
        assertions=len(tried),
        failed=failed,
        layers=tuple(_found(name, tried) for name in sorted(layers)),
        missing_layers=tuple(layer.shown for layer in Layer if layer.value in missing),
        took_ms=took_ms,
    )


def _found(name: str, tried: Iterable[Assertion]) -> LayerFound:
    own = [item for item in tried if item.layer == name]
    return LayerFound(name=Layer(name).shown, tried=len(own), held=sum(item.ok for item in own))
