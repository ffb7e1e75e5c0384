"""Secrets in text, found by their form: offline, without asking anybody whether they are good."""
