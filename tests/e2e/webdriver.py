"""A real browser in a container, driven by the W3C's WebDriver protocol: https://www.w3.org/TR/webdriver2/."""

import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ingot.image.base import ensure_tools
from tests.artifacts import docker

TOOLS = Path(__file__).parent / "browser" / "tools.yml"
START_SECONDS = 120
# Chromium's own sandbox needs what a container withholds; in a container it does not need /dev/shm to be large.
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


@dataclass(frozen=True)
class Browser:
    """A session of the browser."""

    client: httpx.Client
    session: str

    def ask(self, way: str, body: Mapping[str, Any]) -> Any:
        """Send a command; its value."""
        answer = self.client.post(f"/session/{self.session}/{way}", json=body).json()["value"]
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def open(self, address: str, *, width: int, height: int = 800, scheme: str = "light") -> None:
        """Open a page in a window of this size, for a reader who prefers a colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        preference = [{"name": "prefers-color-scheme", "value": scheme}]
        for command, options in (
            ("Emulation.setDeviceMetricsOverride", size),
            ("Emulation.setEmulatedMedia", {"features": preference}),
        ):
            self.ask("goog/cdp/execute", {"cmd": command, "params": options})
        self.ask("url", {"url": address})

    def run(self, script: str) -> Any:
        """What a script in the page returns."""
        return self.ask("execute/sync", {"script": script, "args": []})

    def complaints(self) -> list[str]:
        """What the console has said since it was last asked."""
        return [entry["message"] for entry in self.ask("se/log", {"type": "browser"})]


@contextmanager
def browser(folder: Path, log: Path) -> Iterator[Browser]:
    """A browser that sees `folder` as /pages, without a network."""
    image = ensure_tools(TOOLS, log=log)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = f"ingot-browser-{uuid.uuid4().hex[:8]}"
    docker(
        "run", "--detach", "--rm", "--init", "--name", name, "--label", "ingot=1",
        "--publish", f"127.0.0.1:{port}:9515", "--env", "HOME=/tmp", "--volume", f"{folder}:/pages:ro", image,
        "chromedriver", "--port=9515", "--allowed-ips=", "--allowed-origins=*",
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            _wait(client)
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": {"args": OPTIONS},
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            answer = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
            assert "sessionId" in answer, answer
            yield Browser(client, answer["sessionId"])
    finally:
        docker("rm", "--force", name)


def _wait(client: httpx.Client) -> None:
    """Wait until the driver answers."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if client.get("/status").json()["value"]["ready"]:
                return
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the browser's driver does not answer"
        time.sleep(0.2)
