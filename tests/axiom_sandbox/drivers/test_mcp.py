"""How each agent is told of the MCP servers of its class: by address, with a token from its environment."""

from __future__ import annotations

import json

import pytest

from axiom_sandbox.drivers.contract import Place, Turn
from axiom_sandbox.drivers.registry import make_driver
from axiom_sandbox.protocol.agents import DriverName
from axiom_sandbox.protocol.channel import AgentProgram, McpRoute

TOKEN = "axm1.token"
URL = "http://proxy:8788/mcp-tracker"
PLACE = Place(
    workspace="/workspace", home="/home/agent", proxy_url="http://proxy:8788", path="/bin", token=TOKEN
)
TURN = Turn(round=1, prompt="work", session="")


def told(driver: DriverName, *servers: McpRoute) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Arguments, environment, and files of the home."""
    made = make_driver(AgentProgram(driver=driver, command=("agent",), mcp_servers=servers), PLACE)
    command = made.command(TURN)
    assert TOKEN not in str(command.argv), "heartbeats show command lines"
    return command.argv, command.env, "".join(file.content for file in made.home_files())


TRACKER = McpRoute(name="tracker", path="/mcp-tracker")
BEARER = {"Authorization": "Bearer ${AXIOM_MCP_TOKEN}"}


def test_claude_code_by_an_option() -> None:
    argv, env, _ = told(DriverName.CLAUDE, TRACKER)
    given = json.loads(argv[argv.index("--mcp-config") + 1])
    assert given == {"mcpServers": {"tracker": {"type": "http", "url": URL, "headers": BEARER}}}
    assert f"AXIOM_MCP_TOKEN={TOKEN}" in env


def test_codex_by_settings() -> None:
    argv, env, _ = told(DriverName.CODEX, TRACKER)
    assert f'mcp_servers.tracker.url="{URL}"' in argv
    assert 'mcp_servers.tracker.bearer_token_env_var="AXIOM_MCP_TOKEN"' in argv
    assert f"AXIOM_MCP_TOKEN={TOKEN}" in env


def test_gemini_cli_by_its_settings_file() -> None:
    _, env, files = told(DriverName.GEMINI, TRACKER)
    assert json.loads(files)["mcpServers"] == {"tracker": {"httpUrl": URL, "headers": BEARER}}
    assert TOKEN not in files, "the file outlives its attempt"
    assert f"AXIOM_MCP_TOKEN={TOKEN}" in env


def test_opencode_by_its_first_messages() -> None:
    driver = make_driver(
        AgentProgram(driver=DriverName.OPEN_CODE, command=("agent",), mcp_servers=(TRACKER,)), PLACE
    )
    driver.begin(TURN)
    said = driver.parse(
        b'{"jsonrpc":"2.0","id":"initialize#","result":{"agentInfo":{"version":"1"}}}\n'
    ).write
    [server] = json.loads(said)["params"]["mcpServers"]
    assert server["url"] == URL
    assert server["headers"] == [{"name": "Authorization", "value": f"Bearer {TOKEN}"}]


@pytest.mark.parametrize("driver", [DriverName.CLAUDE, DriverName.CODEX, DriverName.GEMINI])
def test_without_servers_nothing_is_said_of_them(driver: DriverName) -> None:
    argv, env, files = told(driver)
    assert "mcp" not in f"{argv}{env}{files}".lower()
