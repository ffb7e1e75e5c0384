"""Tests in JavaScript and Go decide tasks in pods, in clean rooms whose images come from the Dockerfiles that users have."""

from __future__ import annotations

import pytest
from tests.cheats import golang, javascript, with_jest
from tests.cheats.other_tasks import OtherTask

from e2e.cluster.connection import Connection
from e2e.support.images import Images, build_verifier_image
from e2e.support.world import World

pytestmark = pytest.mark.e2e

LANGUAGES = {"node": javascript.LEAP, "jest": with_jest.LEAP, "go": golang.LEAP}
RIGHT = "year%4 == 0 && (year%100 != 0 || year%400 == 0)"
ONE_LINE = {
    "node": "export function isLeap(year) { return %s }",
    "jest": "export function isLeap(year) { return %s }",
    "go": "package leap; func IsLeap(year int) bool { return %s }",
}
COMPILING = {"cpu": "1", "memory": "1Gi", "storage": "1Gi"}
CHEATS = {
    "jest": "globalThis.expect = () => ({ toBe() {}, toBeFalsy() {} }); export function isLeap(year) { return true }",
    "node": "process.exit(0); export function isLeap(year) { return false }",
    "go": 'package leap; import "os"; func init() { os.Exit(0) }; func IsLeap(year int) bool { return false }',
}


@pytest.mark.parametrize(
    "language",
    ["node", pytest.param("jest", marks=pytest.mark.campaign), "go"],  # Jest's image takes minutes to build
)
def test_the_right_fix_passes_and_a_wrong_one_and_a_cheat_do_not(
    world: World, cluster: Connection, images: Images, language: str
) -> None:
    task: OtherTask = LANGUAGES[language]
    image = build_verifier_image(cluster, language, images)
    world.make_class()
    works = {
        "right": ONE_LINE[language] % RIGHT,
        "wrong": ONE_LINE[language] % "year%100 != 0",
        "cheat": CHEATS[language],
    }
    for name, text in works.items():
        world.make_task(
            f"{language}-{name}",
            f"write {task.module} {text}",
            "exit 0",
            workspace={"files": [{"path": path, "content": text} for path, text in task.base.items()]},
            criteria=[task.criterion()],
            verification={"image": image},
            limits={"deadline": "10m", "maxRounds": 1, "resources": COMPILING},
        )
    verdicts, messages = {}, {}
    for name in works:
        status = world.wait_complete(f"{language}-{name}", limit_seconds=600)
        verdicts[name], messages[name] = status["verdict"], status["message"]
        [found] = status["rounds"][-1]["criteria"]
        assert found["strength"] == "InProcess", found
    assert verdicts == {"right": "Pass", "wrong": "Fail", "cheat": "Fail"}, messages


SERVED = """\
import test from 'node:test'
import assert from 'node:assert'
import http from 'node:http'
import { isLeap } from '../leap.mjs'

test('served', async () => {
  const server = http.createServer((_, answer) => answer.end(String(isLeap(1900))))
  await new Promise((ready) => server.listen(0, 'localhost', ready))
  const answer = await fetch(`http://localhost:${server.address().port}/`)
  server.close()
  assert.strictEqual(await answer.text(), 'false')
})
"""


def test_tests_that_open_sockets_have_a_loopback_where_they_ask_for_one(
    world: World, cluster: Connection, images: Images
) -> None:
    image = build_verifier_image(cluster, "node", images)
    world.make_class()
    files = {"leap.mjs": javascript.LEAP.buggy, "test/served.test.mjs": SERVED}
    tests = {"runner": "NodeTest", "failToPass": ["test/served.test.mjs::served"]}
    verdicts = {}
    for name, loopback in {"with-loopback": True, "without-loopback": False}.items():
        world.make_task(
            name,
            f"write leap.mjs {ONE_LINE['node'] % RIGHT}",
            "exit 0",
            workspace={"files": [{"path": path, "content": text} for path, text in files.items()]},
            criteria=[{"name": "served", "tests": {**tests, "loopback": loopback}}],
            verification={"image": image},
            limits={"deadline": "10m", "maxRounds": 1, "resources": COMPILING},
        )
    for name in ("with-loopback", "without-loopback"):
        verdicts[name] = world.wait_complete(name, limit_seconds=600)["rounds"][-1]["criteria"][0]["verdict"]
    assert verdicts == {"with-loopback": "Pass", "without-loopback": "Inconclusive"}
