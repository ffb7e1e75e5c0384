"""The trusted side of a sandbox: ledger, terminal, drivers, supervision and clean-room verification."""
