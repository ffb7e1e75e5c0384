"""Pictures of a Probe: what is compared with what, and what comes of it. The server and the room are real, the browser is not."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from itertools import count

import pytest
from tests.axiom_sandbox.verifying.projects import Bench, put
from tests.axiom_sandbox.verifying.test_probe import HEALTH, PORT, RIGHT, SERVE, server

from axiom_sandbox.protocol.criteria import ProbePicture
from axiom_sandbox.protocol.events import CriterionChecked, Screenshot
from axiom_sandbox.protocol.pages import Shown
from axiom_sandbox.protocol.verdicts import Verdict
from axiom_sandbox.verifying.judging import Ran, Run
from axiom_sandbox.verifying.pictures import Pixels, read_png, to_png
from axiom_sandbox.verifying.rooms import Job, Look, Outcome, Seen
from axiom_sandbox.verifying.views import View, view

pytestmark = pytest.mark.sandbox

WIDTH, HEIGHT = 100, 50
HOME = {"name": "home", "path": "/home?x=1", "width": WIDTH, "height": HEIGHT}


def painted(dark_rows: int = 0, *, width: int = WIDTH) -> Pixels:
    """White, but for rows at the top, each two percent of the whole."""
    return Pixels(width, HEIGHT, bytes(3 * width * dark_rows) + b"\xff" * (3 * width * (HEIGHT - dark_rows)))


def shows(*pictures: Pixels | Shown) -> Callable[[Look], Seen]:
    """A browser that shows these one after the other, the last for ever."""
    turn = count()

    def looking(look: Look) -> Seen:
        found = pictures[min(next(turn), len(pictures) - 1)]
        if isinstance(found, Shown):
            return Seen(found)
        return Seen(Shown(status=200, settled=True, browser="Chromium/1\x1b[31m"), zlib.compress(found.data))

    return looking


async def check(
    bench: Bench,
    *shown: Pixels | Shown,
    base: Mapping[str, Pixels | bytes] | None = None,
    picture: Mapping[str, object] | None = None,
    **spec: object,
) -> tuple[Verdict, str]:
    files = {"home.png": painted()} if base is None else base
    content = {path: to_png(data) if isinstance(data, Pixels) else data for path, data in files.items()}
    bench.room.looking = shows(*shown)
    asked = {
        "argv": ["python3", "server.py"],
        "port": PORT,
        "requests": [HEALTH],
        "pictures": [{**HOME, **(picture or {})}],
        **spec,
    }
    work = put({**server(RIGHT + SERVE), "stolen.png": content.get("home.png", b"")})
    (result,) = (
        await bench.verify({"README.md": "", **content}, work, {"name": "p", "probe": asked})  # type: ignore[dict-item]
    ).results
    return result.verdict, result.message


def evidence(bench: Bench) -> list[dict[str, object]]:
    (event,) = (event for event in bench.events if isinstance(event, CriterionChecked))
    return [view for run in event.evidence["runs"] for view in run["pictures"]]


async def test_a_page_that_looks_like_its_baseline_passes(bench: Bench) -> None:
    assert await check(bench, painted()) == (
        Verdict.PASS,
        "1 requests were answered as asked and 1 pictures look like their baselines, in each of 2 runs.",
    )
    looks = [look for job in bench.room.jobs for look in job.looks]
    assert looks == [Look(PORT, "/home?x=1", WIDTH, HEIGHT, 30.0)] * 2


async def test_two_percent_may_differ_and_no_more(bench: Bench) -> None:
    assert (await check(bench, painted(1), base={"home.png": painted(0)}))[0] is Verdict.PASS
    assert [view["differencePercent"] for view in evidence(bench)] == ["2.00"] * 2


async def test_a_page_that_differs_by_more_fails_with_its_score(bench: Bench) -> None:
    verdict, message = await check(bench, painted(2))
    assert (verdict, message.splitlines()[0]) == (
        Verdict.FAIL,
        "Picture home (/home?x=1) differs from its baseline in 4.00% of its pixels; 2% may.",
    )
    kept = {event.path: event for event in bench.events if isinstance(event, Screenshot)}
    assert sorted(kept) == [f"p/home/{kind}.png" for kind in ("baseline", "difference", "picture")]
    assert read_png(bench.kept[kept["p/home/picture.png"].digest]) == painted(2)
    assert read_png(bench.kept[kept["p/home/baseline.png"].digest]) == painted()
    difference = read_png(bench.kept[kept["p/home/difference.png"].digest])
    assert [difference.data[3 * WIDTH * row : 3 * WIDTH * row + 3] for row in (1, 2)] == [
        b"\xdc\0\0",
        b"\xfe" * 3,
    ]
    (view, _) = evidence(bench)
    assert view["pictureSha256"] == kept["p/home/picture.png"].digest
    assert view["browser"] == "Chromium/1[31m"  # nothing that a terminal would obey


def looked_at(
    shown: Pixels | Shown, baseline: Pixels | str, picture: Mapping[str, object] | None = None
) -> View:
    """What one picture comes to, without a room."""
    job = Job("probe", ("x",), {}, "/", 1.0)
    outcome = Outcome(seen=(shows(shown)(Look(PORT, "/", WIDTH, HEIGHT, 1.0)),))
    asked = ProbePicture.model_validate({**HOME, **(picture or {})})
    return view(asked, baseline, Ran(Run({}, job), outcome), 0)


@pytest.mark.parametrize(
    ("picture", "problem"),
    [
        ({"maxDifferencePercent": 4}, ""),
        ({"maxDifferencePercent": 3}, "differs from its baseline in 4.00% of its pixels; 3% may."),
        ({"masks": [{"left": 0, "top": 0, "width": 100, "height": 2}], "maxDifferencePercent": 0}, ""),
        ({"masks": [{"left": 0, "top": 0, "width": 100, "height": 1}]}, "in 2.05% of its pixels; 2% may."),
    ],
)
def test_the_criterion_says_what_may_differ(picture: dict[str, object], problem: str) -> None:
    found = looked_at(painted(2), painted(), picture)
    assert (found.problem.endswith(problem), found.unclear) == (True, "")
    assert bool(found.problem) is bool(problem)


def test_a_picture_that_is_all_masked_proves_nothing() -> None:
    found = looked_at(painted(2), painted(), {"masks": [{"left": 0, "top": 0, "width": 100, "height": 50}]})
    assert found.unclear.endswith("is covered by its masks, so nothing of it was compared.")


def test_a_baseline_of_another_size_fails() -> None:
    found = looked_at(painted(), painted(width=99))
    assert found.problem == "Picture home (/home?x=1) has 100x50 pixels, and its baseline 99x50."
    assert [file.name for file in found.pictures] == ["home/picture", "home/baseline"]


def test_without_a_browser_nothing_is_decided() -> None:
    found = looked_at(Shown(error="install a browser"), painted())
    assert (found.problem, found.pictures) == ("", ())
    assert found.unclear == "Picture home (/home?x=1) was not taken: install a browser."


def test_a_page_that_the_server_does_not_show_fails() -> None:
    found = looked_at(Shown(error="the page cannot be opened", refused=True), painted())
    assert found.problem == "Picture home (/home?x=1) was not taken: the page cannot be opened."


async def test_a_missing_baseline_is_inconclusive_with_the_cure_and_the_picture(bench: Bench) -> None:
    verdict, message = await check(bench, painted(), base={}, picture={"baseline": "shots/home.png"})
    assert verdict is Verdict.INCONCLUSIVE
    assert message == (
        "There is no file shots/home.png of the base to compare the picture home with. Take one with `axiom baseline"
        " capture`, look at it, and make it the baseline with `axiom baseline accept`."
    )
    assert [event.path for event in bench.events if isinstance(event, Screenshot)] == ["p/home/picture.png"]


async def test_a_baseline_that_the_agent_wrote_never_counts(bench: Bench) -> None:
    verdict, message = await check(bench, painted(), base={}, picture={"baseline": "stolen.png"})
    assert (verdict, "no file stolen.png of the base" in message) == (Verdict.INCONCLUSIVE, True)


async def test_a_baseline_that_is_no_picture_is_inconclusive(bench: Bench) -> None:
    verdict, message = await check(bench, painted(), base={"home.png": b"<svg/>"})
    assert (verdict, "The file home.png of the base is no PNG." in message) == (Verdict.INCONCLUSIVE, True)


async def test_baselines_of_the_criterions_own_are_compared_with_and_lie_nowhere_else(bench: Bench) -> None:
    folder = bench.folder / "pictures"
    folder.mkdir()
    (folder / "home.png").write_bytes(to_png(painted(3)))
    bench.hidden = {"p": folder}
    given = {"configMap": {"name": "pictures"}, "folder": "shots"}
    rooms: list[bytes] = []
    bench.room.before = lambda job: rooms.append((bench.room.tree / "shots" / "home.png").read_bytes())
    verdict, message = await check(bench, painted(3), base={"shots/home.png": painted()}, baselines=given)
    assert (verdict, rooms) == (Verdict.PASS, [to_png(painted())] * 2), message


async def test_baselines_that_are_missing_are_inconclusive_with_their_source(bench: Bench) -> None:
    verdict, message = await check(bench, painted(), baselines={"configMap": {"name": "pictures"}})
    assert verdict is Verdict.INCONCLUSIVE
    assert message.startswith("criteria[p].probe.baselines: configMap 'pictures': was not brought")
    assert message.endswith("make it the baseline with `axiom baseline accept`.")


async def test_two_runs_that_disagree_are_inconclusive(bench: Bench) -> None:
    verdict, message = await check(bench, painted(), painted(9))
    assert verdict is Verdict.INCONCLUSIVE
    assert "In one of two runs all was well, in the other: Picture home" in message


async def test_an_answer_that_is_wrong_decides_before_any_picture(bench: Bench) -> None:
    verdict, message = await check(bench, painted(), requests=[{"path": "/nowhere"}])
    assert (verdict, "has the status 404" in message) == (Verdict.FAIL, True)


async def test_pictures_need_no_requests(bench: Bench) -> None:
    assert await check(bench, painted(), requests=[]) == (
        Verdict.PASS,
        "1 pictures look like their baselines, in each of 2 runs.",
    )
