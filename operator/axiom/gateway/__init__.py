"""Carries data: workspaces in, evidence out into object storage, events to people. Decides nothing."""
