"""Judges are asked through the real egress proxy, with the real SDKs; the vendor is a scripted one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.axiom.running.runs import OUT, Play, shell, task
from tests.fakes.scripted_model.script import Script
from tests.fakes.scripted_model.server import ScriptedModel

from axiom.api.agentclass import Judge
from axiom.egress.serving import serve_unix
from axiom.egress.settings import ProxySettings
from axiom.egress.tokens import Purpose, errand_grant, mint, on_errand
from axiom.errands.envoy import Envoy, PageCache, Way
from axiom_sandbox.protocol.errands import Answered, AskJudge, NotDone, Vendor
from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.protocol.verdicts import Verdict
from axiom_sandbox.verifying.judge import FORM

KEY = b"k" * 32
REAL = "sk-real-0123456789"
OWNER = Identity(namespace="n", task="t", task_id="u", attempt=1, role=Role.VERIFIER, round=1, trial=1)
LOOPBACK = ProxySettings(allow_private_upstreams=frozenset({"127.0.0.1"}))
MODELS = {Vendor.ANTHROPIC: "claude-x", Vendor.OPENAI: "gpt-x", Vendor.GOOGLE: "gemini-x"}


def answer(verdict: str, quotation: str) -> str:
    finding = {"quotation": quotation, "explanation": "there"}
    return json.dumps({"verdict": verdict, "findings": [finding], "summary": "seen"})


def script(*steps: Any) -> Script:
    return Script.model_validate({"turns": [list(steps)]})


def judge_at(url: str, vendor: Vendor) -> Judge:
    return Judge.model_validate(
        {
            "name": "one",
            "vendor": vendor.value,
            "model": MODELS[vendor],
            "secretRef": {"name": "keys", "key": "judge"},
            "upstream": url,
        }
    )


async def ask(folder: Path, model: ScriptedModel, vendor: Vendor, seconds: float = 30) -> Any:
    judge, socket = judge_at(model.url, vendor), folder / "egress.sock"
    routes = {"c": (), on_errand("c", Purpose.JUDGES): (judge.credential,)}
    errand = AskJudge(
        id="judge", seat=judge.seat, instructions="Judge.", shown="the change", form=FORM, seconds=seconds
    )
    async with serve_unix(socket, routes, {"judge-one": REAL}, KEY, settings=LOOPBACK):
        envoy = Envoy(
            Way("http://egress", socket),
            lambda purpose: mint(KEY, errand_grant(OWNER, "c", purpose, time.time())),
            PageCache(),
        )
        return await envoy.go(errand)


@pytest.mark.parametrize("vendor", Vendor)
async def test_each_vendor_answers_and_only_the_proxy_knows_the_key(tmp_path: Path, vendor: Vendor) -> None:
    said = answer("PASS", "the change")
    async with ScriptedModel(script({"say": said}), expected_key=REAL, asides=False) as model:
        found = await ask(tmp_path, model, vendor)
        assert isinstance(found, Answered), found
        assert (found.text, found.model) == (said, MODELS[vendor])
        assert found.output_tokens > 0
        assert [one.status for one in model.requests] == [200]


@pytest.mark.parametrize("vendor", Vendor)
async def test_a_vendor_that_is_overloaded_once_is_asked_again(tmp_path: Path, vendor: Vendor) -> None:
    failing = {"error": {"status": 503, "retryAfterSeconds": 0}}
    async with ScriptedModel(
        script(failing, {"say": answer("FAIL", "the change")}), expected_key=REAL, asides=False
    ) as model:
        assert isinstance(await ask(tmp_path, model, vendor), Answered)
        assert [one.status for one in model.requests] == [503, 200]


@pytest.mark.parametrize("vendor", Vendor)
async def test_a_vendor_that_refuses_gives_no_answer_and_says_why(tmp_path: Path, vendor: Vendor) -> None:
    async with ScriptedModel(script({"say": "never"}), expected_key="another", asides=False) as model:
        found = await ask(tmp_path, model, vendor)
        assert isinstance(found, NotDone)
        assert "401" in found.why
        assert REAL not in found.why


async def test_a_vendor_that_is_silent_is_not_waited_for(tmp_path: Path) -> None:
    async with ScriptedModel(script({"hang": 9}, {"say": "late"}), asides=False) as model:
        found = await ask(tmp_path, model, Vendor.OPENAI, seconds=0.5)
    assert isinstance(found, NotDone)
    assert "did not answer within 0.5 s" in found.why


async def test_a_task_is_vetoed_by_a_judge_that_its_agent_cannot_reach(tmp_path: Path) -> None:
    veto = answer("FAIL", "=== out: Added")
    judged = {"name": "judged", "judge": {"question": "Is it honest?"}}
    async with ScriptedModel(script({"say": veto}), expected_key=REAL, asides=False) as model:
        judge = judge_at(model.url, Vendor.GOOGLE).model_dump(mode="json", by_alias=True, exclude_none=True)
        agent = shell("echo done > out", agentVendor="OpenAI", judges=[judge])
        play = Play(tmp_path, task(criteria=[OUT, judged]), agent, credentials={"judge-one": REAL})
        status = await play.play()
        assert [one.status for one in model.requests] == [200]
    assert status.verdict is Verdict.FAIL
    results = {one.name: one for one in status.rounds[-1].criteria}
    assert (results["out"].verdict, results["judged"].verdict) == (Verdict.PASS, Verdict.FAIL)
    assert "“=== out: Added”: there" in results["judged"].message
    [consulted] = play.events("consulted", "verifier-1-1")
    assert "do it" in consulted["errand"]["shown"]
    assert REAL not in json.dumps(consulted)
