"""What is left of tasks, read back: ledgers and outcomes, from a folder, from object storage or through the gateway."""
