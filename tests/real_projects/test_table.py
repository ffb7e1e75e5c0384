"""What `make real-projects` may call right, and that each project is as it promises; nothing is fetched here."""

import pytest
from tests.real_projects.__main__ import handed_in, is_rightly, with_bug
from tests.real_projects.projects import FLAKY, INFLECTION, PROJECTS, Project

from axiom_sandbox.protocol.verdicts import Verdict


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: f"{project.name}-{project.is_flaky}")
def test_a_project_has_a_bug_three_wrong_solutions_and_two_cheats(project: Project) -> None:
    tests = project.failing[0].partition("::")[0]
    text = f"before\n{project.right}\nafter\n"
    base = {project.module: with_bug(project, text), tests: "# tests\n"}
    found = {name: (files, is_right) for name, files, is_right in handed_in(project, base)}
    assert [name for name, (_, is_right) in found.items() if is_right] == ["right"]
    assert found["right"][0] == {project.module: text}
    assert len(found) == 6
    assert len({str(files) for files, _ in found.values()}) == 6
    assert not any(files == {project.module: base[project.module]} for files, _ in found.values())


def test_a_place_that_is_not_the_only_one_is_refused() -> None:
    with pytest.raises(ValueError, match="stands 2 times"):
        with_bug(INFLECTION, INFLECTION.right * 2)


@pytest.mark.parametrize("verdict", Verdict)
def test_only_a_flaky_suite_may_leave_it_open(verdict: Verdict) -> None:
    assert is_rightly(INFLECTION, verdict, True) is (verdict is Verdict.PASS)
    assert is_rightly(INFLECTION, verdict, False) is (verdict is Verdict.FAIL)
    assert is_rightly(FLAKY, verdict, True) is (verdict is not Verdict.FAIL)
    assert is_rightly(FLAKY, verdict, False) is (verdict is not Verdict.PASS)
