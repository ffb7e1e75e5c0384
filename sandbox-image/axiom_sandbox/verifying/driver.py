"""The driver of a verification: fills the clean room, lets jobs run there, and records what was decided.

It decides nothing itself. Runs on the base come before any code of the agent has run; the room's tree is emptied and
filled again before every run, when every process of the candidate is dead.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from axiom_sandbox.protocol.changes import CandidateSource, Finding
from axiom_sandbox.protocol.channel import Verification
from axiom_sandbox.protocol.conduct import Conduct
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.errands import Errand, Fetched, FetchPage, NotDone, Reply, Seat, Vendor
from axiom_sandbox.protocol.events import (
    ClaimCompared,
    Consulted,
    CriterionChecked,
    Event,
    Gap,
    ProcessRan,
    Screenshot,
    Signal,
    VerdictReached,
)
from axiom_sandbox.protocol.pictures import UNMASKED, PictureReason
from axiom_sandbox.protocol.verdicts import CriterionResult, Verdict, combine
from axiom_sandbox.secrets.scanning import Scanner
from axiom_sandbox.signals.injections import Detector
from axiom_sandbox.signals.sentry import Sentry
from axiom_sandbox.snapshots import SnapshotError, Tree, apply_changes, clear, unpack
from axiom_sandbox.snapshots.captures import applied
from axiom_sandbox.verifying.claims import compare, disagreements
from axiom_sandbox.verifying.filling import DirectoryFiles, altered, fill
from axiom_sandbox.verifying.hiding import overlaid, take_hidden
from axiom_sandbox.verifying.judging import (
    Brief,
    Hidden,
    Judgement,
    Picture,
    Ran,
    Run,
    Side,
    Source,
    Subject,
    Verifier,
)
from axiom_sandbox.verifying.messengers import Messenger
from axiom_sandbox.verifying.registry import verifier_of
from axiom_sandbox.verifying.rooms import Room, RoomError, place_of
from axiom_sandbox.verifying.texts import clean, clean_bytes

Record = Callable[[Event], Awaitable[None]]
Keep = Callable[[Mapping[str, bytes | Path]], Awaitable[tuple[str, ...]]]
"""Keeps pieces of evidence; the digest of each."""

_ENTROPY_BYTES = 64
_MAX_REMARKS = 500
_ERRANDS_AT_ONCE = 4


@dataclass(frozen=True)
class Consulting:
    """Help from outside."""

    messenger: Messenger | None = None
    prompt: str = ""
    judges: tuple[Seat, ...] = ()
    agent_vendor: Vendor | None = None
    reached: Mapping[str, int] | None = None


async def verify(
    room: Room,
    base_archive: Path,
    changes_archive: Path,
    criteria: Sequence[Criterion],
    round: int,
    scratch: Path,
    record: Record,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
    candidate: CandidateSource = CandidateSource.WORKSPACE,
    said: str = "",
    hidden: Mapping[str, Path] | None = None,
    conduct: Conduct | None = None,
    consulting: Consulting | None = None,
    keep: Keep | None = None,
) -> Verification:
    """Decides every criterion on base plus changes.

    Args:
        round: the agent's round that is judged, for the record.
        scratch: a directory of ours that no candidate sees; it is emptied first.
        record: makes an event durable.
        entropy: n → n random bytes, for nonces and orders.
        candidate: where the changes come from.
        said: the agent's last words.
        hidden: name of a criterion with hidden tests → the folder or the archive that holds them.
        conduct: what the agent did.
        keep: keeps pictures that are evidence; None: they are not kept.
        consulting: who does errands outside, and what criteria with such errands are told.

    A room or an archive that cannot be used gives Inconclusive, never an exception.
    """
    try:
        desk = await asyncio.to_thread(
            _lay_out, base_archive, changes_archive, scratch, candidate, said, conduct
        )
    except (SnapshotError, OSError) as error:
        message = clean(f"Base and changes could not be put together: {error}")
        judged = [Judgement(Verdict.INCONCLUSIVE, message)] * len(criteria)
        return await _told(criteria, judged, None, round, record, keep)
    changes = desk.subject.changes
    if candidate is CandidateSource.MESSAGE and not changes.changes:
        judged = [Judgement(Verdict.FAIL, no_code(changes.findings))] * len(criteria)
    else:
        cases = [
            _Case(
                *verifier_of(criterion),
                await asyncio.to_thread(_own_desk, desk, criterion, hidden or {}, scratch),
            )
            for criterion in criteria
        ]
        session = _Session(room, record, entropy)
        await session.run_all(cases)
        judged = await _Bench(criteria, cases, consulting or Consulting(), record, round, entropy).judge()
    return await _told(criteria, judged, desk.subject, round, record, keep)


def no_code(findings: Sequence[Finding]) -> str:
    """What an agent is told whose message is its work, and holds none. Pure."""
    lines = [
        "Your final message holds no code that could be taken over as a change, and what you wrote elsewhere does not count.",
        *(f"{finding.path or 'It'} {finding.reason}." for finding in findings[:5]),
        "Give each file whole, in a fenced block of its own that names it: ```python src/leap.py",
    ]
    return clean("\n".join(lines))


async def _told(
    criteria: Sequence[Criterion],
    judged: Sequence[Judgement],
    subject: Subject | None,
    round: int,
    record: Record,
    keep: Keep | None,
) -> Verification:
    """Records what each criterion came to, and all of them together."""
    results = tuple(map(_result, criteria, judged))
    for result, judgement in zip(results, judged, strict=True):
        if keep:
            await _keep_pictures(result.name, judgement.pictures, round, keep, record)
        await record(
            CriterionChecked(
                round=round,
                result=result,
                evidence=judgement.evidence,
                remarks=judgement.remarks[:_MAX_REMARKS],
            )
        )
    compared = compare(subject, results) if subject else ()
    if compared:
        await record(ClaimCompared(round=round, statements=compared))
    verdict = combine(results)
    await record(VerdictReached(round=round, verdict=verdict))
    return Verification(verdict=verdict, results=results, disagreements=disagreements(compared))


async def _keep_pictures(
    criterion: str, pictures: Sequence[Picture], round: int, keep: Keep, record: Record
) -> None:
    for picture in pictures:
        path = f"{criterion}/{picture.name}.png"
        try:
            [digest] = await keep({UNMASKED: picture.png})
        except OSError as error:
            reason = f"{path} cannot be kept: {error}"
            await record(Gap(what="screenshot", start=0, end=0, size=len(picture.png), reason=reason))
            continue
        await record(
            Screenshot(
                round=round,
                why=(PictureReason.PROBE,),
                digest=digest,
                size=len(picture.png),
                media_type="image/png",
                width=picture.width,
                height=picture.height,
                path=path,
            )
        )


@dataclass(frozen=True)
class _Desk:
    """Base and candidate, laid out where only we can write."""

    subject: Subject
    sides: dict[Source, DirectoryFiles]


@dataclass
class _Case:
    """One criterion on its way to a judgement."""

    verifier: Verifier[Any]
    spec: Any
    desk: _Desk
    done: list[Ran] = field(default_factory=list)
    failure: str = ""
    """Why the room could not run what was prepared."""

    def judge(self) -> Judgement:
        if self.failure:
            return Judgement(Verdict.INCONCLUSIVE, clean(f"The clean room failed: {self.failure}"))
        return self.verifier.judge(self.spec, self.desk.subject, self.done)


@dataclass
class _Session:
    """The runs of one verification."""

    room: Room
    record: Record
    entropy: Callable[[int], bytes]
    known: dict[str, Ran] = field(default_factory=dict)

    async def run_all(self, cases: Sequence[_Case]) -> None:
        """First what can run before any code of the agent has, then the rest, in the order of the criteria."""
        for only_reusable in (True, False):
            for case in cases:
                await self._advance(case, only_reusable=only_reusable)

    async def _advance(self, case: _Case, *, only_reusable: bool) -> None:
        try:
            for run in self._runs(case):
                if only_reusable and not run.reusable:
                    return
                case.done.append(self.known.get(run.reusable) or await self._carry_out(run, case.desk))
        except RoomError as error:
            case.failure = str(error)

    def _runs(self, case: _Case) -> Iterator[Run]:
        place, subject = place_of(self.room), case.desk.subject
        while not case.failure:
            run = case.verifier.prepare(case.spec, subject, place, case.done, self.entropy(_ENTROPY_BYTES))
            if run is None:
                return
            yield run

    async def _carry_out(self, run: Run, desk: _Desk) -> Ran:
        await asyncio.to_thread(fill, self.room.tree, run.layout, desk.sides, run.over)
        outcome = await self.room.run(run.job)
        base = desk.subject.base.tree
        changed = await asyncio.to_thread(altered, self.room.tree, base, run.guard) if run.guard else ()
        ran = Ran(run, outcome, changed)
        if run.reusable:
            self.known[run.reusable] = ran
        await self.record(_event(ran))
        return ran


@dataclass
class _Bench:
    """The judging of one verification: errands are done, and what comes last is told what the others came to."""

    criteria: Sequence[Criterion]
    cases: Sequence[_Case]
    consulting: Consulting
    record: Record
    round: int
    entropy: Callable[[int], bytes]
    sentry: Sentry | None = None
    """Looks through pages; there is none before there is one."""

    async def judge(self) -> list[Judgement]:
        """In the order of the criteria."""
        found: dict[int, Judgement] = {}
        for last in (False, True):
            others = tuple(_result(self.criteria[at], one) for at, one in sorted(found.items()))
            for at, case in enumerate(self.cases):
                if case.verifier.comes_last is last:
                    brief = Brief(
                        prompt=self.consulting.prompt,
                        judges=self.consulting.judges,
                        agent_vendor=self.consulting.agent_vendor,
                        reached=self.consulting.reached,
                        fence=self.entropy(12).hex(),
                        criteria=tuple(self.criteria),
                        others=others,
                    )
                    await self._consult(case, brief)
                    found[at] = await asyncio.to_thread(case.judge)
        return [found[at] for at in range(len(self.cases))]

    async def _consult(self, case: _Case, brief: Brief) -> None:
        replies: dict[str, Reply] = {}
        while not case.failure:
            known = replace(brief, replies=dict(replies))
            case.desk = replace(case.desk, subject=replace(case.desk.subject, brief=known))
            wanted = await asyncio.to_thread(case.verifier.errands, case.spec, case.desk.subject)
            new = [errand for errand in wanted if errand.id not in replies]
            if not new:
                return
            at_once = asyncio.Semaphore(_ERRANDS_AT_ONCE)
            for errand, reply in zip(
                new, await asyncio.gather(*(self._send(errand, at_once) for errand in new)), strict=True
            ):
                replies[errand.id] = reply
                await self.record(consulted(self.round, errand, reply))
                for signal in await asyncio.to_thread(self._noticed, errand, reply):
                    await self.record(signal)

    def _noticed(self, errand: Errand, reply: Reply) -> list[Signal]:
        if not isinstance(errand, FetchPage) or not isinstance(reply, Fetched):
            return []
        if self.sentry is None:
            self.sentry = Sentry(Scanner(), Detector())
        text = base64.b64decode(reply.body).decode(errors="replace")
        return self.sentry.look_at_page(errand.url, text, self.round)

    async def _send(self, errand: Errand, at_once: asyncio.Semaphore) -> Reply:
        messenger = self.consulting.messenger
        if messenger is None:
            return NotDone(why="this verification has nobody to send outside")
        async with at_once:
            return await messenger.send(errand)


def consulted(round: int, errand: Errand, reply: Reply) -> Consulted:
    """The record of an errand: what went out in full, what came back by its digest or its words. Pure."""
    body = reply.model_dump(mode="json")
    if isinstance(reply, Fetched):
        content = base64.b64decode(body.pop("body"))
        body |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return Consulted(round=round, errand=errand.model_dump(mode="json"), reply=body)


def _lay_out(
    base_archive: Path,
    changes_archive: Path,
    scratch: Path,
    candidate: CandidateSource,
    said: str,
    conduct: Conduct | None,
) -> _Desk:
    scratch.mkdir(parents=True, exist_ok=True)
    clear(scratch)
    roots = {Source.BASE: scratch / "base", Source.CANDIDATE: scratch / "candidate"}
    base = unpack(base_archive, roots[Source.BASE])
    unpack(base_archive, roots[Source.CANDIDATE])
    changes = apply_changes(changes_archive, roots[Source.CANDIDATE])
    if changes.base != base.digest:
        raise SnapshotError("the changes were captured against another base")
    trees: dict[Source, Tree] = {Source.BASE: base, Source.CANDIDATE: applied(base, changes)}
    sides = {source: DirectoryFiles(tree, roots[source]) for source, tree in trees.items()}
    found = {source: Side(trees[source], sides[source]) for source in Source}
    subject = Subject(found[Source.BASE], found[Source.CANDIDATE], changes, candidate, said, conduct)
    return _Desk(subject, sides)


def _own_desk(desk: _Desk, criterion: Criterion, hidden: Mapping[str, Path], scratch: Path) -> _Desk:
    """The desk, with what the criterion brings along laid over the base."""
    wanted = criterion.brings
    if wanted is None:
        return desk
    try:
        over = take_hidden(wanted, hidden.get(criterion.name), scratch / f"hidden-{criterion.name}")
    except (SnapshotError, OSError) as error:
        problem = f"criteria[{criterion.name}].{criterion.bringing_field}: {wanted.source}: {error}"
        return replace(desk, subject=replace(desk.subject, hidden=Hidden(problem=problem)))
    found = desk.sides[Source.BASE]
    base = DirectoryFiles(overlaid(found.tree, over.tree), found.root, over)
    known = Hidden(frozenset(over.tree.entries), over.tree.digest)
    subject = replace(desk.subject, base=Side(base.tree, base), hidden=known)
    return _Desk(subject, desk.sides | {Source.BASE: base})


def _result(criterion: Criterion, judgement: Judgement) -> CriterionResult:
    return CriterionResult(
        name=criterion.name,
        type=criterion.type,
        enforcement=criterion.enforcement,
        verdict=judgement.verdict,
        message=judgement.message,
        strength=judgement.strength or verifier_of(criterion)[0].strength,
    )


def _event(ran: Ran) -> ProcessRan:
    outcome = ran.outcome
    return ProcessRan(
        purpose=ran.run.job.purpose,
        argv=tuple(clean(argument, 500) for argument in ran.run.job.argv),
        code=outcome.code,
        signal=outcome.signal,
        timed_out=outcome.timed_out,
        duration_ms=round(outcome.duration * 1000),
        output_tail="" if ran.run.discreet else clean_bytes(outcome.output, 4000),
    )
