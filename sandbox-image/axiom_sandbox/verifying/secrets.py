"""No key, token or password may be in what was added.

Decided on our private copies; nothing runs, and nobody is asked whether a secret is good. Looked at are the files that
were added or changed, their names, the targets of symlinks, and the agent's last words; each also with string literals
joined, and as Base64, hexadecimal, numbers, UTF-16, gzip, bzip2, xz and zip hold it. A file whose layers hold too much to look through counts as one. What the base holds already is no news, wherever it moved.

With `output` also what the agent's sandbox noticed in its output, which it tells without the secret.

Pass: no secret that the base does not have. Fail: one or more. Inconclusive: `output` is asked for, and nothing is known of an
agent.
Evidence: for each its kind, its place and its length; of the secret itself at most the first four characters, which say
whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from axiom_sandbox.protocol.changes import EntryKind
from axiom_sandbox.protocol.criteria import SecretsCriterion
from axiom_sandbox.protocol.events import SignalKind
from axiom_sandbox.protocol.verdicts import Remark, Verdict
from axiom_sandbox.snapshots.paths import printable
from axiom_sandbox.verifying.globs import matches
from axiom_sandbox.verifying.judging import Judgement, Ran, Subject, Verifier
from axiom_sandbox.verifying.scanning import TOO_MUCH, Found, Scanner
from axiom_sandbox.verifying.texts import clean

NO_CONDUCT = "What the agent said and showed is not known here: there was no agent, or its sandbox was of a version that does not tell."
LAST_WORDS = "the agent's last words"
_SHOWN = 8


class SecretsVerifier(Verifier[SecretsCriterion]):
    """Looks through what changed."""

    def judge(self, spec: SecretsCriterion, subject: Subject, done: Sequence[Ran]) -> Judgement:
        """Every secret of the candidate's changes that is not the base's."""
        scanner = Scanner(tuple(spec.patterns))
        found = list(_in_changes(scanner, spec, subject))
        known = _of_the_base(scanner, subject, found)
        new = {(one.value, place): one for place, one in found if one.value not in known}
        masks = tuple({one.value: one for one in new.values()}.values())
        remarks = tuple(_remark(place, one, masks) for (_, place), one in new.items())
        evidence = {"secrets": len(new), "kinds": sorted({one.kind for one in new.values()})}
        if spec.output and subject.conduct is None:
            return Judgement(Verdict.INCONCLUSIVE, NO_CONDUCT, evidence)
        shown = _shown(spec, subject)
        remarks += shown
        evidence["inOutput"] = len(shown)
        if not remarks:
            return Judgement(Verdict.PASS, "No secret was added.", evidence)
        lines = [
            f"{remark.path}:{remark.line} {remark.text}" if remark.line else f"{remark.path}: {remark.text}"
            for remark in remarks[:_SHOWN]
        ]
        rest = [f"… and {len(remarks) - _SHOWN} more"] if len(remarks) > _SHOWN else []
        head = "Secrets were added; take them out, and have them replaced, as they may be known by now:"
        return Judgement(Verdict.FAIL, clean("\n".join([head, *lines, *rest])), evidence, remarks)


def _shown(spec: SecretsCriterion, subject: Subject) -> tuple[Remark, ...]:
    """What the agent's sandbox noticed while it worked."""
    if not spec.output or subject.conduct is None:
        return ()
    return tuple(
        Remark(
            path=f"record {one.seq} of the ledger, {one.place}",
            line=0,
            text=clean(f"{one.rule}: {one.size} characters", 300),
        )
        for one in subject.conduct.signals
        if one.kind == SignalKind.SECRET
    )


def _in_changes(scanner: Scanner, spec: SecretsCriterion, subject: Subject) -> Iterator[tuple[str, Found]]:
    for change in subject.changes.changes:
        path = printable(change.path)
        if change.entry is None or matches(path, spec.exclude):
            continue
        texts = [path.encode()]
        if change.entry.kind is EntryKind.SYMLINK:
            texts.append(printable(change.entry.target).encode())
        for text in texts:
            for one in scanner.scan(text):
                yield path, one.without_line()
        if change.entry.kind is EntryKind.FILE:
            for one in scanner.scan(subject.candidate.files[change.path]):
                yield path, one
    for one in scanner.scan(subject.said.encode("utf-8", "replace")):
        yield LAST_WORDS, one


def _of_the_base(scanner: Scanner, subject: Subject, found: Sequence[tuple[str, Found]]) -> set[bytes]:
    """Those of the values that the base holds, plainly anywhere, or in whatever wrapping at the same path."""
    wanted, known = {one.value for _, one in found}, set[bytes]()
    files = subject.base.files
    for path in {place for place, _ in found} & set(files):
        known |= {one.value for one in scanner.scan(files[path])}
    for content in files.values() if wanted else ():
        known |= {value for value in wanted - known if value in content}
    return known


def _remark(place: str, one: Found, masks: Sequence[Found]) -> Remark:
    for mask in masks:
        place = mask.masked(place)
    how = f", as {one.wrapped}" if one.wrapped else ""
    shown = one.value[: one.shown].decode("ascii", "replace")
    text = one.kind if one.kind == TOO_MUCH else f"{one.kind}{how}: {shown}… ({len(one.value)} characters)"
    return Remark(path=place, line=one.line, text=clean(text, 300))
