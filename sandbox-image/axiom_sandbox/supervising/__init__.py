"""Joins channel, launcher, ledger, terminal and verification: the only place with a loop."""
