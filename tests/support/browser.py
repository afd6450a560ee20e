"""A headless Chromium, driven over its own protocol through two pipes (https://chromedevtools.github.io/devtools-protocol).

Nothing but the standard library and a Chromium that is installed; `found()` is None where there is none.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import queue
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from support.waiting import GUARD

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-default-browser-check"),
    *("--disable-extensions", "--hide-scrollbars", "--mute-audio", "--no-proxy-server", "--remote-debugging-pipe"),
)

_MIDDLE = """(selector) => {
  const it = document.querySelector(selector);
  it.scrollIntoView({ block: 'nearest' });
  const box = it.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}"""


def found() -> str | None:
    """The program, `MLX_SERVE_CHROMIUM` before all others."""
    named = os.environ.get("MLX_SERVE_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


class BrowserError(Exception):
    """What the browser says is wrong with a command."""


class Browser:
    """One process; `page` opens a tab of a profile of its own."""

    def __init__(self) -> None:
        program = found()
        assert program is not None
        self._folder = tempfile.TemporaryDirectory(prefix="mlxs-chromium-", ignore_cleanup_errors=True)
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (commands, answers)]
        silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        places = [(os.POSIX_SPAWN_DUP2, end, 3 + index) for index, end in enumerate(ends)]
        self._pid = os.posix_spawn(
            program,
            [program, *FLAGS, f"--user-data-dir={self._folder.name}", "about:blank"],
            os.environ | {"HOME": self._folder.name},
            file_actions=[*silent, *places],
            setpgroup=0,
        )
        for end in (commands, answers, *ends):
            os.close(end)
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def page(self, url: str = "about:blank") -> Page:
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        made = self._pages[session] = Page(self, session, context)
        made.begin()
        if url != "about:blank":
            made.go(url)
        return made

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a command. Raises BrowserError."""
        answers: queue.Queue[dict[str, Any]] = queue.Queue()
        with self._lock:
            self._number += 1
            self._waiting[self._number] = answers
            command = {"id": self._number, "method": method, "params": parameters}
            if session is not None:
                command["sessionId"] = session
            data = json.dumps(command).encode() + b"\0"
            while data:
                data = data[os.write(self._commands, data) :]
        answer = answers.get(timeout=GUARD)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> None:
        rest = b""
        while data := os.read(self._answers, 1 << 16):
            *messages, rest = (rest + data).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._waiting.pop(message["id"]).put(message)
                elif page := self._pages.get(message.get("sessionId", "")):
                    page.events.append((message["method"], message["params"]))

    def close(self) -> None:
        with contextlib.suppress(BrowserError, queue.Empty, OSError):
            self.send("Browser.close")
        self._reader.join(GUARD)  # its end of the pipe closes with it
        if self._reader.is_alive():
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._reader.join()
        os.close(self._commands)
        os.close(self._answers)
        self._folder.cleanup()

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Page:
    """A tab. `events` are all that the browser tells of it, by name."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context
        self.events: list[tuple[str, dict[str, Any]]] = []

    def begin(self) -> None:
        for domain in ("Page", "Runtime", "Network", "Log", "Audits", "DOM"):
            self.send(f"{domain}.enable")
        self.size(1280, 800)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.send(method, self._session, **parameters)

    def close(self) -> None:
        self._browser.send("Target.disposeBrowserContext", browserContextId=self._context)

    def go(self, url: str) -> None:
        """Returns when the page and its scripts are there."""
        self.send("Page.navigate", url=url)
        self.wait(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression, of a promise what it brings. AssertionError for what it throws."""
        done = self._evaluate(script)
        assert "exceptionDetails" not in done, (script, done["exceptionDetails"])
        return done["result"].get("value")

    def wait(self, script: str) -> Any:
        """The value of an expression once that is true in JavaScript's sense; true for an element. What it throws
        before, for instance while a document is exchanged for another, does not count."""
        script = f"(async () => {{ const found = await ({script}); return found instanceof Node ? true : found; }})()"
        deadline, last = time.monotonic() + GUARD, ""
        while time.monotonic() < deadline:
            try:
                done = self._evaluate(script)
                last = str(done.get("exceptionDetails", ""))
                if not last and done["result"].get("value"):
                    return done["result"]["value"]
            except BrowserError as error:
                last = str(error)
            time.sleep(0.02)
        raise AssertionError(f"{script} did not become true; {last} the page says: {self.text()}")

    def _evaluate(self, script: str) -> dict[str, Any]:
        kept = {"allowUnsafeEvalBlockedByCSP": False}  # as a script of the page's own would be
        how = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        return self.send("Runtime.evaluate", expression=script, **how, **kept)

    def text(self, selector: str = "body") -> str:
        """As it is seen."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def seen(self, selector: str) -> bool:
        return bool(self.run(f"document.querySelector({json.dumps(selector)})?.checkVisibility() ?? false"))

    def click(self, selector: str) -> None:
        """With the mouse, where the element is."""
        box = self.run(f"({_MIDDLE})({json.dumps(selector)})")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def write(self, text: str) -> None:
        """Into what has the focus."""
        self.send("Input.insertText", text=text)

    def press(self, key: str, *, code: int = 0, text: str = "", shift: bool = False) -> None:
        codes = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), "/": (191, "/")}
        number, letter = codes.get(key, (code, text))
        about = {"key": key, "windowsVirtualKeyCode": number, "modifiers": 8 if shift else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=letter, **about)
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def choose_files(self, selector: str, *paths: Path) -> None:
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        scale = 2 if phone else 1
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )

    def dark(self, on: bool = True) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def headers(self, **headers: str) -> None:
        """Sent with everything from now on, as a proxy would add them."""
        self.send(
            "Network.setExtraHTTPHeaders", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def named(self, *methods: str) -> Iterator[dict[str, Any]]:
        return (about for method, about in list(self.events) if method in methods)

    def requested(self) -> list[str]:
        """The URLs of everything that it asked for, but what is in the page itself."""
        urls = [about["request"]["url"] for about in self.named("Network.requestWillBeSent")]
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """What the browser reports of it: errors of scripts, breaches of its policy, deprecations."""
        thrown = [str(about["exceptionDetails"]) for about in self.named("Runtime.exceptionThrown")]
        logged = [
            f"{about['entry']['text']} {about['entry'].get('url', '')}"
            for about in self.named("Log.entryAdded")
            if about["entry"]["level"] in ("error", "warning")
        ]
        printed = [str(about["args"]) for about in self.named("Runtime.consoleAPICalled") if about["type"] == "error"]
        issues = [
            about["issue"]["code"] for about in self.named("Audits.issueAdded") if "Policy" in about["issue"]["code"]
        ]
        return [*thrown, *logged, *printed, *issues]
