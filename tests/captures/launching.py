"""How each CLI is started for a capture: by its driver, as in a sandbox, with the scripted model for its vendor."""

from __future__ import annotations

from pathlib import Path

from axiom_sandbox.drivers.contract import Command, Driver, Place, Turn
from axiom_sandbox.drivers.registry import make_driver
from axiom_sandbox.drivers.screen import ScreenDriver
from axiom_sandbox.protocol.agents import AgentMode, DriverName
from axiom_sandbox.protocol.approvals import Approvals, Permission
from axiom_sandbox.protocol.channel import AgentProgram, HomeFile

KEY = "sk-capture-0123456789"

_CODEX = """\
model = "gpt-5.5"
model_provider = "axiom"
web_search = "disabled"

[model_providers.axiom]
name = "OpenAI through Axiom"
base_url = "MODEL/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
supports_websockets = false
"""


_OPENCODE = """\
{
  "model": "anthropic/claude-sonnet-4-5",
  "small_model": "anthropic/claude-sonnet-4-5",
  "provider": {"anthropic": {"options": {"baseURL": "MODEL/v1", "apiKey": "KEY"}}}
}
"""


def driver(
    cli: str, argv: tuple[str, ...], workspace: Path, home: Path, path: str, model: str, asks: bool = False
) -> Driver:
    """The driver of a CLI, at the beginning of a session with this model. `asks`: it is told so at its start, if at all."""
    place = Place(workspace=str(workspace), home=str(home), proxy_url=model, path=path, token=KEY)
    approvals = Approvals(default=Permission.ASK if asks else Permission.ALLOW)
    return make_driver(_program(cli, argv).model_copy(update={"approvals": approvals}), place)


def screen_driver(
    cli: str, argv: tuple[str, ...], workspace: Path, home: Path, path: str, model: str, approvals: Approvals
) -> ScreenDriver:
    """The same in mode Terminal."""
    place = Place(workspace=str(workspace), home=str(home), proxy_url=model, path=path, token=KEY)
    program = _program(cli, argv).model_copy(update={"mode": AgentMode.TERMINAL, "approvals": approvals})
    made = make_driver(program, place)
    assert isinstance(made, ScreenDriver)
    return made


def _program(cli: str, argv: tuple[str, ...]) -> AgentProgram:
    match cli:
        case "claude":
            env = {"ANTHROPIC_BASE_URL": "$(AXIOM_PROXY_URL)", "ANTHROPIC_API_KEY": "$(AXIOM_TOKEN)"}
            return AgentProgram(driver=DriverName.CLAUDE, command=argv, env=env)
        case "codex":
            return AgentProgram(
                driver=DriverName.CODEX, command=argv, env={"OPENAI_API_KEY": "$(AXIOM_TOKEN)"}
            )
        case "opencode":
            return AgentProgram(driver=DriverName.OPEN_CODE, command=argv)
        case _:
            env = {"GOOGLE_GEMINI_BASE_URL": "$(AXIOM_PROXY_URL)", "GEMINI_API_KEY": "$(AXIOM_TOKEN)"}
            model = ("--model", "gemini-2.5-flash")
            return AgentProgram(driver=DriverName.GEMINI, command=(*argv, *model), env=env)


def home_files(driver: Driver, model: str) -> tuple[HomeFile, ...]:
    """What is in its home before it is started for the first time."""
    match driver.name:
        case DriverName.CODEX:
            own = [HomeFile(path=".codex/config.toml", content=_CODEX.replace("MODEL", model))]
        case DriverName.OPEN_CODE:
            content = _OPENCODE.replace("MODEL", model).replace("KEY", KEY)
            own = [HomeFile(path=".config/opencode/opencode.json", content=content)]
        case _:
            own = []
    return (*driver.home_files(), *own)


def command(driver: Driver, session: str) -> Command:
    """How it is started, to begin a session or to go on with one."""
    return driver.command(Turn(1, "", session=session, resume=bool(session)))
