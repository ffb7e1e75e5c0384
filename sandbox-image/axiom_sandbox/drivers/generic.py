"""Any command: it is told its prompt once, works under its terminal, and its exit is the claim."""

from __future__ import annotations

from axiom_sandbox.drivers.contract import Command, Driver, Step, Turn
from axiom_sandbox.drivers.expanding import PROMPT_VARIABLE, environment, expand, variables
from axiom_sandbox.protocol.agents import DriverName
from axiom_sandbox.protocol.channel import PromptDelivery


class GenericDriver(Driver):
    """The class says everything: command, command of further rounds, and how the prompt is delivered."""

    name = DriverName.GENERIC
    structured = False

    def command(self, turn: Turn) -> Command:
        """The class's command, or the one that goes on."""
        argv = self._argv(turn)
        known = variables(self.place) | {PROMPT_VARIABLE: turn.prompt}
        return Command(
            argv=tuple(expand(argument, known) for argument in argv),
            shown_argv=argv,
            env=environment(self.place, self.program),
            pipe_in=self._delivery(turn) is PromptDelivery.STDIN,
        )

    def begin(self, turn: Turn) -> Step:
        """The prompt, unless it is an argument."""
        self.memory.begin(turn.round)
        match self._delivery(turn):
            case PromptDelivery.STDIN:
                return Step(write=turn.prompt.encode(), close=True)
            case PromptDelivery.TYPED:
                return Step(typed=turn.prompt)
            case PromptDelivery.ARGUMENT:
                return Step()

    def parse(self, data: bytes) -> Step:
        """Nothing: all that it writes is on its terminal."""
        return Step()

    def _argv(self, turn: Turn) -> tuple[str, ...]:
        program = self.program
        return program.resume_command if turn.later and program.resume_command else program.command

    def _delivery(self, turn: Turn) -> PromptDelivery:
        if any(f"$({PROMPT_VARIABLE})" in argument for argument in self._argv(turn)):
            return PromptDelivery.ARGUMENT
        return self.program.prompt_delivery
