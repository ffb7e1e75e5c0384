"""Deciding from evidence whether a candidate meets its criteria.

`driver` holds the one loop: it fills the clean room, lets the `rooms.Room` run what a verifier prepared, and records
what came of it. Every decision is a pure function of a module named after its criterion; `registry` lists them.
What a run printed or how it exited is a claim; `docs/design/limitations.md` says what each criterion proves.
"""
