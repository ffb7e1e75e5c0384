"""A small server of pages for tests, on the loopback; and whether there is a browser to look at them."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from axiom_sandbox.protocol.pages import PROGRAMS

HANG = "hang"
"""Content of a page that is never answered."""


def browser_program() -> str:
    """The browser that tests use; without one they are skipped, but where nothing may be."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), "")
    if not found and os.environ.get("AXIOM_CI"):
        pytest.fail("there is no Chromium here; make setup installs it")
    if not found:
        pytest.skip("there is no Chromium here; make setup installs it")
    return found


@dataclass
class Site:
    """What is served, and what was asked for."""

    port: int
    pages: dict[str, str]
    asked: list[str] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def site(pages: Mapping[str, str]) -> Iterator[Site]:
    """Serves pages by their paths, to the end of the test."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            body = found.pages.get(self.path.partition("?")[0])
            if body == HANG:
                found.ending.wait()
                return
            data = (body or "").encode()
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        found = Site(server.server_address[1], dict(pages))
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield found
        finally:
            found.ending.set()
            server.shutdown()
            serving.join()
