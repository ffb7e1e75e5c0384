"""What a probe came to, wherever it ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from axiom.probing.explaining import explain
from axiom_sandbox.protocol.channel import LayerFound
from axiom_sandbox.protocol.launching import Assertion


@dataclass(frozen=True)
class Report:
    """Layers, and assertions as far as they are known: a cluster's status names only those that failed."""

    where: str
    passed: bool
    layers: tuple[LayerFound, ...]
    missing: tuple[str, ...]
    assertions: tuple[Assertion, ...]
    took_ms: int = 0

    def as_json(self) -> dict[str, Any]:
        """One object, for programs."""
        return {
            "where": self.where,
            "passed": self.passed,
            "missing": list(self.missing),
            "tookMs": self.took_ms,
            "layers": [layer.model_dump() for layer in self.layers],
            "assertions": [
                {
                    "name": item.name,
                    "layer": item.layer,
                    "held": item.ok,
                    "detail": item.detail,
                    **explain(item)._asdict(),
                }
                for item in self.assertions
            ],
        }
