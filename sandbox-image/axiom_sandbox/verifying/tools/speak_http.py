"""Starts a server of the candidate, waits until it listens, and speaks HTTP with it over loopback.

Run as `python -I speak_http.py` in the candidate's container: reads a plan (JSON) from descriptor 3, and writes a line of JSON
to descriptor 4 for the start and for each answer. Where the plan says that pages are looked at from outside, it closes descriptor 5
then, and lets the server live until descriptor 6 ends. It judges nothing. From the first line on nobody of the same user can look
into this process or open what it holds, and the server inherits none of its descriptors.
"""

from __future__ import annotations

import base64
import ctypes
import http.client
import json
import os
import socket
import subprocess
import sys
import time

_PR_SET_DUMPABLE = 4
_LOOK_SECONDS = 0.02
_MAX_HEADERS = 64 * 1024


def main() -> None:
    """Reads the plan and carries it out."""
    if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        sys.exit("this process cannot be closed to others")
    with open(3, "rb") as feed:
        plan = json.load(feed)
    for descriptor in (4, 5, 6) if plan["looks"] else (4,):
        os.set_inheritable(descriptor, False)
    with open(4, "w", encoding="ascii") as out:

        def say(**record: object) -> None:
            out.write(json.dumps(record) + "\n")
            out.flush()

        server = _start(plan["argv"], say)
        if server is None:
            return
        if problem := _until_listening(server, plan["port"], plan["startSeconds"]):
            say(kind="failed", error=problem)
            return
        say(kind="started")
        for request in plan["requests"]:
            say(**_ask(plan, request))
        if plan["looks"]:
            os.close(5)
            os.read(6, 1)


def _start(argv: list[str], say: object) -> subprocess.Popen[bytes] | None:
    assert callable(say)
    try:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, close_fds=True, start_new_session=True)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        say(kind="missing" if missing else "failed", error=f"it cannot be started: {error.strerror}")
        return None


def _until_listening(server: subprocess.Popen[bytes], port: int, seconds: float) -> str:
    """Why it does not listen; empty once it does."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        code = server.poll()
        if _listens(port):
            return ""
        if code not in (None, 0):  # 0: it may have left a daemon behind
            return f"it ended with code {code}"
        time.sleep(_LOOK_SECONDS)
    return f"it did not within {seconds:g} s"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _ask(plan: dict[str, object], request: dict[str, object]) -> dict[str, object]:
    seconds, most = plan["requestSeconds"], plan["maxBody"]
    assert isinstance(seconds, (int, float))
    assert isinstance(most, int)
    until = time.monotonic() + seconds
    connection = http.client.HTTPConnection("127.0.0.1", int(str(plan["port"])), timeout=seconds)
    try:
        _send(connection, request)
        response = connection.getresponse()
        body = bytearray()
        while len(body) <= most and (chunk := response.read1(65536)):
            body += chunk
            if time.monotonic() > until:
                return {"kind": "error", "error": f"it was not whole within {seconds:g} s"}
        if len(body) <= most and response.length:
            return {"kind": "error", "error": f"it ended {response.length} bytes before its end"}
        headers = response.getheaders()
        if sum(len(name) + len(value) for name, value in headers) > _MAX_HEADERS:
            return {"kind": "error", "error": "its headers are too large"}
        encoded = base64.b64encode(bytes(body[: most + 1])).decode()
    except (OSError, http.client.HTTPException) as error:
        return {"kind": "error", "error": f"{type(error).__name__}: {error}"[:300]}
    finally:
        connection.close()
    return {"kind": "answer", "status": response.status, "headers": headers, "body": encoded}


def _send(connection: http.client.HTTPConnection, request: dict[str, object]) -> None:
    body = base64.b64decode(str(request["body"]))
    connection.putrequest(str(request["method"]), str(request["path"]), skip_accept_encoding=True)
    headers = request["headers"]
    assert isinstance(headers, list)
    for name, value in headers:
        connection.putheader(name, value)
    connection.putheader("Connection", "close")
    if body or request["method"] in ("POST", "PUT", "PATCH"):
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)


if __name__ == "__main__":
    main()
