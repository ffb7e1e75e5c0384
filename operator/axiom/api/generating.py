"""Writes what is derived from the API types: `python -m axiom.api.generating [--check]`.

The definitions in crds/, their copy in the chart, docs/reference/api.md and docs/reference/events.md. With --check nothing is written;
the exit code is 1 when a committed file differs from what would be.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from axiom.api.agenttask import GROUP
from axiom.api.definitions import ALL
from axiom.api.events_reference import events_reference
from axiom.api.reference import reference

_YAML_HEADER = "# Generated from operator/axiom/api by `make generate`; change it there.\n"
_SHOWN_LINES = 20


def generated_files() -> dict[str, str]:
    """Path from the repository's root → content."""
    definitions = {
        f"{GROUP}_{made['spec']['names']['plural']}.yaml": _to_yaml(made) for made in (make() for make in ALL)
    }
    files = {
        f"{folder}/{name}": text
        for folder in ("crds", "charts/axiom/crds")
        for name, text in definitions.items()
    }
    return files | {
        "docs/reference/api.md": reference(),
        "docs/reference/events.md": events_reference(),
    }


def write_files(root: Path, files: Mapping[str, str]) -> None:
    """Bring the files under the root up to date."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def differences(root: Path, files: Mapping[str, str]) -> list[str]:
    """For each file that is not up to date, the beginning of the difference."""
    found = []
    for name, content in files.items():
        path = root / name
        present = path.read_text(encoding="utf-8") if path.exists() else ""
        if present != content:
            found.append(_summary(name, present, content))
    return found


def main(arguments: list[str] | None = None, files: Mapping[str, str] | None = None) -> int:
    """Write the files (those of the API, if no others are given), or check them. Returns the exit code."""
    files = generated_files() if files is None else files
    parser = argparse.ArgumentParser(description="Writes generated files anew.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file differs")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository (default: here)")
    options = parser.parse_args(arguments)
    if not options.check:
        write_files(options.root, files)
        return 0
    found = differences(options.root, files)
    for summary in found:
        sys.stderr.write(summary)
    if found:
        sys.stderr.write(
            f"{len(found)} generated files are out of date: run `make generate` and commit them\n"
        )
    return 1 if found else 0


class _Dumper(yaml.SafeDumper):
    """Folds no lines and shares no nodes, so that a change shows where it is."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _to_yaml(definition: dict[str, Any]) -> str:
    return _YAML_HEADER + yaml.dump(
        definition, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True
    )


def _summary(name: str, present: str, wanted: str) -> str:
    lines = list(
        difflib.unified_diff(
            present.splitlines(), wanted.splitlines(), f"{name} (committed)", name, lineterm="", n=1
        )
    )
    rest = len(lines) - _SHOWN_LINES
    return "\n".join(lines[:_SHOWN_LINES]) + (f"\n… {rest} more lines\n" if rest > 0 else "\n")


if __name__ == "__main__":
    sys.exit(main())
