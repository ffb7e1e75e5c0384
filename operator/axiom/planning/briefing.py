"""What an agent is told and given: from the task and its class to the commands of its sandbox. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

import yaml

from axiom.api.agentclass import (
    AgentClass,
    AgentClassSpec,
    ContextSettings,
    PageShots,
    Silences,
    is_measured,
    mcp_prefix,
)
from axiom.api.agenttask import AgentTask, ContextCapability
from axiom.api.usage import micro_dollars
from axiom_sandbox.protocol.agents import AgentMode
from axiom_sandbox.protocol.approvals import Approvals
from axiom_sandbox.protocol.changes import CandidateSource
from axiom_sandbox.protocol.channel import (
    AgentProgram,
    ContextAct,
    ContextPolicy,
    Envelope,
    HomeFile,
    Limits,
    McpRoute,
    Patience,
    StartAgent,
    TerminalSize,
)
from axiom_sandbox.protocol.checkpoints import Keeping
from axiom_sandbox.protocol.criteria import Criterion
from axiom_sandbox.protocol.pictures import PagePictures, PictureSettings
from axiom_sandbox.protocol.pricing import Pricing, Rate
from axiom_sandbox.protocol.quantities import parse_duration, parse_quantity

TOKEN_PLACEHOLDER = "$(AXIOM_ATTEMPT_TOKEN)"  # noqa: S105 - what `reconciling` puts the attempt's token in place of


MOST_PAUSE_SECONDS = 4 * 3600
"""So long, in all, a task's deadline stands while it waits for a vendor."""


def deadline_of(task: AgentTask, accepted: datetime) -> datetime:
    """When the task's time is over, with that for which it stood still so far."""
    pauses = (task.status.vendor_pause, task.status.suspension)
    stood = sum(pause.seconds for pause in pauses if pause)
    return accepted + parse_duration(task.spec.limits.deadline) + timedelta(seconds=stood)


def budget_of(task: AgentTask) -> int:
    """Micro-dollars that the task may spend; -1 where it has no budget."""
    budget = task.spec.limits.budget
    return micro_dollars(budget.usd) if budget else -1


def limits_of(task: AgentTask, agent_class: AgentClass, accepted: datetime) -> Limits:
    """The task's limits, none above the class's ceilings."""
    ceilings = agent_class.spec.ceilings
    storage = min(parse_quantity(task.spec.limits.resources.storage), parse_quantity(ceilings.storage))
    return Limits(
        deadline_ms=int(deadline_of(task, accepted).timestamp() * 1000),
        idle_seconds=parse_duration(task.spec.limits.idle).total_seconds(),
        storage_bytes=int(storage),
        processes=ceilings.processes,
        budget_micro_usd=micro_dollars(budget.usd) if (budget := task.spec.limits.budget) else None,
    )


def pricing_of(spec: AgentClassSpec) -> Pricing:
    """The class's prices, those that say most first: whole names, then the longest beginnings."""
    rates = (
        Rate(
            model=price.model,
            input=micro_dollars(price.input),
            cached_input=micro_dollars(price.cached_input or price.input),
            cache_write=micro_dollars(price.cache_write or price.input),
            output=micro_dollars(price.output),
        )
        for price in spec.prices
    )
    return Pricing(
        rates=tuple(sorted(rates, key=lambda rate: (rate.model.endswith("*"), -len(rate.model)))),
        measured=is_measured(spec),
    )


def patience_of(silences: Silences) -> Patience:
    """The class's durations, in seconds."""
    return Patience(
        noted_seconds=parse_duration(silences.noted_after).total_seconds(),
        flagged_seconds=parse_duration(silences.flagged_after).total_seconds(),
        hung_seconds=parse_duration(silences.hung_after).total_seconds(),
        tool_seconds=parse_duration(silences.tool_hung_after).total_seconds(),
        waiting_seconds=parse_duration(silences.wait_hung_after).total_seconds(),
        resumes=silences.resumes,
    )


def context_policy(given: ContextSettings | None, own: ContextCapability | None) -> ContextPolicy | None:
    """What the class says of a full context, made stricter by the task: the smaller share, and Stop if it asks for that."""
    percents = [one.at_percent for one in (given, own) if one and one.at_percent is not None]
    act = ContextAct.STOP if own and own.then else given and given.then
    if not percents or act is None:
        return None
    return ContextPolicy(percent=min(percents), act=act, window=given.window if given else None)


def _page(page: PageShots) -> PagePictures:
    return PagePictures(
        port=page.port,
        path=page.path,
        seconds=parse_duration(page.every).total_seconds(),
        width=page.width,
        height=page.height,
    )


def start_command(
    task: AgentTask, agent_class: AgentClass, accepted: datetime, round: int, prompt: str, token: str
) -> StartAgent:
    """The command that begins an attempt. `token` is for the egress proxy alone."""
    spec = agent_class.spec
    return StartAgent(
        envelope=Envelope(
            prompt=task.spec.prompt,
            criteria=tuple(task.criteria),
            limits=limits_of(task, agent_class, accepted),
            agent_class=agent_class.name,
            max_rounds=task.spec.limits.max_rounds,
            candidate=task.spec.verification.candidate,
            message_path=task.spec.verification.message_path or "",
        ),
        program=AgentProgram(
            driver=spec.driver,
            mode=(spec.mode or AgentMode.STRUCTURED) if spec.speaks else AgentMode.TERMINAL,
            command=tuple(spec.command),
            resume_command=tuple(spec.resume_command),
            prompt_delivery=spec.prompt_delivery,
            env={**_forward_proxy(spec), **{variable.name: variable.value for variable in spec.env}},
            home_files=tuple(HomeFile(path=file.path, content=file.content) for file in spec.home_files),
            mcp_servers=tuple(
                McpRoute(name=server.name, path=mcp_prefix(server.name)) for server in spec.mcp_servers
            ),
            approvals=spec.approvals or Approvals(),
            patience=patience_of(spec.silences),
            context=context_policy(spec.context, task.spec.capabilities.context),
            terminal=TerminalSize(columns=spec.terminal.columns, rows=spec.terminal.rows),
            pictures=PictureSettings(
                terminal=spec.screenshots.terminal,
                folder=spec.screenshots.folder or "",
                pages=tuple(_page(page) for page in spec.screenshots.pages),
            ),
            pricing=pricing_of(spec),
        ),
        prompt=prompt,
        token=token,
        round=round,
        checkpoint_seconds=parse_duration(spec.checkpoints.every).total_seconds()
        if spec.checkpoints.every
        else 0,
        keeping=Keeping(
            ignore=tuple(spec.checkpoints.ignore),
            max_files=spec.checkpoints.max_files,
            max_bytes=int(parse_quantity(spec.checkpoints.max_size)),
        ),
    )


def _forward_proxy(spec: AgentClassSpec) -> dict[str, str]:
    """How programs find the way to the class's destinations. The proxy's own name is asked without a proxy: models are there."""
    destinations = spec.egress.destinations
    if not destinations:
        return {}
    names = ["https_proxy"] if any(one.ports for one in destinations) else []
    names += ["http_proxy"] if any(one.http for one in destinations) else []
    found = dict.fromkeys(names, "$(AXIOM_TUNNEL_URL)")
    found["no_proxy"] = "$(AXIOM_PROXY_HOST),localhost,127.0.0.1,::1"
    return {**found, **{name.upper(): value for name, value in found.items()}}


def prompt_of(task: AgentTask, agent_class: AgentClass) -> str:
    """What the agent is told at the start: the prompt, where its work is looked for if that is not its workspace, and the
    criteria unless the class says no; never those with hidden tests."""
    parts = [task.spec.prompt]
    if task.spec.verification.candidate is CandidateSource.MESSAGE:
        parts.append(_how_to_hand_in(task.spec.verification.message_path))
    shown = [criterion for criterion in task.criteria if not criterion.hides]
    if agent_class.spec.show_criteria and shown:
        parts.append(f"Your work is checked afterwards against these criteria:\n{_shown(shown)}")
    return "\n\n".join(parts)


def _how_to_hand_in(path: str | None) -> str:
    unnamed = f" A block that names no file is {path}." if path else ""
    return (
        "Your work is the code in your final message, and nothing else: files that you write do not count. Give each file that"
        " you add or change whole, in a fenced block of its own that names it behind its language: ```python src/leap.py"
        f" is such a beginning.{unnamed} If you are asked to go on, give all of them again."
    )


def _shown(criteria: list[Criterion]) -> str:
    shown = [
        criterion.model_dump(by_alias=True, mode="json", exclude_defaults=True) for criterion in criteria
    ]
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100).rstrip()
