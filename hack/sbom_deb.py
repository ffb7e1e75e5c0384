"""A CycloneDX list of an image's Debian packages, from its dpkg status on standard input.

docker run --rm --entrypoint cat IMAGE /var/lib/dpkg/status | python hack/sbom_deb.py > build/sbom/debian.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote


def components(status: str, distribution: str = "debian") -> Iterator[dict[str, Any]]:
    """Packages that are installed, by their package URL."""
    for paragraph in status.split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in paragraph.splitlines()
            if ": " in line and not line.startswith(" ")
        )
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        place = f"pkg:deb/{distribution}/{quote(name)}@{quote(version)}?arch={quote(architecture)}"
        yield {"type": "library", "bom-ref": place, "name": name, "version": version, "purl": place}


def main() -> int:
    """Exit code 1 where there is no package: a wrong file must not pass for an image without any."""
    found = sorted(components(sys.stdin.read()), key=lambda one: str(one["purl"]))
    if not found:
        sys.stderr.write("no package is installed by this status; give /var/lib/dpkg/status of an image\n")
        return 1
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": found}
    json.dump(document, sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
