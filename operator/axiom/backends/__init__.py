"""Where sandboxes run: one contract, implemented by bubblewrap here and by pods on a cluster."""
