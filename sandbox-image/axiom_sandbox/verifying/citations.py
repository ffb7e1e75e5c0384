"""Citations and quotations in a text, and what a fetched page is: an article, or a wall before it. Pure.

A citation is an address in the text: bare, in a link, or behind a reference (`[1]`, `[^1]`) that the text resolves. A quotation
is what stands in double quotes, or in a block that begins with `>`; it belongs to the next address of its paragraph, or else
to the one before it. Only quotations of some length are looked for.
"""

from __future__ import annotations

import base64
import codecs
import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urlsplit, urlunsplit

from axiom_sandbox.protocol.errands import Fetched

SHORTEST_QUOTE = 20
MOST_QUOTES = 64
"""Quotations of one page that are looked for; more are refused."""
SHORT_PART = 20
_MOST_BETWEEN = 400
"""Characters that an ellipsis leaves out before a part shorter than SHORT_PART: else words from all over a page would be one."""
_MOST_BEGINNINGS = 10_000
_LONGEST_TEXT = 2_000_000
_ADDRESS = re.compile(r"https?://[^\s<>\"'`\]\[{}|\\^“”]+", re.IGNORECASE)
_DEFINITION = re.compile(
    r"^[ \t]*\[(\^?[^\]\n]{1,80})\]:[ \t]*<?(https?://\S+?)>?(?:[ \t]+.*)?$", re.MULTILINE | re.IGNORECASE
)
_REFERENCE = re.compile(r"\[(\^?[^\]\n]{1,80})\](?!\(|:)")
_QUOTED = re.compile(r"[“\"]([^“”\"]+)[”\"]|„([^„“”]+)[“”]|«([^«»]+)»")
"""Of any length, so that what stands between two short ones is none."""
_ELLIPSIS = re.compile(r"\s*(?:\[?…\]?|\[?\.\.\.\]?)\s*")
_SPACE = re.compile(r"\s+")
_LOGIN_PATH = re.compile(
    r"/(log-?in|sign-?in|sso|auth|oauth2?|accounts?/login|session/new|users/sign_in)(/|\?|$|\.)",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"\b(404|page (was )?not found|not found|(page|article|document) (does not|doesn[’']t|no longer) exists?|no longer available"
    r"|we can[’']t find (that|the) page|nothing (was )?found)\b",
    re.IGNORECASE,
)
_PAYWALL = re.compile(
    r"(subscribe (now )?to (continue|read|keep reading)|subscribers? only|(this|the) (article|content|story) is (only )?"
    r"(for|available to) (subscribers|members)|already a subscriber\?|to read the full (article|story)|"
    r"purchase (this )?(article|access)|buy (this )?article|create (a free|an) account to (continue|read))",
    re.IGNORECASE,
)
_NOT_FREE = re.compile(r"isAccessibleForFree\"?\s*:\s*\"?false", re.IGNORECASE)
_PAYWALL_CLASS = re.compile(
    r"class\s*=\s*[\"'][^\"']*\b(paywall|piano-offer|subscription-wall|meteredContent)\b", re.IGNORECASE
)
_SHORT_TEXT = 3_000
_FLAT = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "\u00ad": None, "\u200b": None}
)


@dataclass(frozen=True)
class Citation:
    """A page that is cited, and what is quoted from it."""

    url: str
    quotes: tuple[str, ...] = ()


def citations_in(text: str) -> list[Citation]:
    """Each page once, in the order in which the text names them."""
    text = text.replace("\r\n", "\n")
    known = {name.lower(): tidy(url) for name, url in _DEFINITION.findall(text)}
    found: dict[str, list[str]] = {}
    for paragraph in re.split(r"\n[ \t]*\n", _DEFINITION.sub("", text)):
        _take_paragraph(paragraph, known, found)
    for url in known.values():
        found.setdefault(url, [])
    return [Citation(url, tuple(quotes)) for url, quotes in found.items()]


def _take_paragraph(paragraph: str, known: dict[str, str], found: dict[str, list[str]]) -> None:
    flat = re.sub(r"^[ \t]*>[ \t]?", "", paragraph, flags=re.MULTILINE)
    places = [(match.start(), tidy(match.group())) for match in _ADDRESS.finditer(flat)]
    places += [
        (match.start(), known[match[1].lower()])
        for match in _REFERENCE.finditer(flat)
        if match[1].lower() in known
    ]
    places = sorted(place for place in places if place[1])
    for _, url in places:
        found.setdefault(url, [])
    if not places:
        return
    joined = _SPACE.sub(" ", flat)
    named = [next(filter(None, match.groups())) for match in _QUOTED.finditer(joined)]
    quotes = [(_place_of(one, flat), one) for one in named if len(one) >= SHORTEST_QUOTE]
    block = "\n".join(
        line.lstrip()[1:].strip() for line in paragraph.splitlines() if line.lstrip().startswith(">")
    )
    bare = _SPACE.sub(" ", _ADDRESS.sub("", block)).strip(" -—–()[]")
    if len(bare) >= SHORTEST_QUOTE and not quotes:
        quotes.append((0, bare))
    for at, quote in quotes:
        after = [url for place, url in places if place >= at]
        found[after[0] if after else places[-1][1]].append(quote)


def _place_of(quote: str, text: str) -> int:
    """Where a quotation stands in a text whose lines may break in it."""
    found = re.search(r"\s+".join(map(re.escape, quote.split()[:6])), text)
    return found.start() if found else 0


def tidy(url: str) -> str:
    """An address without what a sentence puts behind it, and without its fragment."""
    url = html.unescape(url)
    while url and (url[-1] in ".,;:!?*_'’" or (url[-1] == ")" and url.count(")") > url.count("("))):
        url = url[:-1]
    try:
        parts = urlsplit(url)
    except ValueError:  # a name that is none
        return ""
    if not parts.hostname:
        return ""
    port = f":{parts.port}" if _has_port(url) else ""
    return urlunsplit((parts.scheme.lower(), f"{parts.hostname}{port}", parts.path or "/", parts.query, ""))


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port is not None
    except ValueError:
        return False


@dataclass(frozen=True)
class Page:
    """A page as a reader sees it."""

    status: int
    kind: str
    """`html`, `text` or `other`."""
    title: str
    text: str
    markup: str
    asks_password: bool
    hops: tuple[str, ...]


def page_of(fetched: Fetched) -> Page:
    """What came back, read."""
    body = base64.b64decode(fetched.body)
    kind = fetched.content_type.partition(";")[0].strip().lower()
    hops = tuple(hop.url for hop in fetched.hops)
    status = fetched.hops[-1].status if fetched.hops else 0
    markup = body.decode(_charset(fetched.content_type, body), "replace")
    if "html" in kind or (not kind and "<html" in markup[:2000].lower()):
        reader = _Reader()
        reader.feed(markup[:_LONGEST_TEXT])
        reader.close()
        return Page(
            status,
            "html",
            flat(" ".join(reader.title))[:300],
            flat(" ".join(reader.text)),
            markup,
            reader.asks,
            hops,
        )
    if kind.startswith("text/") or kind in ("application/json", "application/xml"):
        return Page(status, "text", "", flat(markup[:_LONGEST_TEXT]), "", False, hops)
    return Page(status, "other", "", "", "", False, hops)


def fault_of(page: Page) -> str:
    """Why a page is none that can be read; empty if it can."""
    if page.status != 200:
        return f"its status is {page.status}"
    if _led_to_login(page):
        return "it leads to a page to log in"
    if page.kind == "html" and not page.title:
        return "it has no title"
    heading = page.title if page.kind == "html" else ""
    if _MISSING.search(heading) or (len(page.text) < 600 and _MISSING.search(page.text)):
        return "it says that there is no such page, though its status is 200"
    if len(page.hops) > 1 and _is_root(page.hops[-1]) and not _is_root(page.hops[0]):
        return "it leads to the site's first page"
    walled = _NOT_FREE.search(page.markup) or _PAYWALL_CLASS.search(page.markup)
    if walled or (len(page.text) < _SHORT_TEXT and _PAYWALL.search(page.text)):
        return "it is behind a wall for subscribers"
    if page.kind != "other" and not page.text:
        return "it is empty"
    return ""


def is_like(page: Page, other: Page) -> bool:
    """Whether two pages of a site say the same: then the one that cannot exist tells that neither does."""
    if other.status != 200:
        return False
    first, second = (set(_shingles(one.text)) for one in (page, other))
    if not first or not second:
        return page.text == other.text
    return len(first & second) >= 0.9 * max(len(first), len(second))


def sibling_of(url: str, name: str) -> str:
    """An address beside a page where nothing can be."""
    parts = urlsplit(url)
    folder = parts.path.rpartition("/")[0]
    return urlunsplit((parts.scheme, parts.netloc, f"{folder}/{name}", "", ""))


def holds_quote(page: Page, quote: str) -> bool:
    """Whether the page says it: but for spaces, kinds of quotes and dashes, and what an ellipsis leaves out."""
    parts = [wanted for part in _ELLIPSIS.split(quote) if (wanted := flat(part).strip(" .,;:"))]
    at = page.text.find(parts[0]) if parts else -1
    for _ in range(_MOST_BEGINNINGS):
        if at < 0:
            break
        goes_on = _goes_on(page.text, at + len(parts[0]), parts[1:])
        if goes_on is not None:
            return goes_on
        at = page.text.find(parts[0], at + 1)
    return not parts


def _goes_on(text: str, at: int, parts: Sequence[str]) -> bool | None:
    """None: not from here, but perhaps from a later beginning."""
    for wanted in parts:
        is_long = len(wanted) >= SHORT_PART
        at = text.find(wanted, at, len(text) if is_long else at + _MOST_BETWEEN + len(wanted))
        if at < 0:
            return False if is_long else None
        at += len(wanted)
    return True


def flat(text: str) -> str:
    """Text as it is compared."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).translate(_FLAT)).strip()


def _shingles(text: str) -> list[str]:
    words = text.split()[:5_000]
    return [" ".join(words[at : at + 4]) for at in range(max(len(words) - 3, 1))] if words else []


def _led_to_login(page: Page) -> bool:
    first, last = page.hops[0], page.hops[-1]
    moved = (
        last != first
        and _LOGIN_PATH.search(urlsplit(last).path)
        and not _LOGIN_PATH.search(urlsplit(first).path)
    )
    return bool(moved) or (page.asks_password and len(page.text) < _SHORT_TEXT)


def _is_root(url: str) -> bool:
    parts = urlsplit(url)
    return parts.path in ("", "/") and not parts.query


def _charset(content_type: str, body: bytes) -> str:
    named = re.search(r"charset=[\"']?([A-Za-z0-9_-]+)", content_type) or re.search(
        r"<meta[^>]+charset=[\"']?([A-Za-z0-9_-]+)", body[:2048].decode("ascii", "replace"), re.IGNORECASE
    )
    name = named[1] if named else "utf-8"
    try:
        codecs.lookup(name)
    except LookupError:
        return "utf-8"
    return name


class _Reader(HTMLParser):
    """Title and visible text."""

    _HIDDEN = frozenset({"script", "style", "noscript", "template", "svg"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.text: list[str] = []
        self.asks = False
        self._inside: list[str] = []
        self._titled = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._HIDDEN or tag == "title":
            self._inside.append(tag)
        if tag == "input" and ("type", "password") in [
            (name, (value or "").lower()) for name, value in attrs
        ]:
            self.asks = True

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            while self._inside.pop() != tag:
                pass
            self._titled = self._titled or tag == "title"

    def handle_data(self, data: str) -> None:
        inside = self._inside[-1] if self._inside else ""
        if inside == "title" and not self._titled:
            self.title.append(data)
        elif not inside:
            self.text.append(data)
