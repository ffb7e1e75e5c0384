"""The one error of this package: something about the cluster did not work.

The message says what was tried, what was seen, and where to look.
"""


class ClusterError(Exception):
    """The cluster, or a part of it, could not be built, started, used or removed."""


class NotHereError(ClusterError):
    """A test needs what this cluster does not have: it is skipped."""
