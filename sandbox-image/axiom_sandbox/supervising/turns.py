"""One round of an agent: its process, started or taken over, watched, and started again in its session if it hangs or dies.

Everything that an earlier life of the supervisor did in this round is known from the ledger and the launcher; names of
processes are numbered within the round, so nothing is started twice.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

from axiom_sandbox.drivers.contract import Command, Ended, Turn
from axiom_sandbox.drivers.expanding import expand, variables
from axiom_sandbox.drivers.memory import Memory
from axiom_sandbox.protocol.agents import Session
from axiom_sandbox.protocol.channel import ContextAct, FailureReason
from axiom_sandbox.protocol.events import (
    AgentExited,
    AgentStarted,
    Gap,
    Intervention,
    SessionResumed,
    UserMessage,
)
from axiom_sandbox.protocol.launching import Exit, Lockdown, ProcessLimits, Start, Tty
from axiom_sandbox.snapshots.writing import Writer
from axiom_sandbox.supervising.attending import Attendance, Means, how_it_ended
from axiom_sandbox.supervising.context import GO_ON_COMPACTED, SUMMARISE, go_on_fresh, percent_of
from axiom_sandbox.supervising.launcher_link import Handover, LauncherError
from axiom_sandbox.supervising.sandbox import SandboxFailedError
from axiom_sandbox.supervising.spool import Spool
from axiom_sandbox.terminal.screens import ScreenState, View

_OWN_THREADS = 64
"""Launcher and supervisor run as the same user, and their threads count against the kernel's limit, too."""
_IN_IMAGE = "in the class's image (where it has none: on this machine)"
_START_CURES = {
    "ENOENT": f"; install it {_IN_IMAGE}, or correct the command",
    "EACCES": f"; make it executable {_IN_IMAGE}, or correct the command",
    "ENOEXEC": "; take an image for this machine's processor, or begin the command with what runs the script",
}
"""By the error with which a program was not executed."""
_LONGEST_BACKOFF = 60.0
_SPREAD_SECONDS = 10.0
"""So far apart agents begin again that waited for the same vendor."""
_MUTE_STARTS = 2
"""An agent that ends by itself so often before it has said anything cannot work: another start would end alike."""
_GO_ON = (
    "You were interrupted: your process ended ({why}), and was started again in the same session."
    " What a tool did that ran then is not known; look before you repeat it. Go on with the task."
)
_GO_ON_ELSEWHERE = (
    "You go on in the same session, but in another sandbox: the first one was lost. The workspace is as it was when it was last"
    " saved, and may lack what you did after that; no process that you had started is left.{lost} Look before you rely on"
    " anything. What you are to do:\n\n{prompt}"
)
_LOST = " What a tool did that ran then is not known: {}."


def process_name(number: int, index: int) -> str:
    """The launcher's name for a process of a round: the first is number 0."""
    return f"agent-{number}" if index == 0 else f"agent-{number}-{index}"


def exited(number: int, end: Exit) -> AgentExited:
    """The event of an end."""
    return AgentExited(round=number, **end.model_dump())


class Round:
    """One round, from its prompt to the end of its last process."""

    def __init__(self, means: Means, number: int, prompt: str) -> None:
        self._means, self.number, self._prompt = means, number, prompt
        self.index = means.history.resumed[number]
        """Number of the present process."""
        self.present: Attendance | None = None
        """While a process is attended to."""
        self.tail = b""
        """The last that the terminal showed."""
        self.view: View | None = None
        self.screen: ScreenState | None = None
        """What its terminal showed last."""
        self._lost: tuple[str, ...] = ()
        self._why = ""
        """Why the process before this one ended."""

    @property
    def process(self) -> str:
        """The launcher's name for the present process."""
        return process_name(self.number, self.index)

    @property
    def _spool_file(self) -> Path:
        return self._means.folder / f"spool-{self.process}"

    async def play(self) -> Ended:
        """Plays it, or goes on where an earlier life of this process was."""
        await self._announce_session()
        mute = 0
        while True:
            exit_, hung = await self._process()
            by_us = self._means.history.ended_by_us.get(self.number, "")
            if not by_us and not hung and await self._goes_on_for_its_context(exit_):
                continue
            why = hung or how_it_ended(exit_)
            self._check_restored(by_us or hung)
            memory, resumes = self._means.driver.memory, self._means.start.program.patience.resumes
            over = memory.outcome is not None and not hung
            if not self._means.driver.structured or by_us or over or self._deaths >= resumes:
                await self._note_unknown_fill()
                return Ended(exit_, by_us, self.tail)
            mute = mute + 1 if not hung and is_mute(exit_, memory) else 0
            if mute == _MUTE_STARTS:
                await self._give_up(why)
                return Ended(exit_, by_us, self.tail)
            await self._begin_another(exit_, why)

    @property
    def _deaths(self) -> int:
        """How often it was started again because it hung or died."""
        return self.index - self._means.history.planned[self.number]

    @property
    def _purpose(self) -> str:
        """What the present process is for; empty: to work."""
        return self._means.history.purpose.get(self.number, "")

    async def _goes_on_for_its_context(self, exit_: Exit) -> bool:
        """Begins another process if the last one was ended for its context, or has written its summary."""
        memory, deed = self._means.driver.memory, self._means.history.unserved(self.number)
        if deed and memory.outcome is not None and memory.outcome.ok:
            return False  # its turn was over before it heard of that: it has made its claim
        if deed and deed.act is ContextAct.COMPACT and memory.can_resume:
            await self._begin_another(exit_, deed.why, "compact", GO_ON_COMPACTED)
        elif deed and memory.can_resume:
            await self._begin_another(exit_, deed.why, "summarise", SUMMARISE)
        elif self._purpose == "summarise" and memory.outcome is not None:
            summary = memory.outcome.text if memory.outcome.ok else ""
            why = "its context was nearly full; a fresh session goes on by its summary"
            await self._begin_another(exit_, why, "fresh", go_on_fresh(self._prompt, summary))
        else:
            return False
        return True

    async def _note_unknown_fill(self) -> None:
        """A policy that could do nothing says so."""
        policy, memory = self._means.start.program.context, self._means.driver.memory
        if policy is None or percent_of(policy, memory.fill) is not None:
            return
        detail = (
            f"context.atPercent ({policy.percent}) did nothing: this agent does not say how full its context is, or what its"
            " model can hold; context.window of the class says the latter"
        )
        await self._means.record(Intervention(by="supervisor", action="context", detail=detail))

    def _check_restored(self, ended_by_us: str) -> None:
        """A checkpoint whose session the agent did not come into does not hold. Raises SandboxFailedError."""
        restored, memory = self._means.restored, self._means.driver.memory
        if restored is None or not restored.driver.session or ended_by_us or self.index:
            return
        wanted, is_elsewhere = restored.driver.session.id, memory.opened and memory.session
        came = is_elsewhere == wanted if is_elsewhere else memory.outcome is not None
        if self.number == self._means.start.round and not came:
            found = f"; it is in {is_elsewhere}" if is_elsewhere else ""
            raise SandboxFailedError(
                FailureReason.RESTORE_FAILED,
                f"the agent did not come into session {wanted} of checkpoint {restored.number}{found}",
            )

    async def _give_up(self, why: str) -> None:
        detail = (
            f"its process ended by itself ({why}) {_MUTE_STARTS} times before it had said anything, so it is not started"
            " again: a wrong option, or a program that cannot work here; what it printed is the claim"
        )
        await self._means.record(Intervention(by="supervisor", action="give up", detail=detail))

    # --- its processes ----------------------------------------------------------------------------------------

    def _turn(self) -> Turn:
        memory = self._means.driver.memory
        later = bool(self._means.board.state.rounds) or self._means.restored is not None
        resume, carried = memory.can_resume, self._carried
        prompt = self._prompt
        if self._purpose:
            fresh = self._purpose == "fresh"
            return Turn(
                self.number,
                self._means.history.last_prompt,
                session=self._new_session if fresh or not resume else memory.session,
                resume=resume and not fresh,
                compact=self._purpose == "compact" and resume,
                later=True,
            )
        if resume and self.index > 0:
            prompt = _GO_ON.format(why=self._why or "the supervisor was started again")
        elif resume and carried:
            lost = _LOST.format(", ".join(carried.lost)) if carried.lost else ""
            prompt = _GO_ON_ELSEWHERE.format(lost=lost, prompt=prompt)
        return Turn(
            self.number,
            prompt,
            session=memory.session if resume else self._new_session,
            resume=resume,
            later=later,
        )

    @property
    def _carried(self) -> Session | None:
        """The session of another sandbox that this round begins in."""
        start = self._means.start
        return start.session if self.number == start.round else None

    async def _announce_session(self) -> None:
        carried, history = self._carried, self._means.history
        if carried and not history.carried:
            history.carried = True
            why = "the sandbox that it was in is gone"
            event = SessionResumed(
                round=self.number, session=carried.id, fresh=False, number=0, why=why, lost=carried.lost
            )
            await self._means.record(event)

    @property
    def _new_session(self) -> str:
        """The same whenever this process is asked about, and no other's."""
        identity = self._means.settings.identity
        name = f"{identity.task_id}/{identity.attempt}/{self.process}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"axiom:{name}"))

    async def _process(self) -> tuple[Exit, str]:
        """One process: how it ended, and why it counted as hung, if it did."""
        means, turn = self._means, self._turn()
        command = means.driver.command(turn)
        taken_over = means.link.knows(self.process) is not None
        if taken_over:
            await self._note_restart()
            handover = await means.link.take_fds(self.process)
        else:
            self._write_home()
            handover = await self._start(command)
        try:
            if means.history.started[self.number] <= self.index:
                means.history.started[self.number] += 1
                await means.record(AgentStarted(round=self.number, argv=command.shown_argv, pid=handover.pid))
            may_resume = self._deaths < means.start.program.patience.resumes
            self.present = Attendance(
                means,
                self.process,
                turn,
                handover,
                self._spool_file,
                taken_over,
                may_resume,
                minds_context=self._purpose != "summarise",
            )
            try:
                return await self.present.attend()
            finally:
                self.tail, self._lost = self.present.tail, self.present.lost
                self.view, self.screen = self.present.view, self.present.screen
                self.present = None
        finally:
            handover.close()

    async def _begin_another(self, exit_: Exit, why: str, purpose: str = "", prompt: str = "") -> None:
        """Ends all that is left of the last process, and announces the next; with a purpose also what it is told."""
        means, memory = self._means, self._means.driver.memory
        await means.link.kill()
        fresh = purpose == "fresh" or not memory.can_resume
        resumed = SessionResumed(
            round=self.number,
            session="" if fresh else memory.session,
            fresh=fresh,
            number=self.index + 1,
            why=why,
            lost=self._lost,
            purpose=purpose,
        )
        told = (UserMessage(round=self.number, text=prompt, by="supervisor"),) if purpose else ()
        await means.record(exited(self.number, exit_), resumed, *told)
        means.history.spoken.clear()
        await means.link.release(self.process)
        Spool.remove(self._spool_file)
        self.index, self._why = self.index + 1, why
        if not purpose:
            if means.board.state.vendor_down:
                await means.vendor_answers()
                await asyncio.sleep(_SPREAD_SECONDS * means.jitter())
            await asyncio.sleep(backoff(self._deaths, means.jitter()))

    async def _note_restart(self) -> None:
        at = self._means.recording.output_bytes
        reason = "the supervisor was started again; output that it had read and not yet written is lost"
        await self._means.record(Gap(what="terminal", start=at, end=at, size=0, reason=reason))

    def _write_home(self) -> None:
        """Before the first process of all: later the home is the agent's, links that lead elsewhere included."""
        means = self._means
        if means.board.state.rounds or self.index:
            return
        known = variables(means.driver.place)
        own = {item.path: item.content for item in means.driver.home_files()}
        given = {item.path: expand(item.content, known) for item in means.start.program.home_files}
        if means.restored:  # the agent's own files stay; of the class's some hold this attempt's token
            own = {
                path: content for path, content in own.items() if not (means.settings.home / path).exists()
            }
        with Writer(means.settings.home) as writer:
            for path, content in {**own, **given}.items():
                writer.discard(path)
                writer.file(path, (content.encode(),))

    async def _start(self, command: Command) -> Handover:
        means = self._means
        inside, limits, size = means.settings.inside, means.start.envelope.limits, means.terminal_size()
        request = Start(
            name=self.process,
            argv=command.argv,
            env=command.env,
            cwd=inside.workspace,
            tty=Tty(cols=size.columns, rows=size.rows),
            stdin="pipe" if command.pipe_in else "tty",
            stdout="pipe" if command.pipe_out else "tty",
            stderr="tty",
            lockdown=Lockdown(
                network=inside.network,
                proxy_ports=inside.proxy_ports,
                denied_ports=inside.denied_ports,
                write_paths=inside.write_paths,
                limits=ProcessLimits(
                    file_size=limits.storage_bytes,
                    processes=limits.processes + _OWN_THREADS if inside.own_user else 0,
                    open_files=limits.open_files,
                ),
            ),
        )
        try:
            async with means.still:
                await means.link.thaw()
                return await means.link.start(request)
        except LauncherError as error:
            cure = _START_CURES.get(error.code, "") if error.stage == "exec" else ""
            message = (
                f"the agent's command {command.argv[0]!r} (spec.command of its AgentClass) cannot be started:"
                f" {error.stage}: {error}{cure}"
            )
            raise SandboxFailedError(FailureReason.START_FAILED, message) from error


def is_mute(end: Exit, memory: Memory) -> bool:
    """Whether a process ended by itself before its turn did anything."""
    return end.code is not None and memory.activity is None and not memory.opened


def backoff(number: int, jitter: float) -> float:
    """Seconds before the n-th start anew: 1, 2, 4, … up to a minute, less up to a half."""
    return float(min(2.0 ** (number - 1), _LONGEST_BACKOFF) * (1 - jitter / 2))
