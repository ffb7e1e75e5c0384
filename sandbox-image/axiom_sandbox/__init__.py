"""The trusted side of a sandbox: ledger, terminal, drivers, supervision and clean-room verification."""

VERSION = "0.1.0"
"""Of the whole of Axiom; written here because reading a package's metadata takes longer than all else of an import."""
