"""Everyday faults of a cluster, each in the middle of work: what must hold is that no verdict is wrong and nothing is left."""
