"""Images by digest: which parents they have, what was built, and what the chart takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from e2e.cluster.providing import digests_in_table
from e2e.support.images import ROOT, pinned
from tests.charts.rendering import render

DIGEST = "sha256:" + "a" * 64
TABLE = f"""\
REF TYPE DIGEST SIZE PLATFORMS LABELS
axiom.dev/axiom-sandbox:0123456789abcdef application/vnd.oci.image.manifest.v1+json {DIGEST} 80.1 MiB linux/amd64 -
axiom.dev/agent-codex:0123 application/vnd.oci.image.manifest.v1+json sha256:{"b" * 64} 1 MiB linux/amd64 -

"""
DOCKERFILES = [
    *(ROOT / "sandbox-image").rglob("Dockerfile"),
    *(ROOT / "sandbox-image").rglob("*.Dockerfile"),
    ROOT / "operator" / "Dockerfile",
]


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_parent_is_an_argument_so_that_it_can_be_named_by_digest(file: Path) -> None:
    text = file.read_text()
    parents = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    arguments = re.findall(r"^ARG (\w+)=", text.partition("FROM ")[0], re.MULTILINE)
    assert parents
    assert set(parents) <= {f"${{{name}}}" for name in arguments}


def test_what_was_built_is_named_with_its_digest() -> None:
    built = ["axiom.dev/axiom-sandbox:0123456789abcdef", "axiom.dev/not-there:1"]
    assert pinned(built, digests_in_table(TABLE)) == {
        "axiom-sandbox": f"axiom.dev/axiom-sandbox:0123456789abcdef@{DIGEST}"
    }


@pytest.mark.parametrize("form", [f"registry.example/NAME@{DIGEST}", f"registry.example/NAME:0.1.0@{DIGEST}"])
def test_the_chart_takes_every_image_by_digest(form: str) -> None:
    names = {
        name: form.replace("NAME", name.lower())
        for name in ("controlPlane", "sandbox", "verifier", "storage")
    }
    text = str(render({"images": names}))
    assert [name for name in names.values() if name not in text] == []
