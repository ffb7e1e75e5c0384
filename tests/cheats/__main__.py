"""`make cheats`: every cheat and every honest solution on every task. Exit code 1 if one is decided wrongly."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from tests.cheats.running import cheats, decide_all, honest, sample


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--isolation", default="Auto", choices=["Auto", "Process", "InProcess"])
    parser.add_argument("--at-once", type=int, default=2, help="how many clean rooms at a time")
    parser.add_argument("--only", default="", help="a part of the titles of the cases that are wanted")
    parser.add_argument("--sample", type=int, default=0, help="so many cases, chosen at random")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    cases = [case for case in (*cheats(), *honest()) if given.only in case.title]
    if given.sample:
        cases = sample(cases, min(given.sample, len(cases)), given.seed)
    began = time.monotonic()
    tally = asyncio.run(decide_all(cases, given.isolation, given.at_once))
    print(tally.table())
    print(f"{len(cases)} cases in {time.monotonic() - began:.0f} s, isolation {given.isolation}")
    sys.exit(bool(tally.wrong))


if __name__ == "__main__":
    main()
