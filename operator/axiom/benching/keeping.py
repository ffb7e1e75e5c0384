"""What a person decided on a task, kept beside its evidence: the decision itself, and a labelled case for each judge.

The outcome is written once and says what was found; decisions come later, perhaps several. A case holds what the judge was
shown, code included, so it lies with its task's evidence, under the same key of the namespace, and goes with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from io import BytesIO

from axiom.api.agenttask import AgentTask, Decision, ReviewStatus
from axiom.benching.cases import Case, CaseError, KeptCase, Label, case_of, kept_case
from axiom.evidence.reviews import encode_review
from axiom.evidence.segments import Segment, unpack
from axiom.storage.ciphers import UnreadableError
from axiom.storage.keys import check_key, namespace_prefix, review_key, task_prefix, times_part
from axiom.storage.store import ConflictError, MissingError, ObjectStore
from axiom_sandbox.ledger.records import Record, decode
from axiom_sandbox.protocol.errands import Seat
from axiom_sandbox.protocol.events import Consulted

_LABELS = {Decision.ACCEPT: Label.PASS, Decision.REJECT: Label.FAIL}
_CASE = re.compile(r"tasks/[^/]+/[^/]+/cases/[^/]+\.case\.json")


async def keep_decision(store: ObjectStore, task: AgentTask) -> int:
    """Stores the decision in the task's status, and what judges were shown as cases; returns how many are new.

    The decision is put last: where it is, so are its cases. Raises StorageError.
    """
    review = task.status.review
    if review is None or await store.exists(review_key(task.namespace, task.uid, review.time)):
        return 0
    cases = [case async for case in _cases(store, task, review)]
    for case in cases:
        name = f"{times_part(review.time)}-{case.name.rpartition('/')[2]}.case.json"
        key = check_key(f"{task_prefix(task.namespace, task.uid)}cases/{name}")
        await _put(store, key, json.dumps(case.model_dump(mode="json"), ensure_ascii=False).encode())
    await _put(store, review_key(task.namespace, task.uid, review.time), encode_review(review))
    return len(cases)


async def kept_cases(store: ObjectStore) -> list[Case]:
    """Those of all tasks whose evidence is there; of several decisions on one the newest. Raises StorageError, CaseError."""
    found: dict[str, Case] = {}
    async for key in store.list("tasks/"):
        if _CASE.fullmatch(key):
            case = case_of(key, await store.get(key))
            found[case.name] = case
    return list(found.values())


async def newest_cases(
    store: ObjectStore, namespaces: Iterable[str], most: int, tell: Callable[[str], None]
) -> list[Case]:
    """Of the tasks of these namespaces, so many at most: those that were decided last. Raises StorageError.

    Args:
        tell: is told of each case that cannot be read, and is left out.
    """
    keys = [
        key
        for namespace in namespaces
        async for key in store.list(namespace_prefix(namespace))
        if _CASE.fullmatch(key)
    ]
    found: dict[str, Case] = {}
    for key in sorted(keys, key=_time_of, reverse=True):
        if len(found) == most:
            break
        try:
            case = case_of(key, await store.get(key))
        except (CaseError, MissingError, UnreadableError) as error:
            tell(f"{key} is left out: {error}")
            continue
        found.setdefault(case.name, case)
    return list(found.values())


def cases_for(seat: Seat, cases: Iterable[Case]) -> list[Case]:
    """What a judge may be asked about: code of a task goes to no vendor that was not shown it then. Pure."""
    return [case for case in cases if not case.is_kept or case.vendor == seat.vendor.value]


def _time_of(key: str) -> str:
    """By which decisions are ordered, of whatever task: it stands at the beginning of the name."""
    return key.rpartition("/")[2]


async def _cases(store: ObjectStore, task: AgentTask, review: ReviewStatus) -> AsyncIterator[KeptCase]:
    label, last = _LABELS.get(review.decision), task.status.rounds[-1] if task.status.rounds else None
    if label is None or last is None or last.verifier_ledger is None:
        return
    segments = [Segment(key, await store.get(key)) async for key in store.list(last.verifier_ledger.path)]
    for number, record in enumerate(_judged(segments), 1):
        name = f"{task.namespace}/{task.uid}/{task.name}-{number}"
        try:
            yield kept_case(record.payload, label, review.by, review.why, name)
        except CaseError:
            continue  # a page that was fetched


def _judged(segments: Iterable[Segment]) -> Iterator[Record]:
    for segment in segments:
        for line in BytesIO(unpack(segment)[0]):
            record = decode(line)
            asked = record.event == Consulted.event and record.payload.get("errand", {}).get("kind")
            if asked == "AskJudge":
                yield record


async def _put(store: ObjectStore, key: str, data: bytes) -> None:
    try:
        await store.put(key, data)
    except ConflictError:
        pass  # of two gateways, one was first
