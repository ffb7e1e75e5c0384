"""Files, Diff and Command, on real workspaces."""

import hashlib
from pathlib import Path

import pytest
from tests.axiom_sandbox.verifying.clean_room import HANGING
from tests.axiom_sandbox.verifying.projects import LEAP, RIGHT, Bench, put

from axiom_sandbox.protocol.changes import CandidateSource, Finding
from axiom_sandbox.protocol.verdicts import Strength, Verdict
from axiom_sandbox.verifying.driver import no_code

pytestmark = pytest.mark.sandbox
HANG = f"{{ touch {HANGING}; sleep 600; }}"
WORK = put({"src/leap.py": RIGHT, "docs/note.txt": "three words here\n"})
NOTE_DIGEST = hashlib.sha256(b"three words here\n").hexdigest()


async def check(bench: Bench, work, **kind: object) -> tuple[Verdict, str]:
    (result,) = (await bench.verify(LEAP, work, {"name": "c", **kind})).results
    return result.verdict, result.message


def expect(path: str, **fields: object) -> dict[str, object]:
    return {"expect": [{"path": path, **fields}]}


@pytest.mark.parametrize(
    "files",
    [
        expect("docs/note.txt"),
        expect("docs/note.txt", matches="^three .* here", minBytes=17, maxBytes=17, sha256=NOTE_DIGEST),
        expect("docs/other.txt", absent=True),
    ],
)
async def test_files_as_expected_pass(bench: Bench, files: object) -> None:
    assert (await check(bench, WORK, files=files))[0] is Verdict.PASS


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (expect("docs/other.txt"), "docs/other.txt does not exist."),
        (expect("docs"), "docs is a directory, and must be a file."),
        (expect("docs/note.txt", absent=True), "docs/note.txt exists, and must not."),
        (expect("docs", absent=True), "docs exists, and must not."),
        (expect("docs/note.txt", matches="four"), "docs/note.txt holds nothing that matches the pattern 'four'."),
        (expect("docs/note.txt", minBytes=18), "docs/note.txt has 17 bytes, fewer than 18."),
        (expect("docs/note.txt", maxBytes=16), "docs/note.txt has 17 bytes, more than 16."),
        (expect("docs/note.txt", sha256="0" * 64), f"docs/note.txt has the SHA-256 {NOTE_DIGEST}, not {'0' * 64}."),
    ],
)  # fmt: skip
async def test_files_otherwise_fail_and_are_named(bench: Bench, files: object, message: str) -> None:
    assert await check(bench, WORK, files=files) == (Verdict.FAIL, message)


async def test_a_link_is_not_the_file_it_points_to(bench: Bench) -> None:
    def work(root: Path) -> None:
        (root / "inside.md").symlink_to("README.md")
        (root / "outside.md").symlink_to("/etc/passwd")

    verdict, message = await check(
        bench, work, files={"expect": [{"path": "inside.md"}, {"path": "outside.md"}]}
    )
    assert verdict is Verdict.FAIL
    assert message == "inside.md is a symlink, and must be a file.\noutside.md does not exist."


@pytest.mark.parametrize(
    "diff",
    [
        {},
        {"allowed": ["src/**", "docs/*.txt"]},
        {"forbidden": ["tests/**"]},
        {"maxFiles": 2, "maxBytes": 200},
    ],
)
async def test_changes_within_the_rules_pass(bench: Bench, diff: object) -> None:
    assert await check(bench, WORK, diff=diff) == (Verdict.PASS, "2 paths changed, as allowed.")


@pytest.mark.parametrize(
    ("diff", "message"),
    [
        ({"allowed": ["src/**"]}, "Changed outside of src/**: docs/note.txt."),
        ({"forbidden": ["src/**"]}, "Changed although src/** may not be: src/leap.py."),
        ({"maxFiles": 1}, "2 paths were changed, more than 1."),
        ({"maxBytes": 10}, "bytes, more than 10."),
    ],
)
async def test_changes_against_the_rules_fail(bench: Bench, diff: object, message: str) -> None:
    verdict, found = await check(bench, WORK, diff=diff)
    assert verdict is Verdict.FAIL
    assert message in found


async def test_no_change_fails_unless_none_is_required(bench: Bench) -> None:
    verdict, message = await check(bench, put({"src/__pycache__/leap.pyc": "x"}), diff={})
    assert (verdict, message) == (
        Verdict.FAIL,
        "Nothing was changed in the workspace, and a change is required.",
    )
    found = await bench.again({"name": "c", "diff": {"requireChange": False}})
    assert found.results[0].message == "Nothing changed."


def escape(root: Path) -> None:
    (root / "src/passwd").symlink_to("/etc/passwd")


async def test_what_was_left_out_is_no_change_and_is_mentioned(bench: Bench) -> None:
    verdict, message = await check(bench, escape, diff={})
    assert verdict is Verdict.FAIL
    assert "a change is required" in message
    assert "src/passwd is a symlink that leaves the workspace, to /etc/passwd; it was left out." in message


async def test_what_was_left_out_is_held_to_the_rules_on_paths(bench: Bench) -> None:
    def work(root: Path) -> None:
        escape(root)
        WORK(root)

    assert (await check(bench, work, diff={"allowed": ["src/**", "docs/**"]}))[0] is Verdict.PASS
    found = await bench.again({"name": "c", "diff": {"forbidden": ["src/passwd"]}})
    assert found.verdict is Verdict.FAIL


async def test_configuration_of_git_is_mentioned_and_breaks_no_rule(bench: Bench) -> None:
    def work(root: Path) -> None:
        put({"src/leap.py": RIGHT, ".git/hooks/pre-commit": "#!/bin/sh\n"})(root)

    verdict, message = await check(bench, work, diff={"allowed": ["src/**"]})
    assert verdict is Verdict.PASS
    assert (
        ".git/hooks/pre-commit is a git hook or git configuration that changed; it was left out." in message
    )


def command(*argv: str, **fields: object) -> dict[str, object]:
    return {"command": {"argv": list(argv), "timeout": "5m", **fields}}


@pytest.mark.parametrize(
    "kind",
    [
        command("cat", "docs/note.txt", outputMatches=["three"], outputExcludes=["four"]),
        command("sh", "-c", "exit 3", exitCode=3),
        command("python", "-c", "import sys; sys.path.insert(0, 'src'); import leap"),
    ],
)
async def test_commands_that_end_as_asked_pass(bench: Bench, kind) -> None:
    (result,) = (await bench.verify(LEAP, WORK, {"name": "c", **kind})).results
    assert result.verdict is Verdict.PASS, result.message
    assert result.strength is Strength.IN_PROCESS


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (command("sh", "-c", "echo no; exit 1"), "sh -c echo no; exit 1:\nIt exited with code 1, not 0.\nIt printed at the end:\nno"),
        (command("true", exitCode=1), "true:\nIt exited with code 0, not 1."),
        (command("echo", "a", outputMatches=["b"]), "Its output has nothing that matches the pattern 'b'."),
        (command("echo", "a", outputExcludes=["a"]), "Its output has something that matches the pattern 'a'."),
        (command("./missing.sh"), "./missing.sh is not there in the workspace."),
        (command("docs/note.txt"), "docs/note.txt is not executable in the workspace."),
        (command("sh", "-c", "test -e src/leap.py && test -e docs && kill -9 $$; true"), "was ended by signal 9, twice"),
    ],
)  # fmt: skip
async def test_commands_that_end_otherwise_fail(bench: Bench, kind, message: str) -> None:
    verdict, found = await check(bench, WORK, **kind)
    assert verdict is Verdict.FAIL
    assert message in found


async def test_a_program_that_the_image_lacks_is_inconclusive(bench: Bench) -> None:
    verdict, message = await check(bench, WORK, **command("no-such-program"))
    assert verdict is Verdict.INCONCLUSIVE
    assert "Name a program that the class's image holds" in message


@pytest.mark.parametrize(
    ("script", "verdict", "message"),
    [
        (
            f"test ! -e docs || {HANG}",
            Verdict.FAIL,
            "did not end within 4m, twice; on the unchanged base it ends",
        ),
        (HANG, Verdict.INCONCLUSIVE, "and so it does on the unchanged base"),
    ],
)
async def test_a_command_that_hangs(bench: Bench, script: str, verdict: Verdict, message: str) -> None:
    found = await check(bench, WORK, **command("sh", "-c", script, timeout="4m"))
    assert found[0] is verdict
    assert message in found[1]
    assert [job.purpose.split()[-1] for job in bench.room.jobs] == ["candidate", "candidate", "base"]


async def test_a_command_that_hangs_once_is_inconclusive(bench: Bench) -> None:
    def once(job: object) -> None:
        if len(bench.room.jobs) == 1:
            (bench.room.tree / "hang").write_text("")

    bench.room.before = once
    verdict, message = await check(
        bench, WORK, **command("sh", "-c", f"test ! -e hang || {HANG}", timeout="4m")
    )
    assert verdict is Verdict.INCONCLUSIVE
    assert "in one of two runs" in message


async def test_each_command_gets_a_fresh_copy(bench: Bench) -> None:
    destroy = {"name": "a", **command("sh", "-c", "rm -r src; mkdir -p x/y; chmod 0 x/y; ln -s / root")}
    look = {"name": "b", **command("sh", "-c", "test -e src/leap.py && test ! -e x && test ! -e root")}
    found = await bench.verify(LEAP, WORK, destroy, look)
    assert found.verdict is Verdict.PASS, found.results


async def test_trojan_programs_in_the_workspace_are_not_found(bench: Bench) -> None:
    trojan = dict.fromkeys(("false", "bin/false", ".venv/bin/false"), "#!/bin/sh\nexit 0\n")

    def work(root: Path) -> None:
        put(trojan)(root)
        for path in trojan:
            (root / path).chmod(0o755)

    assert (await check(bench, work, **command("false")))[0] is Verdict.FAIL


async def test_output_is_shown_without_control_characters(bench: Bench) -> None:
    _, message = await check(
        bench, WORK, **command("printf", r"\033[2Jred\007\n\342\200\256evil", exitCode=1)
    )
    assert message.endswith("[2Jred\nevil")


async def test_an_advisory_criterion_does_not_decide(bench: Bench) -> None:
    advisory = {"name": "a", "enforcement": "Advisory", **command("false")}
    found = await bench.verify(LEAP, WORK, {"name": "b", "diff": {}}, advisory)
    assert found.verdict is Verdict.PASS
    assert [result.verdict for result in found.results] == [Verdict.PASS, Verdict.FAIL]


async def test_a_message_without_code_fails_whatever_the_criteria_and_says_how_code_is_given(
    bench: Bench,
) -> None:
    bench.candidate = CandidateSource.MESSAGE
    there = {"name": "there", "files": {"expect": [{"path": "a"}]}}
    ran = {"name": "ran", "command": {"argv": ["true"]}, "enforcement": "Advisory"}
    found = await bench.verify({"a": "1"}, put({}), there, ran)
    assert [result.verdict for result in found.results] == [Verdict.FAIL, Verdict.FAIL]
    assert "Your final message holds no code" in found.results[0].message
    assert "```python src/leap.py" in found.results[0].message
    assert bench.room.jobs == []
    assert "../x is not a path inside the workspace." in no_code(
        [Finding("../x", "is not a path inside the workspace")]
    )


async def test_code_of_a_message_is_held_to_the_same_criteria(bench: Bench) -> None:
    bench.candidate = CandidateSource.MESSAGE
    found = await bench.verify({"a": "1"}, put({"b": "2"}), {"name": "scope", "diff": {"allowed": ["a"]}})
    assert found.verdict is Verdict.FAIL
    assert "Changed outside of a: b." in found.results[0].message
