"""What the sandbox's trusted side and the control plane share: plain frozen types, and nothing that does I/O."""
