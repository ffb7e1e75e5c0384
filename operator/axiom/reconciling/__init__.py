"""The operator: observes tasks and pods, asks `planning` what to do, and does it. It has no rules of its own."""
