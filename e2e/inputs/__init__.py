"""Real inputs for whole runs: a git repository, the model's part in three stories about it, and the objects to apply."""
