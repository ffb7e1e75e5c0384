"""Which files of an agent's home make up its sessions: what another sandbox needs to go on in one.

They were found with the real programs: a session was left in the middle of a tool, these files alone were put into an empty
home, and the program went on in it (`e2e/test_sessions_local.py`). Other databases, locks and caches beside them are made anew.
"""

from __future__ import annotations

from axiom_sandbox.protocol.agents import DriverName

SESSION_FILES: dict[DriverName, tuple[str, ...]] = {
    DriverName.CLAUDE: (".claude/projects", ".claude/tasks", ".claude/todos", ".claude/plans"),
    DriverName.CODEX: (".codex/sessions",),
    DriverName.GEMINI: (
        ".gemini/projects.json",
        ".gemini/tmp/*/.project_root",
        ".gemini/tmp/*/chats",
        ".gemini/tmp/*/tool-outputs",
    ),
    DriverName.OPEN_CODE: (".local/share/opencode/opencode.db", ".local/share/opencode/opencode.db-wal"),
}
"""By agent, in either mode: paths below the home, where `*` stands for any name. A folder is taken whole; each may be missing."""
