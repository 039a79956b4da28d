"""Stock Firefox, driven over WebDriver BiDi, with its push service set to one of ours.

Only what the tests need of the protocol: tabs, scripts with or without a user's gesture, and real clicks on the
notification that Firefox shows, through its own windows ("chrome" scope).
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.sync.client import ClientConnection, connect

from push_server.embedded.process import free_port

PREFERENCES: dict[str, object] = {
    "dom.push.testing.allowInsecureServerURL": True,
    "dom.push.connection.enabled": True,
    "alerts.useSystemBackend": False,  # Firefox draws its notifications itself, so that they can be clicked
    "dom.push.retryBaseInterval": 200,  # ms before it looks again for a push service that was away
    "security.notification_enable_delay": 0,  # else a click on the permission prompt counts only after half a second
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.disabledForTesting": True,
    "remote.prefs.recommended": True,
}


class BidiError(RuntimeError):
    """The browser refused a command, or a script threw."""


class Firefox:
    """One headless Firefox on a profile directory; a context manager. Start again on the same profile to resume it."""

    def __init__(self, profile: Path, push_url: str) -> None:
        self.profile, self.push_url = profile, push_url
        self._process: subprocess.Popen[bytes] | None = None
        self._connection = ExitStack()
        self._socket: ClientConnection | None = None
        self._next = 0

    def __enter__(self) -> "Firefox":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the browser and open a session."""
        self.profile.mkdir(parents=True, exist_ok=True)
        preferences = PREFERENCES | {"dom.push.serverURL": self.push_url}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()]
        (self.profile / "user.js").write_text("".join(lines))
        port = free_port()
        argv = [
            shutil.which("firefox-esr") or "firefox", "--headless", "--no-remote", "--profile", str(self.profile),
            f"--remote-debugging-port={port}", "--remote-allow-system-access",
        ]  # fmt: skip
        environment = {**os.environ, "HOME": str(self.profile), "MOZ_CRASHREPORTER_DISABLE": "1"}
        self._process = subprocess.Popen(
            argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._socket = self._connect(f"ws://127.0.0.1:{port}/session")
        self.command("session.new", capabilities={})

    def stop(self) -> None:
        """Close the browser as a user does, so that the profile keeps its subscriptions."""
        if self._process is None:
            return
        try:
            self.command("browser.close")
            self._process.wait(15)
        except (BidiError, OSError, subprocess.TimeoutExpired, TimeoutError):
            os.killpg(self._process.pid, 9)
            self._process.wait(10)
        finally:
            self._connection.close()
            self._process = self._socket = None

    def command(self, method: str, **params: Any) -> Any:
        """Send one command and wait for its answer; events that come meanwhile are passed over."""
        assert self._socket is not None, "the browser is not running"
        self._next += 1
        self._socket.send(json.dumps({"id": self._next, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") != self._next:
                continue
            if answer["type"] == "error":
                raise BidiError(f"{method}: {answer['error']}: {answer['message']}")
            return answer["result"]

    def open(self, url: str) -> "Tab":
        """A new tab with that page, once it has loaded."""
        tab = Tab(self, self.command("browsingContext.create", type="tab")["context"])
        tab.navigate(url)
        return tab

    def tabs(self) -> list["Tab"]:
        """All open tabs."""
        return [Tab(self, context["context"]) for context in self.command("browsingContext.getTree")["contexts"]]

    def urls(self) -> list[str]:
        """The addresses of all open tabs."""
        return [context["url"] for context in self.command("browsingContext.getTree")["contexts"]]

    def allow_notifications(self, origin: str, state: str) -> None:
        """Set an origin's permission: granted, denied or prompt."""
        descriptor = {"name": "notifications"}
        self.command("permissions.setPermission", descriptor=descriptor, state=state, origin=origin)

    def click_notification(self) -> None:
        """Click the notification that is on the screen."""
        self._on_alert("#alertBox")

    def close_notification(self) -> None:
        """Click its close button."""
        self._on_alert(".close-icon")

    def answer_permission_prompt(self, *, allow: bool) -> None:
        """Click "Allow" or "Block" on the browser's own question about notifications."""
        button = "button" if allow else "secondaryButton"
        script = f"""(() => {{
            const question = window.PopupNotifications?.panel.firstElementChild;
            question?.{button}?.click();
            return Boolean(question?.{button});
        }})()"""

        def answer() -> bool:
            windows = [c for c in self._chrome() if c["url"].endswith("browser.xhtml")]
            return any(Tab(self, window["context"]).run(script) for window in windows)

        eventually(answer, "the browser's question")

    def _chrome(self) -> list[dict[str, Any]]:
        contexts: list[dict[str, Any]] = self.command("browsingContext.getTree", **{"moz:scope": "chrome"})["contexts"]
        return contexts

    def _on_alert(self, selector: str) -> None:
        def alert() -> str | None:
            found = [context["context"] for context in self._chrome() if "alert.xhtml" in context["url"]]
            return found[-1] if found else None

        context = eventually(alert, "a notification's window")
        script = f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element?.click();
            return Boolean(element);
        }})()"""
        eventually(lambda: Tab(self, context).run(script), selector)

    def _connect(self, url: str) -> ClientConnection:
        deadline = time.monotonic() + 60
        while True:
            try:
                return self._connection.enter_context(connect(url, max_size=None, open_timeout=5, proxy=None))
            except (OSError, TimeoutError):
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("Firefox did not start") from None
                time.sleep(0.1)


class Tab:
    """One tab."""

    def __init__(self, browser: Firefox, context: str) -> None:
        self.browser, self.context = browser, context

    def navigate(self, url: str) -> None:
        """Go to a page and wait until it has loaded."""
        self.browser.command("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def run(self, script: str, *, gesture: bool = False) -> Any:
        """The value of an expression in the page, awaited, as JSON; `gesture`: as if the user had just clicked."""
        result = self.browser.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify((await ({script})) ?? null))()",
            target={"context": self.context},
            awaitPromise=True,
            userActivation=gesture,
        )
        if result["type"] == "exception":
            raise BidiError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    def click(self, selector: str) -> None:
        """A real click on the first element that matches, shadow trees included."""
        script = f"""(() => {{
            const find = (root) => {{
                const hit = root.querySelector({json.dumps(selector)});
                if (hit) return hit;
                for (const node of root.querySelectorAll("*")) {{
                    const inner = node.shadowRoot && find(node.shadowRoot);
                    if (inner) return inner;
                }}
                return null;
            }};
            const element = find(document);
            element?.scrollIntoView({{block: "center", behavior: "instant"}});
            const box = element?.getBoundingClientRect();
            if (!box || !box.width) return null;
            return {{x: Math.floor(box.x + box.width / 2), y: Math.floor(box.y + box.height / 2)}};
        }})()"""
        point = eventually(lambda: self.run(script), selector)
        pointer = [
            {"type": "pointerMove", **point},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        actions = [{"type": "pointer", "id": "mouse", "actions": pointer}]
        self.browser.command("input.performActions", context=self.context, actions=actions)

    def close(self) -> None:
        """Close the tab."""
        self.browser.command("browsingContext.close", context=self.context)


def eventually(look: Callable[[], Any], what: str, timeout: float = 60) -> Any:
    """The first true value of `look()`, asked anew every 50 ms: a browser has no event for everything."""
    deadline = time.monotonic() + timeout
    while not (value := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(0.05)
    return value
