"""The generic driver: variables, commands, and what the end of a process says."""

from __future__ import annotations

import pytest

from axiom_sandbox.drivers.contract import Ended, Place, Turn
from axiom_sandbox.drivers.expanding import expand
from axiom_sandbox.drivers.generic import GenericDriver
from axiom_sandbox.protocol.channel import AgentProgram, PromptDelivery
from axiom_sandbox.protocol.launching import Exit

PLACE = Place(
    workspace="/workspace", home="/home/agent", proxy_url="http://127.0.0.1:1", path="/bin", token="secret"
)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("$(A) and $(B)", "1 and $(A)"),
        ("$(B)$(A)", "$(A)1"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$( $() $(A", "$( $() $(A"),
        ("$$(A)", "$1"),
        ("$($(A))", "$(1)"),
    ],
)
def test_known_variables_are_filled_in_once(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "$(A)"}) == expanded


@pytest.mark.parametrize(
    ("delivery", "command", "stdin", "typed"),
    [
        (PromptDelivery.ARGUMENT, ("a", "$(AXIOM_PROMPT)"), b"", ""),
        (PromptDelivery.STDIN, ("a",), b"hi $(AXIOM_TOKEN)", ""),
        (PromptDelivery.TYPED, ("a",), b"", "hi $(AXIOM_TOKEN)"),
        (PromptDelivery.TYPED, ("a", "$(AXIOM_PROMPT)"), b"", ""),
    ],
)
def test_the_prompt_goes_one_way(
    delivery: PromptDelivery, command: tuple[str, ...], stdin: bytes, typed: str
) -> None:
    program = AgentProgram(command=command, prompt_delivery=delivery, env={"K": "$(AXIOM_TOKEN)"})
    driver, turn = GenericDriver(program, PLACE), Turn(2, "hi $(AXIOM_TOKEN)", later=True)
    started, told = driver.command(turn), driver.begin(turn)
    assert (told.write, told.typed) == (stdin, typed)
    assert started.pipe_in is told.close is (delivery is PromptDelivery.STDIN)
    assert started.shown_argv == command
    assert "K=secret" in started.env
    if len(command) == 2:
        assert started.argv == ("a", "hi $(AXIOM_TOKEN)")


def test_a_further_round_uses_the_command_that_resumes() -> None:
    program = AgentProgram(command=("new", "$(AXIOM_PROMPT)"), resume_command=("go", "on", "$(AXIOM_PROMPT)"))
    driver = GenericDriver(program, PLACE)
    assert driver.command(Turn(2, "p", later=True)).argv == ("go", "on", "p")
    assert driver.command(Turn(1, "p")).argv == ("new", "p")


@pytest.mark.parametrize(
    ("ended", "says", "text"),
    [
        (Ended(Exit(code=0), "", b"\x1b[31mfine\x1b[0m\r\n"), "Success", "fine"),
        (Ended(Exit(code=1), "", b""), "Failure", ""),
        (Ended(Exit(signal=9), "", b"x"), "Failure", "x"),
        (Ended(Exit(code=0), "too late", b"x"), "None", "[too late]\nx"),
        (Ended(Exit(signal=9), "too late", b""), "None", "[too late]"),
    ],
)
def test_the_claim_is_what_the_end_says(ended: Ended, says: str, text: str) -> None:
    claim = GenericDriver(AgentProgram(command=("a",)), PLACE).claim(ended).claim
    assert (claim.says, claim.text) == (says, text)


@pytest.mark.parametrize("exit_", [Exit(signal=31), Exit(code=159)])
def test_a_program_that_was_ended_for_its_kind_of_calls_says_so(exit_: Exit) -> None:
    claim = GenericDriver(AgentProgram(command=("a",)), PLACE).claim(Ended(exit_, "", b"hello")).claim
    assert claim.says == "Failure"
    assert "32-bit programs" in claim.text
    assert claim.text.endswith("\nhello")
