"""Axiom's control plane and command line: turns AgentTasks into sandboxes, and evidence into verdicts."""
