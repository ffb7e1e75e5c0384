"""Observed state → actions. Every rule of a task's life is here, and nothing here does I/O or looks at a clock."""
