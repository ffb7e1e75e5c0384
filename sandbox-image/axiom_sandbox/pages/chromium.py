"""Takes a picture of one page with Chromium: the same page gives the same picture, as far as the page lets it.

The window's size, its fonts, its language and its time zone are set. The page's clock begins at a fixed moment and runs ahead while
nothing is being fetched; what moves is taken at its end; what would ask a person is answered No. One page, one browser, one profile.

The browser's own sandbox is off: it would need user namespaces, which a container does not give, and everything here is in one whose
walls are those of the browser (docs/adr/0039).
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from axiom_sandbox.pages.devtools import BrowserError, Devtools
from axiom_sandbox.pages.wire import Taken
from axiom_sandbox.protocol.pages import MOST_PIXELS, PROGRAMS, Form, Shot, Shown

BEGINNING = 1_767_225_600
"""The page's clock at the beginning, in seconds: 2026-01-01 00:00 UTC."""
SETTLING_MS = 5000
"""Milliseconds of the page's own clock that a page has to come to rest."""
_RESERVE_SECONDS = 2.0
"""Of the time that is given, so much is left for the picture itself."""
_RESTING_SECONDS = 2.0
"""A page that has loaded, and waits for an answer without end, is shown after so long."""
_THUMBNAIL = (320, 320)
_FONTS = Path(__file__).parent / "fonts.conf"
_FLAGS = (
    *("--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--remote-debugging-pipe"),
    *("--hide-scrollbars", "--force-color-profile=srgb", "--force-device-scale-factor=1", "--lang=en-US"),
    *("--font-render-hinting=none", "--disable-lcd-text", "--disable-skia-runtime-opts"),
    *("--disable-dev-shm-usage", "--disable-breakpad", "--disable-crash-reporter", "--noerrdialogs"),
    *("--disable-background-networking", "--disable-component-update", "--disable-default-apps"),
    *("--disable-extensions", "--disable-sync", "--disable-quic", "--disable-domain-reliability"),
    *("--no-first-run", "--no-default-browser-check", "--no-pings", "--mute-audio"),
    *("--password-store=basic", "--use-mock-keychain", "--disable-notifications"),
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    # Nothing but the loopback has a name or an address.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost , EXCLUDE [::1]",
    "--disable-features=Translate,MediaRouter,OptimizationHints,DialMediaRouteProvider,AcceptCHFrame",
)
_REST = """
for (const animation of document.getAnimations()) {
  try { animation.finish() } catch { animation.cancel() }
}
const still = document.createElement('style');
still.textContent = '* { caret-color: transparent !important; scroll-behavior: auto !important }';
document.documentElement.appendChild(still);
"""
_DOCUMENT, _CRASHED, _DIALOG = (
    "Network.responseReceived",
    "Inspector.targetCrashed",
    "Page.javascriptDialogOpening",
)
_COMMITTED, _LOADED, _OVER = (
    "Page.frameNavigated",
    "Page.loadEventFired",
    "Emulation.virtualTimeBudgetExpired",
)


class PageError(BrowserError):
    """The server does not show the page."""


def find_chromium() -> str:
    """Its path. Raises BrowserError."""
    for program in PROGRAMS:
        if found := shutil.which(program):
            return found
    raise BrowserError("there is no Chromium here; install the package chromium-headless-shell, or chromium")


def take(shot: Shot, program: str, scratch: Path, proxy: str = "") -> Taken:
    """The picture, or why there is none.

    Args:
        scratch: a folder for the browser's profile, which is removed.
        proxy: address of the SOCKS proxy that everything goes through, the loopback too; empty: none.
    """
    try:
        with _profile(scratch) as profile:
            command = (program, *_FLAGS, *_network(proxy), f"--user-data-dir={profile}")
            with Devtools(command, _environment(profile), shot.seconds) as browser:
                shown, picture = _photograph(browser, shot)
        return _developed(shot, shown, picture)
    except PageError as error:
        return Taken(Shown(error=str(error), refused=True))
    except BrowserError as error:
        return Taken(Shown(error=str(error)))


def _network(proxy: str) -> tuple[str, ...]:
    if not proxy:
        return ("--no-proxy-server",)
    return (f"--proxy-server={proxy}", "--proxy-bypass-list=<-loopback>")


def _environment(profile: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(profile),
        "TMPDIR": str(profile),
        "XDG_CACHE_HOME": str(profile),
        "XDG_CONFIG_HOME": str(profile),
        "FONTCONFIG_FILE": str(_FONTS),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


@contextmanager
def _profile(scratch: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="profile-", dir=scratch))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _photograph(browser: Devtools, shot: Shot) -> tuple[Shown, bytes]:
    """What is known of the page, and its picture as PNG. Raises BrowserError."""
    if shot.width * shot.height > MOST_PIXELS:
        raise BrowserError(f"a picture has at most {MOST_PIXELS} pixels")
    version = browser.call("Browser.getVersion").get("product", "")
    browser.call("Browser.setDownloadBehavior", behavior="deny")
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    page = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    browser.keep(
        (_DOCUMENT, _CRASHED, _COMMITTED, _LOADED, _OVER),
        {_DIALOG: ("Page.handleJavaScriptDialog", {"accept": False})},
    )
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        page,
        width=shot.width,
        height=shot.height,
        deviceScaleFactor=1,
        mobile=False,
    )
    browser.call(
        "Emulation.setEmulatedMedia",
        page,
        features=[
            {"name": "prefers-reduced-motion", "value": "reduce"},
            {"name": "prefers-color-scheme", "value": "light"},
        ],
    )
    browser.call("Emulation.setTimezoneOverride", page, timezoneId="UTC")
    browser.call("Page.enable", page)
    browser.call("Network.enable", page)
    browser.call("Inspector.enable", page)
    gone = browser.call("Page.navigate", page, url=f"http://127.0.0.1:{shot.port}{shot.path}")
    if problem := gone.get("errorText"):
        raise PageError(f"the page cannot be opened ({problem})")
    frame = gone["frameId"]
    settled = _settle(browser, page)
    world = browser.call("Page.createIsolatedWorld", page, frameId=frame)["executionContextId"]
    browser.call("Runtime.evaluate", page, contextId=world, expression=_REST)
    taken = browser.call("Page.captureScreenshot", page, format="png", optimizeForSpeed=True)
    shown = Shown(
        status=_status(browser, frame),
        settled=settled,
        browser=str(version),
        width=shot.width,
        height=shot.height,
    )
    return shown, base64.b64decode(taken["data"])


def _settle(browser: Devtools, page: str) -> bool:
    """Lets the page's clock run until it has loaded and had its time; whether it came to that. Raises BrowserError."""
    begun, loaded_at = False, 0.0
    while True:
        wanted = (
            (_CRASHED, _COMMITTED)
            if not begun
            else (_CRASHED, _OVER)
            if loaded_at
            else (_CRASHED, _LOADED, _OVER)
        )
        seconds = browser.seconds_left - _RESERVE_SECONDS
        if loaded_at:
            seconds = min(seconds, loaded_at + _RESTING_SECONDS - time.monotonic())
        match browser.wait(*wanted, seconds=seconds):
            case "":
                break
            case name if name == _CRASHED:
                raise BrowserError("the page made the browser crash")
            case name if name == _LOADED:
                loaded_at = time.monotonic()
            case _ if loaded_at:
                return True
            case _:
                browser.forget(_OVER)
                start = {} if begun else {"initialVirtualTime": BEGINNING}
                begun = True
                browser.call(
                    "Emulation.setVirtualTimePolicy",
                    page,
                    policy="pauseIfNetworkFetchesPending",
                    budget=SETTLING_MS,
                    **start,
                )
    try:
        browser.call("Page.stopLoading", page)
    except BrowserError as error:  # it has not even begun to show the page
        raise BrowserError("the browser took too long") from error
    browser.call("Emulation.setVirtualTimePolicy", page, policy="advance")
    return False


def _status(browser: Devtools, frame: str) -> int:
    """Of the document in this frame, the last."""
    found = 0
    for event in browser.events:
        said = event.get("params") or {}
        if event["method"] == _DOCUMENT and said.get("type") == "Document" and said.get("frameId") == frame:
            found = int(said.get("response", {}).get("status", 0))
    return found


def _developed(shot: Shot, shown: Shown, png: bytes) -> Taken:
    """The picture in the form that was asked for. Raises BrowserError."""
    try:
        picture = Image.open(io.BytesIO(png), formats=("PNG",)).convert("RGB")
    except (OSError, ValueError) as error:
        raise BrowserError(f"the browser's picture is none: {error}") from error
    if picture.size != (shot.width, shot.height):
        raise BrowserError(f"the picture has {picture.width}x{picture.height} pixels")
    match shot.form:
        case Form.PIXELS:
            return Taken(shown, picture.tobytes())
        case Form.WEBP:
            small = picture.copy()
            small.thumbnail(_THUMBNAIL)
            return Taken(shown, _webp(picture), _webp(small))


def _webp(picture: Image.Image) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "WEBP", lossless=True, quality=50, method=2)
    return sink.getvalue()
