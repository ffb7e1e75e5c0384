"""Suites of named tests: which files are the base's, what the runner reported, and what that proves."""
