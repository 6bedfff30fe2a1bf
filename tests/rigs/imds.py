"""The instance metadata service of one machine of the rig, second version: whoever has no token gets nothing.

Runs alone in the machine's network, at the address of EC2's, with the standard library only:

    python3 imds.py 169.254.169.254 '{"meta-data": {"instance-id": "i-1"}, "user-data": "#!/bin/sh …"}'

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

import json
import re
import secrets
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TTL, TOKEN = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
LONGEST = 21600
# A version of the interface by its date, or the latest.
VERSION = re.compile(r"/(?:latest|\d{4}-\d\d-\d\d)(?:/|$)")


def read(tree: Any, path: str) -> str | None:
    """What is at a path of the metadata: a value, or the names of what is below it; None where there is nothing."""
    for name in filter(None, path.split("/")):
        if not isinstance(tree, dict) or name not in tree:
            return None
        tree = tree[name]
    if not isinstance(tree, dict):
        return str(tree)
    # Keys are numbered, and listed with their names.
    return "\n".join(
        f"{key}={below['name']}" if key.isdigit() else f"{key}/" if isinstance(below, dict) else key
        for key, below in tree.items()
    )


def serve(address: str, tree: dict[str, Any]) -> None:
    """Serve until the process ends."""
    tokens: dict[str, float] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            seconds = self.headers.get(TTL, "")
            if self.path != "/latest/api/token" or "X-Forwarded-For" in self.headers:
                self.answer(HTTPStatus.FORBIDDEN)
            elif not seconds.isdigit() or not 1 <= int(seconds) <= LONGEST:
                self.answer(HTTPStatus.BAD_REQUEST)
            else:
                token = secrets.token_urlsafe(40)
                tokens[token] = time.monotonic() + int(seconds)
                self.answer(HTTPStatus.OK, token, {TTL: seconds})

        def do_GET(self) -> None:
            if tokens.get(self.headers.get(TOKEN, ""), 0) < time.monotonic():
                self.answer(HTTPStatus.UNAUTHORIZED)
                return
            version = VERSION.match(self.path)
            text = read(tree, self.path[version.end() :]) if version else None
            self.answer(HTTPStatus.NOT_FOUND if text is None else HTTPStatus.OK, text or "")

        def answer(self, code: HTTPStatus, text: str = "", headers: dict[str, str] | None = None) -> None:
            body = text.encode()
            self.send_response(code)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    ThreadingHTTPServer((address, 80), Handler).serve_forever()


def with_network(tree: dict[str, Any]) -> dict[str, Any]:
    """The metadata with what EC2 says of the machine's only network card."""
    card = Path("/sys/class/net/eth0/address")
    if not card.exists():
        return tree
    mac = card.read_text().strip()
    about = {"device-number": "0", "local-ipv4s": tree["meta-data"]["local-ipv4"], "mac": mac}
    tree["meta-data"] |= {"mac": mac, "network": {"interfaces": {"macs": {mac: about}}}}
    return tree


if __name__ == "__main__":
    serve(sys.argv[1], with_network(json.loads(sys.argv[2])))
