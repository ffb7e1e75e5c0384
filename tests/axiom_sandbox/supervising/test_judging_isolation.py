"""Which layers are there, which are missing, and whether the agent may start."""

from __future__ import annotations

from axiom_sandbox.protocol.channel import LayerFound
from axiom_sandbox.protocol.launching import Assertion, Expectation, Layer
from axiom_sandbox.supervising.judging_isolation import judge

ALL = [Assertion(name=f"{layer}.{n}", layer=layer, ok=True) for layer in Layer for n in "ab"]


def wrong(*names: str) -> list[Assertion]:
    return [item.model_copy(update={"ok": item.name not in names}) for item in ALL]


def test_every_layer_is_told_with_what_it_held() -> None:
    found = judge(Expectation(), ALL, 7)
    assert found.passed
    assert (found.failed, found.missing_layers, found.took_ms) == ((), (), 7)
    assert found.layers[0] == LayerFound(name="Container", tried=2, held=2)
    assert {layer.name for layer in found.layers} == {layer.shown for layer in Layer}


def test_one_wrong_assertion_is_enough() -> None:
    found = judge(Expectation(), wrong("landlock.a"), 0)
    assert not found.passed
    assert found.failed == ("landlock.a",)


def test_nothing_tried_is_a_failure() -> None:
    assert not judge(Expectation(), [], 0).passed


def test_a_layer_that_may_be_missing_fails_nothing_and_is_told() -> None:
    found = judge(Expectation(may_miss=(Layer.LANDLOCK,)), wrong("landlock.a"), 0)
    assert found.passed
    assert (found.failed, found.missing_layers) == ((), ("Landlock",))
    assert LayerFound(name="Landlock", tried=2, held=1) in found.layers


def test_a_layer_that_may_be_missing_and_is_there_is_not_told_as_missing() -> None:
    assert judge(Expectation(may_miss=(Layer.LANDLOCK,)), ALL, 0).missing_layers == ()


def test_another_layer_still_has_to_hold() -> None:
    found = judge(Expectation(may_miss=(Layer.LANDLOCK,)), wrong("landlock.a", "seccomp.b"), 0)
    assert found.failed == ("seccomp.b",)
    assert not found.passed


def test_a_layer_that_a_backend_does_not_have_is_told_as_missing() -> None:
    tried = [item for item in ALL if item.layer != Layer.USER_NAMESPACE]
    found = judge(Expectation(user_namespace=False), tried, 0)
    assert found.passed
    assert found.missing_layers == ("UserNamespace",)
