"""Where sandboxes of one machine run: one contract, implemented by bubblewrap and by Docker."""
