"""Stands in for the metadata service of a cloud, inside the cluster's network.

A sandbox must not reach 169.254.169.254. A test of that needs somebody there who answers
when the protection is missing, and must never ask the machine's real one.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = b"stand-in for a metadata service\n"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    do_PUT = do_GET  # noqa: N815


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], 80), _Handler).serve_forever()
