"""A minimal Kubernetes client with a client certificate: requests and watches, no more."""

import base64
import http.client
import json
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from e2e.cluster.errors import ClusterError

Object = dict[str, Any]


@dataclass(frozen=True)
class Api:
    """One API server and the credentials for it."""

    host: str
    port: int
    context: ssl.SSLContext
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def get(self, path: str, *, timeout_seconds: float = 5) -> bytes:
        """The body of a successful answer.

        Raises:
            ClusterError: no connection, or another status than 200.
        """
        return self._request("GET", path, None, timeout_seconds)

    def post(self, path: str, document: Object, *, timeout_seconds: float = 10) -> bytes:
        """Creates an object; the body of the answer. Raises ClusterError as `get` does."""
        return self._request("POST", path, document, timeout_seconds)

    def ask(
        self, method: str, path: str, document: Object | None, timeout_seconds: float = 10
    ) -> tuple[int, bytes]:
        """Status and body of the answer, whatever it is. Raises ClusterError where none comes."""
        connection = self._connect(timeout_seconds)
        body = None if document is None else json.dumps(document)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **self.headers})
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(f"{method} {path}: {error}") from error
        finally:
            connection.close()
        return answer.status, said

    def _request(self, method: str, path: str, document: Object | None, timeout_seconds: float) -> bytes:
        status, said = self.ask(method, path, document, timeout_seconds)
        if status not in (http.client.OK, http.client.CREATED):
            raise ClusterError(f"{method} {path}: {status} {said[:300].decode(errors='replace')}")
        return said

    def list(self, path: str) -> tuple[list[Object], str]:
        """All objects of a collection, and the version to watch from."""
        answer = json.loads(self.get(path, timeout_seconds=30))
        return answer["items"], answer["metadata"]["resourceVersion"]

    def watch(self, path: str, version: str) -> Iterator[tuple[str, Object]]:
        """The changes after `version` (type, object) until the server ends the watch.

        Raises:
            ClusterError: the connection broke, or `version` is too old: list again.
        """
        connection = self._connect(90)
        try:
            connection.request(
                "GET",
                f"{path}?watch=1&resourceVersion={version}&timeoutSeconds=60&allowWatchBookmarks=true",
                headers=dict(self.headers),
            )
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise ClusterError(f"watch {path}: {answer.status}")
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ClusterError(f"watch {path}: {event['object'].get('message')}")
                yield event["type"], event["object"]
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(f"watch {path}: {error}") from error
        finally:
            connection.close()

    def _connect(self, timeout_seconds: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self.host, self.port, context=self.context, timeout=timeout_seconds
        )


def from_kubeconfig(path: Path) -> Api:
    """The API server of a kubeconfig in JSON with one context and everything in it, by certificate or token.

    Raises:
        ClusterError: the user's credentials are of another kind.
    """
    content = json.loads(path.read_text())
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    encoded = cluster.get("certificate-authority-data", "")
    context = ssl.create_default_context(cadata=base64.b64decode(encoded).decode() or None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {}
    if "client-certificate-data" in user:
        # The ssl module reads a client's certificate from a file only.
        with tempfile.NamedTemporaryFile(prefix="axiom-e2e-") as pem:
            for part in ("client-certificate-data", "client-key-data"):
                pem.write(base64.b64decode(user[part]))
            pem.flush()
            context.load_cert_chain(pem.name)
    elif "token" in user:
        headers["Authorization"] = f"Bearer {user['token']}"
    else:
        raise ClusterError(
            f"the kubeconfig's user has {', '.join(user) or 'no credentials'}; tests know certificates and tokens: "
            "make a kubeconfig with a token (kubectl create token)"
        )
    address = urlsplit(cluster["server"])
    return Api(address.hostname or "", address.port or 443, context, headers)
