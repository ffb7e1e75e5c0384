"""What the work cites can be read where it says, and says what it is cited for.

Pages are fetched outside, through the egress proxy, which reaches what the agent's class opens and no address inside; what
comes back is read here. Beside each page one is asked for that cannot exist: a site that answers both alike says nothing.

Pass: enough different pages are cited, enough of them can be read, each quotation beside a citation occurs at its page, and
the agent fetched each page itself. Fail: one of these does not hold, and nothing of ours is at fault. Inconclusive: a page could
not be asked for (no way out, no answer in time), holds no text in which a quotation could be looked for; or what is known
of the agent's own fetching does not suffice.
Evidence: for each page its addresses, status, title, digest, sizes, when it was fetched, what was wrong, which quotations were
found, and by which calls and bytes the agent is known to have fetched it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from axiom_sandbox.protocol.criteria import ResearchCriterion
from axiom_sandbox.protocol.errands import Errand, Fetched, FetchPage, NotDone
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.protocol.verdicts import Remark, Strength, Verdict
from axiom_sandbox.snapshots.paths import printable
from axiom_sandbox.verifying.citations import (
    MOST_QUOTES,
    Citation,
    Page,
    citations_in,
    fault_of,
    holds_quote,
    is_like,
    page_of,
    sibling_of,
)
from axiom_sandbox.verifying.globs import matches
from axiom_sandbox.verifying.judging import Judgement, Ran, Subject, Verifier
from axiom_sandbox.verifying.texts import clean

MOST_PAGES = 32
_LONGEST_FILE = 1_000_000
_SHOWN = 8
_GOES_ON = r"/?[\w%?&=~+-]|/?[.,:;@!$()*'][\w%?&=~+/-]"
"""What stands behind an address that is the beginning of a longer one."""


class ResearchVerifier(Verifier[ResearchCriterion]):
    """Fetches each cited page, and one beside it that cannot be."""

    strength = Strength.PROCESS

    def errands(self, spec: ResearchCriterion, subject: Subject) -> Sequence[Errand]:
        """First the pages; then, for those that look right, their siblings."""
        cited = _cited(spec, subject)
        if not cited or len(cited) > MOST_PAGES:
            return ()
        seconds, replies = parse_duration(spec.timeout).total_seconds(), subject.brief.replies
        wanted = [FetchPage(id=errand_id(one.url), url=one.url, seconds=seconds) for one in cited]
        for one in cited:
            reply = replies.get(errand_id(one.url))
            if isinstance(reply, Fetched) and not fault_of(page_of(reply)):
                sibling = sibling_of(reply.hops[-1].url, f"{subject.brief.fence}-no-such-page")
                wanted.append(
                    FetchPage(id=absent_id(one.url), url=sibling, seconds=seconds, max_bytes=512 * 1024)
                )
        return wanted

    def judge(self, spec: ResearchCriterion, subject: Subject, done: Sequence[Ran]) -> Judgement:
        """Page by page."""
        cited = _cited(spec, subject)
        if len(cited) < spec.min_citations:
            text = f"{len(cited)} different pages are cited, fewer than {spec.min_citations}."
            return Judgement(Verdict.FAIL, text, {"pages": [{"url": clean(one.url, 500)} for one in cited]})
        if len(cited) > MOST_PAGES:
            text = f"{len(cited)} different pages are cited, more than the {MOST_PAGES} that are looked at."
            return Judgement(Verdict.FAIL, text)
        wire = _bytes_by_host(subject, cited)
        looks = [_Look(spec, subject, one, wire).look() for one in cited]
        evidence = {"pages": [look.evidence for look in looks]}
        return _judgement(spec, looks, evidence)


def errand_id(url: str) -> str:
    """The errand that fetches a page."""
    return f"page-{hashlib.sha256(url.encode()).hexdigest()[:24]}"


def absent_id(url: str) -> str:
    """The errand that asks for what cannot be beside a page."""
    return f"absent-{errand_id(url)}"


class _Look:
    """What is known of one cited page."""

    def __init__(
        self, spec: ResearchCriterion, subject: Subject, cited: Citation, wire: Counter[str]
    ) -> None:
        self.spec, self.subject, self.cited, self.wire = spec, subject, cited, wire
        self.unreadable = ""
        """Why it cannot be read."""
        self.wrong: list[str] = []
        """What else does not hold."""
        self.unknown: list[str] = []
        self.evidence: dict[str, Any] = {"url": clean(cited.url, 1000)}

    def look(self) -> _Look:
        reply = self.subject.brief.replies.get(errand_id(self.cited.url))
        if not isinstance(reply, Fetched):
            why = reply.why if isinstance(reply, NotDone) else "it was not asked for"
            self.evidence["problem"] = clean(why, 500)
            if isinstance(reply, NotDone) and reply.refused:
                self.unreadable = why
            else:
                self.unknown.append(why)
            return self
        page = page_of(reply)
        self.unreadable = fault_of(page) or self._soft_fault(page)
        self._describe(reply, page)
        if not self.unreadable:
            if self.spec.quotes:
                self._quotes(reply, page)
            if self.spec.fetched:
                self._own_fetching()
        return self

    def _soft_fault(self, page: Page) -> str:
        beside = self.subject.brief.replies.get(absent_id(self.cited.url))
        if isinstance(beside, Fetched) and is_like(page, page_of(beside)):
            return "its site answers the same for a page that cannot exist"
        return ""

    def _describe(self, reply: Fetched, page: Page) -> None:
        content = base64.b64decode(reply.body)
        self.evidence |= {
            "hops": [{"url": clean(hop.url, 500), "status": hop.status} for hop in reply.hops],
            "title": clean(page.title, 200),
            "contentType": clean(reply.content_type, 100),
            "bytes": len(content),
            "wireBytes": reply.wire_bytes,
            "sha256": hashlib.sha256(content).hexdigest(),
            "fetchedMs": reply.at_ms,
            "problem": self.unreadable,
        }

    def _quotes(self, reply: Fetched, page: Page) -> None:
        found = []
        if len(self.cited.quotes) > MOST_QUOTES:
            self.wrong.append(f"it is quoted more than {MOST_QUOTES} times, and no more are looked for")
        for quote in self.cited.quotes[:MOST_QUOTES]:
            holds = holds_quote(page, quote)
            found.append({"quote": clean(quote, 300), "found": holds})
            if holds:
                continue
            shown = clean(quote, 120)
            if page.kind == "other" or reply.truncated:
                self.unknown.append(f"“{shown}” cannot be looked for in it, as it is no text, or too long")
            else:
                self.wrong.append(f"“{shown}” does not occur there")
        self.evidence["quotes"] = found

    def _own_fetching(self) -> None:
        conduct, reached = self.subject.conduct, self.subject.brief.reached
        if conduct is None or not conduct.speaks:
            self.unknown.append("nothing is known of the agent's tools, so not whether it fetched this page")
            return
        bare = _bare(self.cited.url)
        named = re.compile(rf"{re.escape(bare)}(?!{_GOES_ON})")
        calls = [use.seq for use in conduct.tools if use.ok and named.search(_bare(use.input))]
        host = urlsplit(self.cited.url).hostname or ""
        down = (reached or {}).get(host, 0)
        self.evidence |= {"calls": calls[:20], "hostBytes": down, "hostNeeds": self.wire[host]}
        if not calls and not (conduct.gaps or conduct.dropped):
            self.wrong.append("no call of a tool fetched it, so it was not read")
        elif not calls or reached is None or down < self.wire[host]:
            self.unknown.append(
                f"{down} bytes are known to have come from {host} to the agent, and its cited pages are {self.wire[host]}"
            )


def _judgement(spec: ResearchCriterion, looks: Sequence[_Look], evidence: dict[str, Any]) -> Judgement:
    unreadable = [look for look in looks if look.unreadable]
    unknown = [look for look in looks if look.unknown and not look.unreadable]
    wrong = [look for look in looks if look.wrong]
    resolved = len(looks) - len(unreadable)
    lines = [f"{look.cited.url}: {look.unreadable}" for look in unreadable]
    lines += [f"{look.cited.url}: {'; '.join(look.wrong)}" for look in wrong]
    remarks = tuple(
        Remark(path=clean(look.cited.url, 300), text=clean(look.unreadable or "; ".join(look.wrong), 300))
        for look in [*unreadable, *wrong]
    )
    if 100 * resolved < spec.min_resolved_percent * len(looks):
        head = f"{resolved} of {len(looks)} cited pages can be read, and {spec.min_resolved_percent}% must:"
        return Judgement(Verdict.FAIL, _text(head, lines), evidence, remarks)
    if wrong:
        return Judgement(Verdict.FAIL, _text("What is cited does not hold:", lines), evidence, remarks)
    if unknown:
        open_ones = [f"{look.cited.url}: {'; '.join(look.unknown)}" for look in unknown]
        return Judgement(
            Verdict.INCONCLUSIVE, _text("Not all that is cited could be checked:", open_ones), evidence
        )
    quotes = sum(len(look.cited.quotes) for look in looks) if spec.quotes else 0
    text = f"{resolved} of {len(looks)} cited pages can be read, and {quotes} quotations occur there."
    return Judgement(Verdict.PASS, text, evidence)


def _cited(spec: ResearchCriterion, subject: Subject) -> list[Citation]:
    found: dict[str, list[str]] = {}
    for text in _texts(spec, subject):
        for one in citations_in(text):
            found.setdefault(one.url, []).extend(one.quotes)
    return [Citation(url, tuple(dict.fromkeys(quotes))) for url, quotes in found.items()]


def _texts(spec: ResearchCriterion, subject: Subject) -> Iterator[str]:
    files = subject.candidate.files
    for path in sorted(files):
        if spec.files and matches(printable(path), spec.files):
            yield files[path][:_LONGEST_FILE].decode("utf-8", "replace")
    if spec.message:
        words = subject.conduct.words if subject.conduct else ()
        yield words[-1].text if words else subject.said


def _bytes_by_host(subject: Subject, cited: Sequence[Citation]) -> Counter[str]:
    """Host → bytes that its cited pages are on the wire, as they were fetched for us."""
    found = Counter[str]()
    for one in cited:
        reply = subject.brief.replies.get(errand_id(one.url))
        if isinstance(reply, Fetched):
            found[urlsplit(one.url).hostname or ""] += reply.wire_bytes
    return found


def _bare(text: str) -> str:
    """Addresses as they are compared: without their scheme, what is encoded decoded, no slash at the end."""
    return unquote(text.replace("\\/", "/")).replace("http://", "").replace("https://", "").rstrip("/")


def _text(head: str, lines: Sequence[str]) -> str:
    rest = [f"… and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return clean("\n".join([head, *lines[:_SHOWN], *rest]))
