# SPDX-License-Identifier: Apache-2.0
"""Drives Debian's headless Chromium through chromedriver, which speaks JSON over HTTP (WebDriver).
"""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

FLAGS = ("--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader",
         "--enable-unsafe-swiftshader", "--disable-dev-shm-usage", "--no-first-run",
         "--hide-scrollbars", "--window-size=1340,1100", "--force-prefers-reduced-motion")
PROGRAMS = ("chromium", "chromedriver")


def missing() -> str:
    """Say which program is not here; "" when all are."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    return f"no {absent[0]} here: apt-get install chromium chromium-driver" if absent else ""


class Browser:
    """One browser with one window; `close` ends it."""

    def __init__(self, folder: Path, *flags: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._process = subprocess.Popen(
            [shutil.which("chromedriver"), f"--port={self._port}"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=folder)
        self._session = ""
        options = {"binary": shutil.which("chromium"),
                   "args": [*FLAGS, *flags, f"--user-data-dir={folder / 'profile'}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options,
                  "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self._wait_for_driver()
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"

    def _wait_for_driver(self, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                self._call("GET", "/status")
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def _call(self, method: str, path: str, content: dict | None = None) -> object:
        body = None if content is None else json.dumps(content).encode()
        address = f"http://127.0.0.1:{self._port}{path}"
        request = urllib.request.Request(address, body, method=method)
        request.add_header("Content-Type", "application/json")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=120) as answer:
            return json.loads(answer.read())["value"]

    def open(self, page: Path, ready: str = "document.body.dataset.state == 'ready'") -> None:
        """Open a file and wait until it says that it is ready."""
        self._call("POST", f"{self._session}/url", {"url": page.resolve().as_uri()})
        self.wait(ready)

    def wait(self, condition: str, seconds: float = 60.0) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"return {condition}"):
            if time.monotonic() > end:
                raise TimeoutError(f"{condition} never holds; {self.console()}")
            time.sleep(0.05)

    def run(self, script: str, *arguments: object) -> object:
        """Run a script's lines; return what it returns."""
        return self._call("POST", f"{self._session}/execute/sync",
                          {"script": script, "args": list(arguments)})

    def point(self, *actions: dict) -> None:
        """Move and press the mouse."""
        self._call("POST", f"{self._session}/actions", {"actions": [
            {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"},
             "actions": list(actions)}]})

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys one after another."""
        down = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        held = "\ue008"
        if shift:
            down = [{"type": "keyDown", "value": held}, *down, {"type": "keyUp", "value": held}]
        self._call("POST", f"{self._session}/actions", {"actions": [
            {"type": "key", "id": "keys", "actions": down}]})

    def command(self, name: str, **parameters: object) -> object:
        """Send a command of Chromium's own protocol."""
        return self._call("POST", f"{self._session}/goog/cdp/execute",
                          {"cmd": name, "params": parameters})

    def console(self) -> list[str]:
        """Take what the pages complained of since the last call."""
        return [entry["message"] for entry in self._log("browser") if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """Take the addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [event["params"]["request"]["url"] for event in events
                if event["method"] == "Network.requestWillBeSent"]

    def _log(self, kind: str) -> list[dict]:
        return self._call("POST", f"{self._session}/se/log", {"type": kind})

    def picture(self, whole: bool = False) -> bytes:
        """Take a PNG of the window, or of the whole page."""
        size = self.command("Page.getLayoutMetrics")["cssContentSize"] if whole else {}
        more = {"captureBeyondViewport": True, "clip": {**size, "scale": 1}} if whole else {}
        answer = self.command("Page.captureScreenshot", format="png", **more)
        return base64.b64decode(answer["data"])

    def close(self) -> None:
        """End the browser and its driver."""
        try:
            if self._session:
                self._call("DELETE", self._session)
        finally:
            self._process.terminate()
            self._process.wait(20)
