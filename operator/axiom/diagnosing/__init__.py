"""From symptom to cause: what `axiom doctor` finds, decided by pure functions over what was read."""
