"""Lint in the real clean room: what gets past a linter that trusts the candidate, what honest work looks like, and each
defence switched off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.axiom_sandbox.verifying.projects import Bench, Work, put

from axiom_sandbox.protocol.events import CriterionChecked
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.verifying import lint

pytestmark = pytest.mark.sandbox

CLEAN = "def is_leap(year):\n    return year % 4 == 0\n"
UNUSED = "import os\n\n\n"
BASE = {
    "pyproject.toml": '[project]\nname = "leap"\n[tool.ruff]\nextend = "lint/shared.toml"\n',
    "lint/shared.toml": 'line-length = 60\n[lint]\nselect = ["F", "E501", "I"]\n',
    "src/leap.py": CLEAN,
    "src/old.py": "import re  # noqa: F401\nimport json\n",
    "README.md": "# leap\n",
}
QUIET = {**BASE, "src/old.py": "import re  # noqa: F401\n"}
"""A base without findings."""
OURS = {"select": ["F", "I"]}


async def check(
    bench: Bench,
    changed: Mapping[str, str | bytes | None] | Work,
    base: Mapping[str, str] = QUIET,
    **spec: object,
) -> tuple[Verdict, str]:
    work = changed if callable(changed) else put(changed)
    (result,) = (await bench.verify(base, work, {"name": "lint", "lint": spec})).results
    assert result.strength is Strength.PROCESS
    return result.verdict, result.message


def with_code(code: str, path: str = "src/leap.py", **others: str) -> dict[str, str | bytes | None]:
    return {path: code, **{name.replace("__", "."): text for name, text in others.items()}}


def linked(root: Path) -> None:
    (root / "src/leap.txt").write_text(UNUSED + CLEAN)
    (root / "src/leap.py").unlink()
    (root / "src/leap.py").symlink_to("leap.txt")


def linked_to_code(root: Path) -> None:
    (root / "src/again.py").symlink_to("leap.py")


CHEATS: dict[str, Mapping[str, str | bytes | None] | Work] = {
    "a symlink to what is not linted": linked,
    "noqa on the line": {"src/leap.py": f"import os  # noqa\n\n\n{CLEAN}"},
    "noqa with a code": {"src/leap.py": f"import os  # noqa: F401\n\n\n{CLEAN}"},
    "noqa for the file": {"src/leap.py": f"# ruff: noqa\n{UNUSED}{CLEAN}"},
    "flake8's noqa for the file": {"src/leap.py": f"# flake8: noqa\n{UNUSED}{CLEAN}"},
    "a disabled range": {"src/leap.py": f"# ruff: disable[F401]\n{UNUSED}# ruff: enable[F401]\n{CLEAN}"},
    "a file-wide ignore": {"src/leap.py": f"# ruff: file-ignore[F401]\n{UNUSED}{CLEAN}"},
    "isort told to skip the file": {"src/leap.py": f"# isort: skip_file\nimport sys\nimport os\n\nprint(os, sys)\n\n\n{CLEAN}"},
    "a noqa of the base moved to another line": {"src/old.py": "import os  # noqa: F401\n"},
    "a noqa of the base used twice": {"src/new.py": "import re  # noqa: F401\n"},
    "configuration edited": {"src/leap.py": UNUSED + CLEAN, "lint/shared.toml": '[lint]\nselect = []\n'},
    "configuration deleted": {"src/leap.py": f"x = '{'x' * 70}'\n{CLEAN}", "pyproject.toml": None},
    "a nearer configuration": {"src/leap.py": UNUSED + CLEAN, "src/ruff.toml": "lint.select = []\n"},
    "a hidden configuration": {"src/leap.py": UNUSED + CLEAN, ".ruff.toml": "lint.select = []\n"},
    "ignored by git": {"src/gen/leap.py": UNUSED + CLEAN, ".gitignore": "src/gen/\n"},
    "hidden in node_modules": {"node_modules/leap.py": UNUSED + CLEAN},
    "hidden in venv": {"venv/lib/leap.py": UNUSED + CLEAN},
    "hidden behind a dot": {"src/.hidden.py": UNUSED + CLEAN},
    "a suffix that ruff passes over": {"src/leap.pyw": UNUSED + CLEAN},
    "text that is no UTF-8": {"src/leap.py": b"# -*- coding: latin-1 -*-\nimport os\n\nname = '\xe9'\n"},
    "a syntax error that hides the rest": {"src/leap.py": f"{UNUSED}def broken(:\n"},
    "a trojan ruff": {"src/leap.py": UNUSED + CLEAN, "ruff": "#!/bin/sh\nexit 0\n", "bin/ruff": "#!/bin/sh\nexit 0\n"},
    "code nested deeper than the linter": {"src/leap.py": f"import os\nx = {'(' * 20000}{')' * 20000}\n"},
}  # fmt: skip


@pytest.mark.parametrize("cheat", CHEATS)
async def test_no_cheat_gets_past_the_base_s_configuration(bench: Bench, cheat: str) -> None:
    verdict, message = await check(bench, CHEATS[cheat])
    assert verdict is Verdict.FAIL, message


@pytest.mark.parametrize("cheat", list(CHEATS)[::4])
async def test_no_cheat_gets_past_a_configuration_of_the_criterion(bench: Bench, cheat: str) -> None:
    verdict, message = await check(bench, CHEATS[cheat], **OURS)
    assert verdict is Verdict.FAIL, message


@pytest.mark.parametrize("cheat", list(CHEATS)[1::4])
async def test_no_cheat_hides_what_is_new_among_what_is_old(bench: Bench, cheat: str) -> None:
    """The base has a finding of its own, in `src/old.py`, which one of the cheats takes out."""
    base = QUIET if cheat == "a noqa of the base moved to another line" else BASE
    verdict, message = await check(bench, CHEATS[cheat], base=base, onlyNew=True)
    assert verdict is Verdict.FAIL, message


def renamed(root: Path) -> None:
    (root / "src/old.py").rename(root / "src/older.py")


HONEST: dict[str, tuple[Mapping[str, str | bytes | None] | Work, Mapping[str, object]]] = {
    "a clean change": ({"src/leap.py": CLEAN.replace("4 == 0", "4 == 0 and year % 100 != 0")}, {}),
    "a new clean file": ({"src/new.py": CLEAN}, {}),
    "a file renamed with its noqa": (renamed, {}),
    "a line with its noqa moved": ({"src/old.py": '"""Old."""\n\nimport re  # noqa: F401\n'}, {}),
    "an unused import removed": ({"src/old.py": ""}, {}),
    "Windows' line ends": ({"src/new.py": CLEAN.replace("\n", "\r\n")}, {}),
    "a byte order mark": ({"src/new.py": b"\xef\xbb\xbf" + CLEAN.encode()}, {}),
    "text in another script": ({"src/new.py": 'GREETING = "Grüße, 世界"\n'}, {}),
    "nothing but documentation": ({"README.md": "# leap years\n"}, {}),
    "a file that is no Python": ({"data/x.csv": "import os\n", "src/x.pyx": "import os\n"}, {}),
    "a noqa that the criterion allows": ({"src/new.py": "import os  # noqa: F401\n"}, {"suppressions": "All"}),
    "as many findings as may be": ({"src/new.py": "import os\n"}, {"maxFindings": 1}),
    "a file that the criterion leaves out": ({"vendor/x.py": "import os\n"}, {"exclude": ["vendor/**"]}),
    "a configuration of its own, harmless": ({"pyproject.toml": '[project]\nname = "leap"\n[tool.ruff]\nline-length = 60\n'}, {}),
    "a rule that the criterion ignores": ({"src/new.py": "import os\n"}, {"select": ["F", "I"], "ignore": ["F401"]}),
    "a caches' folder": ({"src/__pycache__/x.py": "import os\n", ".ruff_cache/x.py": "import os\n"}, {}),
    "an odd name": ({"src/a b\n'c.py": CLEAN}, {}),
    "a symlink to code": (linked_to_code, {}),
    "a stub": ({"src/leap.pyi": "def is_leap(year: int) -> bool: ...\n"}, {}),
}  # fmt: skip


@pytest.mark.parametrize("honest", HONEST)
async def test_honest_work_passes(bench: Bench, honest: str) -> None:
    changed, spec = HONEST[honest]
    verdict, message = await check(bench, changed, **spec)
    assert verdict is Verdict.PASS, message


@pytest.mark.parametrize(
    "changed",
    [
        {"src/leap.py": CLEAN + "\n\ndef other():\n    return 1\n"},
        {"src/old.py": '"""Old."""\n\nimport json\nimport re  # noqa: F401\n'},
        {"src/moved.py": BASE["src/old.py"], "src/old.py": None},
    ],
)
async def test_what_was_there_before_is_not_new(
    bench: Bench, changed: Mapping[str, str | bytes | None]
) -> None:
    assert (await check(bench, changed, base=BASE))[0] is Verdict.FAIL
    spec = {"name": "lint", "lint": {"onlyNew": True}}
    assert (await bench.again(spec)).verdict is Verdict.PASS


async def test_what_a_change_brings_about_elsewhere_is_new(bench: Bench) -> None:
    base = {**QUIET, "src/both.py": "import os\n\nprint(os.name)\n"}
    verdict, message = await check(bench, {"src/both.py": "import os\n\nprint()\n"}, base=base, onlyNew=True)
    assert (verdict, "src/both.py:1 F401" in message) == (Verdict.FAIL, True)


async def test_the_evidence_names_rules_and_lines(bench: Bench) -> None:
    verdict, message = await check(bench, {"src/leap.py": UNUSED + CLEAN}, **OURS)
    assert (verdict, message) == (
        Verdict.FAIL,
        "1 findings count, and 0 may: 1 × F401.\nsrc/leap.py:1 F401 `os` imported but unused",
    )
    (event,) = [event for event in bench.events if isinstance(event, CriterionChecked)]
    assert event.evidence["rules"] == {"F401": 1}
    assert [(remark.path, remark.line) for remark in event.remarks] == [("src/leap.py", 1)]


@pytest.mark.parametrize(
    ("base", "says"),
    [
        ({**QUIET, "lint/shared.toml": "no toml"}, "The base cannot be linted."),
        (
            {**QUIET, "pyproject.toml": '[tool.ruff]\nrequired-version = ">=99"\n'},
            "The base cannot be linted.",
        ),
    ],
)
async def test_a_base_that_cannot_be_linted_proves_nothing(
    bench: Bench, base: Mapping[str, str], says: str
) -> None:
    verdict, message = await check(bench, {"src/leap.py": UNUSED}, base=base)
    assert (verdict, message.startswith(says)) == (Verdict.INCONCLUSIVE, True), message


async def test_without_the_linter_nothing_is_proved(bench: Bench) -> None:
    bench.room.python = "/usr/bin/python3"
    verdict, message = await check(bench, {"src/leap.py": UNUSED})
    assert (verdict, "Add ruff to the image" in message) == (Verdict.INCONCLUSIVE, True)


# --- defences, switched off -----------------------------------------------------------------------------------------------


def _trusts_configuration(patch: pytest.MonkeyPatch) -> None:
    linted = lint._linted

    def with_configuration(spec: object, side: object) -> list[str]:
        entries = side.tree.entries  # type: ignore[attr-defined]
        own = [path for path in entries if path.rpartition("/")[2] in lint.CONFIGURATIONS or "shared" in path]
        return [*linted(spec, side), *own]  # type: ignore[arg-type]

    patch.setattr(lint, "_linted", with_configuration)
    patch.setattr(lint, "configurations_of", lambda base: {})
    patch.setattr(lint, "_own_findings", lambda spec, subject: ())


def _without(option: str) -> Callable[[pytest.MonkeyPatch], None]:
    def off(patch: pytest.MonkeyPatch) -> None:
        run = lint._run

        def without(*arguments: object) -> object:
            made = run(*arguments)  # type: ignore[arg-type]
            argv = list(made.job.argv)
            at = next(at for at, one in enumerate(argv) if one.startswith(option))
            del argv[at - 1 : at + 1]
            job = lint.Job(**{**made.job.__dict__, "argv": tuple(argv)})
            return lint.Run(**{**made.__dict__, "job": job})

        patch.setattr(lint, "_run", without)

    return off


def _honours_new_comments(patch: pytest.MonkeyPatch) -> None:
    kinds = lint._kinds
    patch.setattr(lint, "_kinds", lambda spec: [kind for kind in kinds(spec) if kind.honours])


DEFENCES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], tuple[str, ...]]] = {
    "configuration of the base": (_trusts_configuration, ("configuration edited", "a nearer configuration", "a hidden configuration")),
    "suppressions of the base": (_honours_new_comments, ("noqa on the line", "noqa for the file", "a disabled range")),
    "every folder": (_without("exclude="), ("hidden in node_modules", "hidden in venv")),
    "every suffix": (_without("include="), ("a suffix that ruff passes over",)),
    "no encoding but UTF-8": (lambda patch: patch.setattr(lint, "_is_utf8", lambda _: True), ("text that is no UTF-8",)),
    "isort's own comments": (lambda patch: patch.setattr(lint, "_silencing", lambda *_: ()), ("isort told to skip the file",)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("defence", "cheat"), [(name, cheat) for name, (_, cheats) in DEFENCES.items() for cheat in cheats]
)
async def test_each_defence_switched_off_lets_its_cheat_through(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, defence: str, cheat: str
) -> None:
    DEFENCES[defence][0](monkeypatch)
    verdict, message = await check(bench, CHEATS[cheat])
    assert verdict is Verdict.PASS, message


async def test_a_syntax_error_would_hide_findings_behind_a_maximum(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = {"src/leap.py": f"{UNUSED * 9}def broken(:\n"}
    assert (await check(bench, hidden, maxFindings=2))[0] is Verdict.FAIL
    monkeypatch.setattr(lint, "UNREADABLE", ())
    assert (await bench.again({"name": "lint", "lint": {"maxFindings": 2}})).verdict is Verdict.PASS
