"""A model's vendor that says whether it was given the right key, and nothing else."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

KEY = "sk-the-real-key"


def asking_class(name: str, image: str, upstream: str, secret: str, **spec: Any) -> dict[str, Any]:
    """A class of the plain test agent, which asks the model at this address with the key of this Secret."""
    route = {"prefix": "/model", "upstream": upstream}
    return {
        "apiVersion": "axiom.dev/v1alpha1",
        "kind": "AgentClass",
        "metadata": {"name": name},
        "spec": {
            "image": image,
            "command": ["/agent", "$(AXIOM_PROMPT)"],
            "showCriteria": False,
            "env": [
                {"name": "MODEL_URL", "value": "$(AXIOM_PROXY_URL)/model"},
                {"name": "MODEL_KEY", "value": "$(AXIOM_TOKEN)"},
            ],
            "credentials": [{"name": "model", "secretRef": {"name": secret, "key": "key"}, "route": route}],
            **spec,
        },
    }


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
