"""`make real-projects`: right and wrong solutions and cheats on real projects, decided in real clean rooms. Exit code 1 if one
is decided wrongly.

Source archives come from the package registry through pip, pinned by their digests; nothing of them is kept here.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.axiom_sandbox.verifying.clean_room import BubblewrapRoom
from tests.axiom_sandbox.verifying.projects import Bench, put
from tests.real_projects.projects import LEAVE, MAKE_PASS, PROJECTS, Project

from axiom_sandbox.protocol.verdicts import CriterionResult, Strength, Verdict
from axiom_sandbox.snapshots.importing import extract

PIP = Path(__file__).resolve().parents[2] / "build" / "uv" / "bin" / "pip"
_PARTS = (".py", ".toml", ".cfg", ".ini")


def fetch(project: Project, folder: Path) -> dict[str, str]:
    """The texts of a source archive that count, with the bug in them."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{project.name}=={project.version} --hash=sha256:{project.sha256}\n")
    pip = [str(PIP)] if PIP.exists() else [sys.executable, "-m", "pip"]
    options = [
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--require-hashes",
    ]
    subprocess.run([*pip, "download", *options, "-r", str(wanted), "-d", str(folder)], check=True)
    (archive,) = folder.glob("*.tar.gz")
    extract(archive, folder / "files")
    (top,) = (folder / "files").iterdir()
    found = {
        str(path.relative_to(top)): path.read_text()
        for path in sorted(top.rglob("*"))
        if path.suffix in _PARTS and path.is_file() and str(path.relative_to(top)) != project.left_out
    }
    return {**found, **project.added, project.module: with_bug(project, found[project.module])}


def with_bug(project: Project, text: str) -> str:
    """The module, broken; the place must be the only one of its kind."""
    if text.count(project.right) != 1:
        raise ValueError(
            f"{project.name}: {project.right!r} stands {text.count(project.right)} times in the module"
        )
    return text.replace(project.right, project.bug)


def handed_in(project: Project, base: dict[str, str]) -> Iterator[tuple[str, dict[str, str | None], bool]]:
    """Name, files, and whether it is right."""
    module, buggy = project.module, base[project.module]
    yield "right", {module: buggy.replace(project.bug, project.right)}, True
    for number, text in enumerate(project.wrong, 1):
        yield f"wrong {number}", {module: buggy.replace(project.bug, text)}, False
    tests = project.failing[0].partition("::")[0]
    skipped = f"import pytest\npytestmark = pytest.mark.xfail\n{base[tests]}"
    yield "cheat: hooks", {"conftest.py": MAKE_PASS, tests: skipped}, False
    yield "cheat: leaves", {module: LEAVE + buggy}, False


async def decide(project: Project, base: dict[str, str], files: dict[str, str | None]) -> CriterionResult:
    """What comes of one."""
    criterion = {
        "name": "tests",
        "tests": {
            "failToPass": list(project.failing),
            "passToPass": list(project.passing),
            "timeout": project.timeout,
        },
    }
    with tempfile.TemporaryDirectory(prefix="axiom-real-") as folder:
        bench = Bench(Path(folder), BubblewrapRoom(Path(folder) / "room"))
        return (await bench.verify(base, put(files), criterion)).results[0]


def is_rightly(project: Project, verdict: Verdict, is_right: bool) -> bool:
    """Whether a verdict may be given."""
    if project.is_flaky:
        return verdict is not (Verdict.FAIL if is_right else Verdict.PASS)
    return verdict is (Verdict.PASS if is_right else Verdict.FAIL)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a project's name")
    given = parser.parse_args()
    wrong, strengths = 0, dict[str, bool]()
    print(f"{'':26}{'':16}{'verdict':14}{'strength':11}{'s':>6}")
    for project in PROJECTS:
        if given.only not in project.name:
            continue
        with tempfile.TemporaryDirectory(prefix="axiom-sdist-") as folder:
            base = fetch(project, Path(folder))
        title = f"{project.name} {project.version}{', flaky' if project.is_flaky else ''}"
        ways = set[Strength]()
        for name, files, is_right in handed_in(project, base):
            began = time.monotonic()
            found = asyncio.run(decide(project, base, files))
            fine = is_rightly(project, found.verdict, is_right)
            wrong += not fine
            ways.add(found.strength)
            took = time.monotonic() - began
            print(f"{title:26}{name:16}{found.verdict:14}{found.strength:11}{took:6.1f}", flush=True)
            if not fine:
                print(f"    decided wrongly: {found.message[:600]}", flush=True)
        strengths[title] = ways == {Strength.PROCESS}
    apart = [title for title, is_apart in strengths.items() if is_apart]
    print(f"Code under test in a process of its own: {len(apart)} of {len(strengths)} ({', '.join(apart)}).")
    print("None was decided wrongly." if not wrong else f"{wrong} decided wrongly.")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
