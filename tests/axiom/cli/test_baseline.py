"""`axiom baseline`: where pictures go that become baselines, and what is refused. With a real browser: e2e/test_baseline_local.py."""

from __future__ import annotations

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.cli.test_run_on_cluster import Desk, desk
from tests.axiom.cli.test_verify import Cli, cli
from typer.testing import CliRunner

from axiom.cli.accepting import Place, places_of, write_objects
from axiom.cli.baseline import Accepting
from axiom.cli.main import app
from axiom.cli.places import Places, Where
from axiom.cluster.resources import CONFIG_MAPS, SECRETS
from axiom.evidence.pictures import ProbePicture
from axiom.evidence.segments import EvidenceError
from axiom_sandbox.protocol.criteria import Criterion

__all__ = ["cli", "desk"]


def probe(name: str, port: int, picture: dict[str, Any], **more: Any) -> dict[str, Any]:
    size = {"width": 300, "height": 200}
    spec = {"argv": ["python3", "server.py"], "port": port, "pictures": [{**size, **picture}], **more}
    return {"name": name, "probe": spec}


CRITERIA = (
    probe("site", 18301, {"name": "home", "path": "/index.html", "baseline": "shots/home.png"}),
    probe(
        "docs", 18302, {"name": "about", "path": "/about.html"}, baselines={"configMap": {"name": "looks"}}
    ),
)


def test_criteria_without_pictures_are_refused(cli: Cli) -> None:
    criteria = cli.criteria({"name": "scope", "diff": {}})
    ended = axiom("capture", "--candidate", cli.folder / "candidate", "--criteria", criteria)
    assert (ended.exit_code, "no Probe has pictures; add probe.pictures" in ended.output) == (3, True)


def test_a_run_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    ended = axiom("accept", "verify-1", "--state", tmp_path)
    assert (ended.exit_code, "knows no run of this name" in ended.output) == (3, True)


def axiom(*words: object) -> Any:
    return CliRunner().invoke(app, ["baseline", *map(str, words)])


TAKEN = [ProbePicture("site", "home", "a" * 64), ProbePicture("docs", "about", "b" * 64)]


def accepting(*pictures: str, cluster: bool = False, **places: Any) -> Accepting:
    return Accepting(Where("run", Places(cluster=cluster, **places)), pictures, Path("/w"), Path("/b"))


def places(found: Accepting, docs: dict[str, Any] = CRITERIA[1]) -> dict[str, Place]:
    criteria = [Criterion.model_validate(one) for one in (CRITERIA[0], docs)]
    return {one.picture.name: one.place for one in places_of(found, TAKEN, criteria)}


def docs(picture: dict[str, Any] | None = None, **source: Any) -> dict[str, Any]:
    return probe("docs", 18302, {"name": "about", "path": "/", **(picture or {})}, baselines=source)


def test_a_baseline_lies_where_the_criterion_looks_for_it() -> None:
    assert places(accepting()) == {
        "site/home": Place(Path("/w/shots/home.png")),
        "docs/about": Place(Path("/b/looks/about.png")),
    }
    foldered = docs(secret={"name": "looks"}, folder="shots")
    assert places(accepting("docs/about"), foldered) == {"docs/about": Place(Path("/b/looks/about.png"))}
    elsewhere = docs({"baseline": "shots/about.png"}, secret={"name": "looks"}, folder="pictures")
    assert places(accepting("docs/about"), elsewhere) == {"docs/about": Place(Path("/w/shots/about.png"))}


def test_on_a_cluster_it_is_a_key_of_the_object() -> None:
    found = places(accepting(cluster=True))
    assert found["site/home"] == Place(Path("/w/shots/home.png"))
    assert found["docs/about"] == Place(None, CONFIG_MAPS, "looks", "about.png")
    secret = docs(secret={"name": "looks"})
    assert places(accepting(cluster=True), secret)["docs/about"] == Place(None, SECRETS, "looks", "about.png")


@pytest.mark.parametrize(
    ("found", "criterion", "complaint"),
    [
        (accepting("docs/home"), CRITERIA[1], "the run has no such picture; it has docs/about, site/home"),
        (accepting(), docs(archive={"key": "looks.tar"}), "put about.png into it, and upload it again"),
        (
            accepting(cluster=True),
            docs({"baseline": "shots/about.png"}, configMap={"name": "looks"}),
            "shots/about.png cannot be a key of the configMap 'looks'",
        ),
        (
            accepting(),
            probe("docs", 18302, {"name": "other", "path": "/"}),
            "the run's task has no such picture",
        ),
    ],
)
def test_what_cannot_be_written_is_told(found: Accepting, criterion: dict[str, Any], complaint: str) -> None:
    with pytest.raises(EvidenceError, match=re.escape(complaint)):
        places(found, criterion)


def test_an_object_is_made_and_then_filled_further(desk: Desk) -> None:
    wanted = accepting(cluster=True, kubeconfig=desk.kubeconfig(), namespace="team")
    first = (Place(None, CONFIG_MAPS, "looks", "home.png"), b"one")
    asyncio.run(write_objects(wanted, [first]))
    asyncio.run(write_objects(wanted, [(Place(None, CONFIG_MAPS, "looks", "about.png"), b"two")]))
    stored = desk.server.objects["configmaps", "team", "looks"]
    assert stored["binaryData"] == {
        "home.png": base64.b64encode(b"one").decode(),
        "about.png": base64.b64encode(b"two").decode(),
    }
