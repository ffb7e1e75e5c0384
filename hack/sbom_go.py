"""A CycloneDX list of the modules in Go programs: `sbom_go.py PROGRAM …`, from what the Go linker wrote into them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def components(program: str) -> dict[str, dict[str, Any]]:
    """Modules of a program, and the toolchain's standard library, by their package URL."""
    lines = subprocess.run(
        ["go", "version", "-m", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    toolchain = lines[0].split()[-1].removeprefix("go")
    modules = [("std", toolchain)]
    modules += [(fields[1], fields[2]) for line in lines if (fields := line.split())[:1] == ["dep"]]
    return {
        f"pkg:golang/{name}@{version}": {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:golang/{name}@{version}",
        }
        for name, version in modules
    }


def main() -> None:
    """Prints the list."""
    found: dict[str, dict[str, Any]] = {}
    for program in sys.argv[1:]:
        found |= components(program)
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": [found[purl] for purl in sorted(found)],
    }
    sys.stdout.write(json.dumps(body, indent=1) + "\n")


if __name__ == "__main__":
    main()
