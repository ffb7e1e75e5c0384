"""The command line `axiom`."""
