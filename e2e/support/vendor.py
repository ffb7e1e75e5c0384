"""A model's vendor that says whether it was given the right key, and nothing else."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

KEY = "sk-the-real-key"


class Vendor(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        given = self.headers["Authorization"]
        body = b"right key" if given == f"Bearer {KEY}" else b"wrong key"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
