"""Programs of ours that run in the candidate's container, beside code that may be hostile."""
