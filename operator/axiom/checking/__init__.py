"""Whether an installation works: what `helm test` runs.

`findings` judges what was observed, and does no I/O; `looking` observes; `settings` reads the environment.
"""
