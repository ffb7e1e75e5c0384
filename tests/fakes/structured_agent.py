"""A program that speaks like Claude Code over pipes and does what it is told to in advance: `command` runs it in a sandbox.

Plans are lists of steps, one list for each process of it that is started, in order (the last one for all that follow):
`["say", text]`, `["tool", command]` (asks, then runs it in a shell), `["hang"]`, `["die"]` (SIGKILL to itself), `["hear"]`
(waits for a further message and repeats it), `["raw", text]`, `["result", text]`, `["window", tokens]` (what its model can
hold), `["model", input, output]` (a call of its model, with so many tokens), `["compacted"]` (says that it was, and hears the prompt),
`["overtake", text]` (is interrupted, and had come to this result before).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any


def command(*plans: list[list[str]]) -> tuple[str, ...]:
    """To be a class's command: what a driver adds to it follows."""
    return ("/usr/bin/python3", "-c", Path(__file__).read_text(), json.dumps(plans))


class Agent:
    """One process of it."""

    def __init__(self, plan: list[list[str]], options: list[str]) -> None:
        self.plan = plan
        chosen = "--resume" if "--resume" in options else "--session-id"
        self.session = options[options.index(chosen) + 1]
        self.resumed = chosen == "--resume"
        self.count = 0
        self.tokens = 0

    def say(self, **message: Any) -> None:
        print(json.dumps({**message, "session_id": self.session}), flush=True)

    def hear(self, wanted: str) -> dict[str, Any]:
        """The next message of a type; an interrupt ends the turn whenever it comes."""
        for line in sys.stdin:
            message: dict[str, Any] = json.loads(line)
            if message["type"] == "control_request" and message["request"]["subtype"] == "interrupt":
                self.result("interrupted", "error_during_execution")
                self.idle()
            if message["type"] == wanted:
                return message
        sys.exit(0)

    def play(self) -> None:
        told = self.hear("user")["message"]["content"]
        with Path("told").open("a") as file:
            file.write(f"{'resume' if self.resumed else 'new'} {told}\n")
        self.say(type="system", subtype="init", claude_code_version="2.1.329", model="scripted")
        for kind, *given in self.plan:
            getattr(self, f"do_{kind}")(*given)
        self.idle()

    def do_overtake(self, text: str) -> None:
        while '"interrupt"' not in sys.stdin.readline():
            pass
        self.result(text, "success")

    def idle(self) -> None:
        for _ in sys.stdin:
            pass
        sys.exit(0)

    def block(self, **block: Any) -> None:
        self.say(type="assistant", message={"content": [block]}, parent_tool_use_id=None)

    def do_say(self, text: str) -> None:
        self.block(type="text", text=text)

    def do_tool(self, line: str) -> None:
        self.count += 1
        use, given = f"{os.getpid()}-{self.count}", {"command": line}
        self.block(type="tool_use", id=use, name="Bash", input=given)
        request = {"subtype": "hook_callback", "callback_id": "axiom", "tool_use_id": use,
                   "input": {"tool_name": "Bash", "tool_input": given}}  # fmt: skip
        self.say(type="control_request", request_id=f"ask-{use}", request=request)
        answer = self.hear("control_response")["response"]
        assert answer["request_id"] == f"ask-{use}", answer
        decision = answer["response"]["hookSpecificOutput"]
        failed, text = True, decision["permissionDecisionReason"]
        if decision["permissionDecision"] == "allow":
            done = subprocess.run(
                ["/bin/sh", "-c", line], capture_output=True, text=True, stdin=subprocess.DEVNULL
            )
            failed, text = bool(done.returncode), done.stdout
        back = {"type": "tool_result", "tool_use_id": use, "content": text, "is_error": failed}
        self.say(type="user", message={"role": "user", "content": [back]})

    def do_hear(self) -> None:
        self.do_say(f"heard: {self.hear('user')['message']['content']}")

    def do_hang(self) -> None:
        self.hear("nothing that ever comes")

    def do_die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_raw(self, text: str) -> None:
        print(text, flush=True)

    def do_compacted(self) -> None:
        about = {"trigger": "manual", "pre_tokens": 1}
        self.say(type="system", subtype="compact_boundary", compact_metadata=about)
        self.result("", "success")
        self.hear("user")

    def do_window(self, tokens: str) -> None:
        answer = {"totalTokens": 10, "maxTokens": int(tokens)}
        response = {"subtype": "success", "request_id": "context", "response": answer}
        self.say(type="control_response", response=response)

    def do_model(self, given: str, written: str) -> None:
        usage = {"input_tokens": int(given), "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
        start = {"type": "message_start", "message": {"usage": usage}}
        stop = {"type": "message_delta", "usage": {"output_tokens": int(written)}}
        for event in (start, stop):
            self.say(type="stream_event", event=event, parent_tool_use_id=None)

    def do_result(self, text: str) -> None:
        self.result(text, "success")

    def result(self, text: str, subtype: str) -> None:
        self.tokens += 100
        counted = {
            "inputTokens": self.tokens,
            "outputTokens": 0,
            "cacheReadInputTokens": 0,
            "cacheCreationInputTokens": 0,
        }
        usage = {
            "input_tokens": 100,
            "output_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
        }
        self.say(type="result", subtype=subtype, result=text, usage=usage, modelUsage={"scripted": counted},
                 total_cost_usd=self.tokens / 1e6)  # fmt: skip


def main() -> None:
    plans, *options = json.loads(sys.argv[1]), *sys.argv[2:]
    starts = Path.home() / "starts"
    started = len(starts.read_text()) if starts.exists() else 0
    starts.write_text("x" * (started + 1))
    print("at work", file=sys.stderr, flush=True)
    Agent(plans[min(started, len(plans) - 1)], options).play()


if __name__ == "__main__":
    main()
