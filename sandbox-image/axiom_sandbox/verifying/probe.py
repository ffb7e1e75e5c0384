"""A server of the candidate is started in the room, and spoken to over the room's loopback.

A program of ours (`tools/speak_http.py`) starts it, waits until it listens, sends what the criterion says, and hands the
answers out through a channel that the server cannot reach; whether they are right is decided here. $(NONCE) in a request
is text that nobody could foresee, other in each of the two runs: answers that were written down beforehand do not hold it.

While the server lives, a browser outside the room photographs pages (`axiom_sandbox.pages`); each is compared with a picture that is
the base's, or the criterion's own (`pictures`).

Pass: in both runs every answer was as asked, and every picture looks like its baseline. Fail: in both runs one was not, or the server
did not listen in time, ended, or gave no answer. Inconclusive: the two runs disagree; the room has no Python, or not the program that
is to start the server; there is no browser, or no baseline yet.
Evidence: for each run how it ended, of each answer status, size and digest of its body, of each picture its score, and what was wrong;
as files picture, baseline and difference.
"""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import re2

from axiom_sandbox.protocol.criteria import ProbeCriterion, ProbeRequest
from axiom_sandbox.protocol.quantities import parse_duration
from axiom_sandbox.protocol.verdicts import Verdict
from axiom_sandbox.verifying.judging import (
    Judgement,
    Picture,
    Ran,
    Run,
    Source,
    Subject,
    Verifier,
    environment,
    whole,
)
from axiom_sandbox.verifying.rooms import Job, Place
from axiom_sandbox.verifying.texts import clean, clean_bytes
from axiom_sandbox.verifying.views import find_baseline, look_at, looking_seconds, views_of

NONCE = "$(NONCE)"
MAX_BODY = 256 * 1024
"""Bytes of an answer's body that are looked at; a larger one fails."""
_RUNS = 2
_PLAN, _ANSWERS = "plan", "answers"
_SPARE_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class ProbeVerifier(Verifier[ProbeCriterion]):
    """Two lives of the server, each asked everything."""

    def prepare(
        self, spec: ProbeCriterion, subject: Subject, place: Place, done: Sequence[Ran], entropy: bytes
    ) -> Run | None:
        """The second run only where the first said anything."""
        if len(done) >= _RUNS or any(ran.outcome.start_error for ran in done):
            return None
        nonce = entropy[:16].hex()
        start, each = (
            parse_duration(text).total_seconds() for text in (spec.start_timeout, spec.request_timeout)
        )
        plan = {
            "argv": spec.argv,
            "port": spec.port,
            "startSeconds": start,
            "requestSeconds": each,
            "maxBody": MAX_BODY,
            "requests": [_request(request, nonce) for request in spec.requests],
            "looks": len(spec.pictures),
        }
        job = Job(
            purpose="probe of the candidate's server",
            argv=(place.python, "-I", f"{place.tools}/speak_http.py"),
            env=environment(place) | {"PORT": str(spec.port)},
            cwd=place.workspace,
            timeout=start + each * len(spec.requests) + looking_seconds(spec) + _SPARE_SECONDS,
            feeds={_PLAN: json.dumps(plan).encode()},
            channels=(_ANSWERS,),
            loopback=True,
            max_channel=(1 + len(spec.requests)) * (MAX_BODY * 2 + 128 * 1024),
            looks=tuple(look_at(spec, picture) for picture in spec.pictures),
        )
        return Run(whole(subject.candidate.tree, Source.CANDIDATE), job, nonce=nonce.encode())

    def judge(self, spec: ProbeCriterion, subject: Subject, done: Sequence[Ran]) -> Judgement:
        """By both runs."""
        if error := done[0].outcome.start_error:
            text = f"The image of the clean room has no Python, which speaks to the server: {error}."
            return Judgement(Verdict.INCONCLUSIVE, clean(text), {"startError": clean(error, 500)})
        baselines = {picture.name: find_baseline(spec, picture, subject) for picture in spec.pictures}
        failures, runs, unclear, kept = [], [], [], dict[str, Picture]()
        for ran in done:
            said = _said(ran)
            problem = _problem(spec, ran, said)
            views = [] if problem else views_of(spec, baselines, ran)
            problem = problem or next((view.problem for view in views if view.problem), "")
            unclear += [view.unclear for view in views if view.unclear]
            failures.append(problem)
            runs.append(
                _describe(ran, said, problem)
                | ({"pictures": [view.evidence for view in views]} if views else {})
            )
            new = {picture.name: picture for view in views for picture in view.pictures}
            kept = kept | new if problem else new | kept  # those of a run that failed say more
        return replace(
            self._verdict(spec, subject, done, failures, unclear, {"runs": runs}),
            pictures=tuple(kept.values()),
        )

    def _verdict(
        self,
        spec: ProbeCriterion,
        subject: Subject,
        done: Sequence[Ran],
        failures: Sequence[str],
        unclear: Sequence[str],
        evidence: dict[str, Any],
    ) -> Judgement:
        if _is_missing_program(spec, subject, done):
            text = f"{failures[0]} Name a program that the image of the clean room holds."
            return Judgement(Verdict.INCONCLUSIVE, clean(text), evidence)
        if unclear and not all(failures):
            return Judgement(Verdict.INCONCLUSIVE, clean(unclear[0]), evidence)
        if not any(failures):
            return Judgement(Verdict.PASS, _all_well(spec, len(done)), evidence)
        if not all(failures):
            text = f"In one of two runs all was well, in the other: {next(filter(None, failures))}"
            return Judgement(Verdict.INCONCLUSIVE, clean(text), evidence)
        printed = clean_bytes(done[0].outcome.output, 800)
        return Judgement(
            Verdict.FAIL,
            clean("\n".join([failures[0], *(["It printed at the end:", printed] if printed else [])])),
            evidence,
        )


def _all_well(spec: ProbeCriterion, runs: int) -> str:
    parts = []
    if spec.requests:
        parts.append(f"{len(spec.requests)} requests were answered as asked")
    if spec.pictures:
        parts.append(f"{len(spec.pictures)} pictures look like their baselines")
    return f"{' and '.join(parts)}, in each of {runs} runs."


def _request(request: ProbeRequest, nonce: str) -> dict[str, Any]:
    body = request.body.replace(NONCE, nonce).encode()
    return {
        "method": request.method.value,
        "path": request.path.replace(NONCE, nonce),
        "headers": [[header.name, header.value.replace(NONCE, nonce)] for header in request.headers],
        "body": base64.b64encode(body).decode(),
    }


def _said(ran: Ran) -> list[dict[str, Any]]:
    """What our program handed out: `started` or `failed`, then an answer or an error for each request."""
    found = []
    for line in ran.outcome.channels.get(_ANSWERS, b"").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        found.append(record)
    return found


def _problem(spec: ProbeCriterion, ran: Ran, said: Sequence[dict[str, Any]]) -> str:
    """What was wrong in one run; empty: nothing."""
    if not said or said[0].get("kind") != "started":
        why = said[0].get("error") if said else "nothing is known of it"
        return clean(f"The server does not listen on port {spec.port}: {why}.", 500)
    nonce = ran.run.nonce.decode()
    for number, request in enumerate(spec.requests, 1):
        where = f"Request {number} ({request.method.value} {request.path})"
        if number >= len(said):
            return clean(f"{where} got no answer.", 1000)
        answer = _answer(said[number])
        problems = (
            [f"got no answer: {said[number].get('error')}."]
            if answer is None
            else problems_of(request, answer, nonce)
        )
        if problems:
            return clean(f"{where} {' '.join(problems)}", 1000)
    return ""


def _answer(record: dict[str, Any]) -> Answer | None:
    try:
        if record["kind"] != "answer":
            return None
        headers = tuple((str(name), str(value)) for name, value in record["headers"])
        return Answer(int(record["status"]), headers, base64.b64decode(record["body"]))
    except (KeyError, TypeError, ValueError):
        return None


def problems_of(request: ProbeRequest, answer: Answer, nonce: str) -> list[str]:
    """What is not as asked, as ends of sentences that begin with the request."""
    found = []
    if answer.status != request.status:
        found.append(f"has the status {answer.status}, not {request.status}.")
    for wanted in request.header_matches:
        values = [value for name, value in answer.headers if name.lower() == wanted.name.lower()]
        pattern = re2.compile(wanted.matches.replace(NONCE, nonce))
        if not any(pattern.search(value) for value in values):
            found.append(f"has no header {wanted.name} that matches {wanted.matches!r}.")
    if len(answer.body) > MAX_BODY:
        return [*found, f"has a body of more than {MAX_BODY} bytes."]
    text = answer.body.decode("utf-8", "replace")
    found += [
        f"has nothing in its body that matches {pattern!r}."
        for pattern in request.body_matches
        if not re2.compile(pattern.replace(NONCE, nonce)).search(text)
    ]
    found += [
        f"has something in its body that matches {pattern!r}."
        for pattern in request.body_excludes
        if re2.compile(pattern.replace(NONCE, nonce)).search(text)
    ]
    return found


def _is_missing_program(spec: ProbeCriterion, subject: Subject, done: Sequence[Ran]) -> bool:
    """Whether the image lacks what the criterion names; what should lie in the workspace is the candidate's business."""
    said = _said(done[0])
    if not said or said[0].get("kind") != "missing":
        return False
    program = spec.argv[0]
    return (
        "/" not in program
        or program.startswith("/")
        or posixpath.normpath(program) in subject.candidate.tree.entries
    )


def _describe(ran: Ran, said: Sequence[dict[str, Any]], problem: str) -> dict[str, Any]:
    answers = [answer for record in said[1:] if (answer := _answer(record))]
    return {
        "problem": problem,
        "timedOut": ran.outcome.timed_out,
        "answers": [
            {"status": one.status, "bytes": len(one.body), "sha256": hashlib.sha256(one.body).hexdigest()}
            for one in answers
        ],
        "outputTail": clean_bytes(ran.outcome.output),
    }
