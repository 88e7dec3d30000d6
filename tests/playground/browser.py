"""Chromium without a window, driven through its DevTools protocol over two pipes: no driver and no socket is needed."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGE = Path(__file__).parents[2] / "docs" / "playground" / "index.html"
ENGLISH = PAGE.as_uri() + "#en"
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --remote-debugging-pipe"
).split()
SECONDS = 120


class Browser:
    """One page in one browser.

    Attributes
    ----------
    events : list of dict
        What the browser has told unasked, in order: requests, exceptions, what the console says.
    """

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM
        ours, its = self._pipes()
        self._write, self._read, self._buffer = ours[1], ours[0], b""
        where = f'exec "$@" 3<&{its[0]} 4>&{its[1]}'  # Chromium looks for its pipes at 3 and 4
        command = ["bash", "-c", where, "bash", CHROMIUM, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        silent = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=silent, stderr=silent, pass_fds=its)
        for end in its:
            os.close(end)
        self.events: list[dict[str, Any]] = []
        self._count, self._session = 0, None
        target = self.call("Target.getTargets")["targetInfos"][0]["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Performance.enable", timeDomain="threadTicks")

    @staticmethod
    def _pipes() -> tuple[tuple[int, int], tuple[int, int]]:
        """(where we read, write), (where Chromium reads, writes); all above 4, so that none is written over."""
        import fcntl  # which Windows has not

        (there_in, here_out), (here_in, there_out) = os.pipe(), os.pipe()
        low = (here_in, here_out, there_in, there_out)
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
        for end in low:
            os.close(end)
        return (high[0], high[1]), (high[2], high[3])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to a command of the protocol."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next(self, deadline: float, what: str) -> dict[str, Any]:
        """The next message; what nobody has asked for is kept."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"Chromium says nothing to {what}"
            part = os.read(self._read, 1 << 20)
            assert part, f"Chromium went away at {what}"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        found = json.loads(message)
        if "method" in found:
            self.events.append(found)
        return found

    def open(self, url: str, width: int = 1280, height: int = 900) -> None:
        """Show a page, as wide as a desk's or a phone's, and wait until it is loaded."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        self.until(lambda: self.evaluate("document.readyState === 'complete' && location.href !== 'about:blank'"))

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, as JSON knows it."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def seconds(self) -> float:
        """Processor time that the page has taken."""
        return next(m["value"] for m in self.call("Performance.getMetrics")["metrics"] if m["name"] == "ThreadTime")

    def press(self, *keys: str) -> None:
        """Press keys, as a hand does: "Tab", "ArrowRight", " ", "Enter"."""
        for key in keys:
            text = {"Enter": "\r", " ": " "}.get(key, "")
            code = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
            parameters = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code[key]}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **parameters)
            self.call("Input.dispatchKeyEvent", type="keyUp", **parameters)

    def screenshot(self, path: Path) -> None:
        """The whole page, however long."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=self._whole())
        path.write_bytes(base64.b64decode(shot["data"]))

    def _whole(self) -> dict[str, float]:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}

    def close(self) -> None:
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        self._process.wait(SECONDS)
