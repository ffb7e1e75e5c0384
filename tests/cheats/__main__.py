"""`make cheats`: every cheat and every honest solution on every task. Exit code 1 if one is decided wrongly."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from tests.cheats.other_tasks import missing
from tests.cheats.recording import counts, record
from tests.cheats.running import LANGUAGES, cheats, decide_all, elsewhere, honest, particular, sample


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--isolation", default="Auto", choices=["Auto", "Process", "InProcess"])
    parser.add_argument("--at-once", type=int, default=2, help="how many clean rooms at a time")
    parser.add_argument("--only", default="", help="a part of the titles of the cases that are wanted")
    parser.add_argument("--sample", type=int, default=0, help="so many cases, chosen at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--language", default="", choices=["python", *LANGUAGES], help="one alone")
    parser.add_argument("--part", default="1/1", help="K/N: every Nth case, from the Kth on")
    parser.add_argument("--record", action="store_true", help="for docs/benchmarks.md; needs --language")
    given = parser.parse_args()
    if given.record and (not given.language or given.only or given.sample or given.isolation != "Auto"):
        parser.error(
            "--record is for all cases of one --language or a --part of them, decided as users' are."
        )
    cases = [*cheats(), *honest(), *particular()] if given.language in ("", "python") else []
    for program in LANGUAGES:
        if given.language in ("", program):
            if why := missing(program):
                print(f"Nothing in the language of {program}: {why}.")
            cases += elsewhere(program)
    cases = [case for case in cases if given.only in case.title]
    first, every = map(int, given.part.split("/"))
    cases = cases[first - 1 :: every]
    if given.sample:
        cases = sample(cases, min(given.sample, len(cases)), given.seed)
    began = time.monotonic()
    tally = asyncio.run(decide_all(cases, given.isolation, given.at_once))
    seconds = time.monotonic() - began
    print(tally.table())
    print(f"{len(cases)} cases in {seconds:.0f} s, isolation {given.isolation}")
    if given.record:
        record(given.language, given.part, counts(tally, seconds))
    sys.exit(bool(tally.wrong))


if __name__ == "__main__":
    main()
