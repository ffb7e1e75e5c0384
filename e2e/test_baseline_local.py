"""`axiom baseline`: pictures of a real server in a real browser become baselines, and decide. On this machine alone."""

from __future__ import annotations

import json
import re

import pytest
from tests.axiom.cli.test_baseline import CRITERIA, axiom
from tests.axiom.cli.test_verify import Cli, cli
from tests.axiom_sandbox.pages.servers import browser_program

pytestmark = pytest.mark.e2e

__all__ = ["cli"]

SERVER = """
import http.server, os
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
PAGE = "<!doctype html><body style='margin:0;background:#fff'><h1>Leap years</h1><script>document.write(Date())</script>"
CRITERION = CRITERIA[1]


def test_what_was_captured_and_accepted_decides(cli: Cli) -> None:
    browser_program()
    files = {"server.py": SERVER, "about.html": PAGE}
    base = cli.put("base", files)
    criteria, state = cli.criteria(CRITERION), str(cli.folder / "state")
    captured = axiom("capture", "--candidate", base, "--criteria", criteria, "--state", state)
    assert captured.exit_code == 0, captured.output
    taken, hint = captured.stdout.splitlines()
    assert re.fullmatch(r"docs/about: \S+/pictures/docs-about\.png  \(it has no baseline yet\)", taken)
    [run] = re.findall(r"axiom baseline accept (verify-\S+)", hint)

    accepted = axiom("accept", run, "--beside", cli.folder, "--state", state)
    baseline = cli.folder / "looks/about.png"
    assert (accepted.exit_code, accepted.stdout) == (0, f"docs/about: {baseline}\n")
    assert baseline.read_bytes().startswith(b"\x89PNG")

    cli.put("candidate", {**files, "README.md": "the same page"})
    verdict = cli.run()
    assert verdict.exit_code == 0, verdict.output
    [docs] = json.loads(verdict.stdout)["criteria"]
    assert (docs["verdict"], docs["strength"]) == ("Pass", "Process")
    assert docs["message"] == "1 pictures look like their baselines, in each of 2 runs."
