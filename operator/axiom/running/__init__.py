"""`axiom run`: the whole job on one machine, with the same planner, carrier, egress proxy and trusted side as a cluster."""
