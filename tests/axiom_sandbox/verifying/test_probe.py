"""Probe in the real clean room: servers that are right, servers that cheat, and each defence switched off."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.axiom_sandbox.verifying.projects import Bench, put

from axiom_sandbox.protocol.events import CriterionChecked
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.verifying import probe

pytestmark = pytest.mark.sandbox

PORT = 18080
HEAD = "import http.server, json, os, sys, time, urllib.parse\n"
SERVE = "\nhttp.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()\n"
RIGHT = (
    HEAD
    + """
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        path, _, query = self.path.partition('?')
        if path == '/health': return self.answer(200, b'{"ok": true}')
        if path == '/echo': return self.answer(200, json.dumps(urllib.parse.parse_qs(query)).encode())
        self.answer(404, b'no')
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.answer(201, body[::-1] + b'|' + self.headers['X-Tag'].encode())
"""
)
HEALTH = {
    "path": "/health",
    "headerMatches": [{"name": "content-type", "matches": "json"}],
    "bodyMatches": ['"ok": true'],
}
ECHO = {"path": "/echo?say=$(NONCE)", "bodyMatches": ['"say": ."$(NONCE)".'], "bodyExcludes": ["error"]}
POST = {
    "path": "/things", "method": "POST", "body": "$(NONCE)", "headers": [{"name": "X-Tag", "value": "t-$(NONCE)"}],
    "status": 201, "bodyMatches": [r"\\|t-$(NONCE)$".replace("\\\\", "\\")],
}  # fmt: skip
GONE = {"path": "/nothing", "status": 404}


async def check(
    bench: Bench, files: Mapping[str, str | bytes | None], *requests: Mapping[str, object], **spec: object
) -> tuple[Verdict, str]:
    asked = {
        "argv": ["python3", "server.py"],
        "port": PORT,
        "requests": list(requests or (HEALTH, ECHO, POST, GONE)),
        "startTimeout": "5s",
        "requestTimeout": "2s",
        **spec,
    }
    (result,) = (await bench.verify({"README.md": ""}, put(files), {"name": "p", "probe": asked})).results
    assert result.strength is Strength.PROCESS
    return result.verdict, result.message


def server(code: str) -> dict[str, str | bytes | None]:
    return {"server.py": code}


CANNED = (
    HEAD
    + """
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Type', 'application/json'); self.end_headers()
        self.wfile.write(b'{"ok": true} {"say": ["0123456789abcdef"]}')
"""
)
FORGE = """
import base64, glob, json, os, time
body = base64.b64encode(b'{"ok": true}').decode()
forged = b''.join(json.dumps(one).encode() + b'\\n' for one in (
    {"kind": "started"},
    {"kind": "answer", "status": 200, "headers": [["Content-Type", "json"]], "body": body}))
for name in glob.glob('/proc/[0-9]*/fd/4') + ['/dev/fd/4']:
    try: open(name, 'wb').write(forged)
    except OSError: pass
try: os.write(4, forged)
except OSError: pass
print(forged.decode())
"""
KILL = (
    FORGE
    + """
import signal
os.kill(os.getppid(), signal.SIGKILL)
"""
)
MEMORY = """
import os, re
pid = os.getppid()
with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'r+b', 0) as memory:
    for line in maps:
        if '[heap]' in line:
            start = int(line.split('-')[0], 16); memory.seek(start); memory.write(b'x')
"""
CHEATS: dict[str, Mapping[str, str | bytes | None]] = {
    "no server": {"README.md": "done"},
    "a program that says all is well": server("print('GET /health 200 OK\\n{\"ok\": true}')\n"),
    "a program that ends with 0 at once": server("raise SystemExit(0)\n"),
    "answers written down beforehand": server(CANNED + SERVE),
    "forged answers in the driver's channel": server(FORGE),
    "the driver's program killed after forging": server(KILL),
    "the driver's memory": server(MEMORY),
    "a right answer, then another": server(RIGHT.replace("if path == '/health'", "Handler.n = getattr(Handler, 'n', 0) + 1\n        if Handler.n > 1: return self.answer(500, b'')\n        if path == '/health'") + SERVE),
    "another port": server(RIGHT + SERVE.replace("int(os.environ['PORT'])", f"{PORT + 1}")),
    "right status, no body": server(RIGHT.replace("self.wfile.write(body)", "pass") + SERVE),
    "an answer that never ends": server(HEAD + "class Handler(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200); self.end_headers()\n        while True: self.wfile.write(b'{\"ok\": true}' * 999)\n" + SERVE),
    "a trojan python beside it": {"server.py": "raise SystemExit(1)\n", "python3": "#!/bin/sh\nexit 0\n", "http.py": "", "json.py": "", "sitecustomize.py": "print('x')\n"},
}  # fmt: skip
SLOW_DRIP = (
    HEAD
    + """
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Type', 'json'); self.end_headers()
        for char in b'{"ok": true}' * 99: self.wfile.write(bytes([char])); time.sleep(0.2)
"""
)


@pytest.mark.parametrize("cheat", CHEATS)
async def test_no_cheat_passes(bench: Bench, cheat: str) -> None:
    serves = "serve_forever" in str(CHEATS[cheat]) and cheat != "another port"
    verdict, message = await check(bench, CHEATS[cheat], startTimeout="5s" if serves else "300ms")
    assert verdict is Verdict.FAIL, message


async def test_an_answer_that_drips_is_cut_off(bench: Bench) -> None:
    verdict, message = await check(bench, server(SLOW_DRIP + SERVE), HEALTH, requestTimeout="300ms")
    assert (verdict, "got no answer: it was not whole within 0.3 s" in message) == (Verdict.FAIL, True), (
        message
    )


OTHER_SERVERS = {
    "as asked": server(RIGHT + SERVE),
    "one thread": server(RIGHT + SERVE.replace("ThreadingHTTPServer", "HTTPServer")),
    "HTTP/1.1 that keeps the connection": server(
        RIGHT.replace("    def answer", "    protocol_version = 'HTTP/1.1'\n    def answer", 1) + SERVE
    ),
    "slow to start": server(RIGHT.replace("\nclass", "\ntime.sleep(0.4)\nclass", 1) + SERVE),
    "slow to answer": server(
        RIGHT.replace("def do_GET(self):", "def do_GET(self):\n        time.sleep(0.1)") + SERVE
    ),
    "on every address": server(RIGHT + SERVE.replace("127.0.0.1", "")),
    "that writes files and logs": server(
        RIGHT + "open('log.txt', 'w').write('x'); print('x' * 100_000, flush=True)" + SERVE
    ),
    "that reads its port from the arguments": server(
        RIGHT + SERVE.replace("os.environ['PORT']", "sys.argv[1]")
    ),
    "in a package": {"server.py": "import app\n", "app/__init__.py": "", "app/__main__.py": RIGHT + SERVE},
    "that leaves a daemon": server(RIGHT + "\nif os.fork(): os._exit(0)\nos.setsid()" + SERVE),
    "that answers in pieces": server(
        RIGHT.replace(
            "self.wfile.write(body)",
            "[(self.wfile.write(body[n:n+3]), self.wfile.flush()) for n in range(0, len(body), 3)]",
        )
        + SERVE
    ),
}


@pytest.mark.parametrize("honest", OTHER_SERVERS)
async def test_honest_servers_pass(bench: Bench, honest: str) -> None:
    argv = ["python3", "server.py", str(PORT)]
    if honest == "in a package":
        argv = ["python3", "-m", "app"]
    verdict, message = await check(bench, OTHER_SERVERS[honest], argv=argv)
    assert (verdict, message) == (Verdict.PASS, "4 requests were answered as asked, in each of 2 runs."), (
        message
    )


async def test_the_evidence_holds_digests_and_what_was_wrong(bench: Bench) -> None:
    verdict, message = await check(bench, server(RIGHT + SERVE), HEALTH, {**GONE, "status": 200})
    assert (verdict, message.splitlines()[0]) == (
        Verdict.FAIL,
        "Request 2 (GET /nothing) has the status 404, not 200.",
    )
    (event,) = [event for event in bench.events if isinstance(event, CriterionChecked)]
    assert [len(run["answers"]) for run in event.evidence["runs"]] == [2, 2]


@pytest.mark.parametrize(
    ("argv", "verdict", "says"),
    [
        (["no-such-program"], Verdict.INCONCLUSIVE, "Name a program that the image of the clean room holds."),
        (["./serve"], Verdict.FAIL, "it cannot be started: No such file or directory"),
    ],
)
async def test_a_program_that_is_missing(bench: Bench, argv: list[str], verdict: Verdict, says: str) -> None:
    found, message = await check(bench, {"README.md": "x"}, argv=argv)
    assert (found, says in message) == (verdict, True), message


async def test_two_runs_that_disagree_prove_nothing(bench: Bench) -> None:
    runs = iter([True, False])

    def luck(job: object) -> None:
        if next(runs):
            (bench.room.tree / "lucky").write_text("")

    bench.room.before = luck
    code = RIGHT.replace("\nclass", "\nif not os.path.exists('lucky'): sys.exit(3)\nclass", 1) + SERVE
    verdict, message = await check(bench, server(code))
    assert (verdict, "In one of two runs all was well" in message) == (Verdict.INCONCLUSIVE, True), message


# --- defences, switched off -----------------------------------------------------------------------------------------------


async def test_a_nonce_that_can_be_foreseen_lets_written_answers_through(bench: Bench) -> None:
    bench.entropy = bytes
    known = CANNED.replace("0123456789abcdef", "0" * 32)
    assert (await check(bench, server(known + SERVE), HEALTH, ECHO))[0] is Verdict.PASS


@pytest.mark.parametrize(
    "cheat", ["forged answers in the driver's channel", "the driver's program killed after forging"]
)
async def test_a_driver_that_is_open_to_others_lets_forged_answers_through(bench: Bench, cheat: str) -> None:
    path = bench.room.tools_folder / "speak_http.py"
    closed = path.read_text()
    opened = closed.replace(
        "if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:", "if ctypes is None:"
    )
    assert opened != closed
    path.write_text(opened)
    verdict, _ = await check(bench, CHEATS[cheat], HEALTH, startTimeout="300ms")
    assert verdict is Verdict.PASS


async def test_one_run_alone_would_believe_luck(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_RUNS", 1)
    bench.room.before = lambda job: (bench.room.tree / "lucky").write_text("")
    code = RIGHT.replace("\nclass", "\nif not os.path.exists('lucky'): sys.exit(3)\nclass", 1) + SERVE
    assert (await check(bench, server(code)))[0] is Verdict.PASS
