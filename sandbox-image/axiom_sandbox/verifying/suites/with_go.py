"""Tests that `go test` would run. They are compiled into one program with the code under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axiom_sandbox.verifying.judging import Side, Source, environment
from axiom_sandbox.verifying.rooms import Place
from axiom_sandbox.verifying.suites.adapters import RelayedAdapter
from axiom_sandbox.verifying.suites.pinning import Conventions, Pins

_ENDING = "_test.go"
_SETTINGS = frozenset({"go.mod", "go.sum", "go.work", "go.work.sum"})


class GoAdapter(RelayedAdapter):
    """`go test`."""

    name = "go test"
    tool = "run_go.py"
    parts = ("relay.py", "run_pytest.py", "go_witness.txt")
    conventions = Conventions(
        lambda path: path.endswith(_ENDING),
        _SETTINGS,
        endings=(_ENDING, ".golden"),  # tests become a part of the program that runs their package
        folders=frozenset(),
        owned=frozenset({"testdata", "vendor"}),
        code=(".go",),
    )
    suffixes = (_ENDING,)
    order = ", each in another order"

    def plan(
        self, base: Side, files: Sequence[str], place: Place, layout: Mapping[str, Source], pins: Pins
    ) -> dict[str, Any]:
        """Nothing more: packages are the directories of the tests."""
        return {}

    def environment(self, place: Place) -> dict[str, str]:
        """No network, no other toolchain, no C; modules are vendored, or lie in the image's /go."""
        plain = environment(place)
        return plain | {
            "PATH": f"/usr/local/go/bin:/usr/lib/go/bin:{plain['PATH']}",
            "GOPATH": "/go",
            "GOENV": "off",
            "GOFLAGS": "-buildvcs=false",
            "GOPROXY": "off",
            "GOTOOLCHAIN": "local",
            "GOTELEMETRY": "off",
            "CGO_ENABLED": "0",
        }
