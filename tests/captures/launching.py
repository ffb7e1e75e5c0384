"""How each CLI is started for a capture, and with which configuration."""

from __future__ import annotations

import json
from pathlib import Path

KEY = "sk-capture-0123456789"


def options(cli: str, session: str) -> tuple[str, ...]:
    """Its command line, after the program."""
    match cli:
        case "claude":
            structured = (
                *("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
                *("--permission-prompt-tool", "stdio", "--replay-user-messages"),
                *("--include-partial-messages", "--include-hook-events", "--permission-mode", "default"),
            )
            return (*structured, *(("--resume", session) if session else ()))
        case "codex":
            return ("app-server",)
        case _:
            return ("--acp", "--model", "gemini-2.5-flash")


def before(cli: str, session: str) -> tuple[str, ...]:
    """What comes before the program."""
    return ("sh", "-c", _KEEP, "sh") if cli == "gemini" and session else ()


def environment(cli: str, home: Path, model: str) -> dict[str, str]:
    """Its environment, besides PATH."""
    common = {"HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    match cli:
        case "claude":
            return common | {
                "ANTHROPIC_BASE_URL": model,
                "ANTHROPIC_API_KEY": KEY,
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "DISABLE_AUTOUPDATER": "1",
            }
        case "codex":
            return common | {"OPENAI_API_KEY": KEY}
        case _:
            return common | {
                "GOOGLE_GEMINI_BASE_URL": model,
                "GEMINI_API_KEY": KEY,
                "GEMINI_CLI_TRUST_WORKSPACE": "true",
            }


def home_files(cli: str, workspace: Path, model: str) -> dict[str, str]:
    """Files of its home, by path."""
    match cli:
        case "claude":
            return {}
        case "codex":
            return {".codex/config.toml": _CODEX.replace("MODEL", model)}
        case _:
            return {".gemini/settings.json": json.dumps(_GEMINI)}


_KEEP = """\
for file in "$HOME"/.gemini/tmp/*/chats/session-2*; do
  [ -e "$file" ] && mv -n "$file" "${file%/*}/session-kept-${file##*/session-}"
done
exec "$@"
"""

_CODEX = """\
model = "gpt-5.5"
model_provider = "axiom"
web_search = "disabled"
check_for_update_on_startup = false

[model_providers.axiom]
name = "OpenAI through Axiom"
base_url = "MODEL/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
supports_websockets = false

[analytics]
enabled = false

[features]
plugins = false
shell_snapshot = false
unbounded_connection_retries = false
"""

_GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"enableAutoUpdate": False},
}
