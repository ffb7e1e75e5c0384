"""The one fake of the vendors' models: it plays a written script to whichever agent asks.

`script` says what is played, `openai` speaks the vendor's protocol (a module for each vendor), `server` does the
I/O. Which step of the script comes next is read from each request alone, never from a counter in the server, so it
may be restarted in the middle of a conversation and may hold many conversations at once.
"""

from .script import Script, ScriptError, load_script
from .server import RequestRecord, ScriptedModel

__all__ = ["RequestRecord", "Script", "ScriptError", "ScriptedModel", "load_script"]
