"""The one fake of the vendors' models: it plays a written script to whichever agent asks.

`script` says what is played; `openai`, `anthropic` and `google` each speak a vendor's protocol; `server` does the I/O.
Which step of the script comes next is read from each request alone; all that the server counts is how often a point of
a conversation was asked after, for what fails there. So it may be restarted in the middle of a conversation and may
hold many conversations at once.
"""

from .script import Script, ScriptError, load_script
from .server import RequestRecord, ScriptedModel

__all__ = ["RequestRecord", "Script", "ScriptError", "ScriptedModel", "load_script"]
