"""What can go wrong with a snapshot. Each message says what was found, for a person."""


class SnapshotError(Exception):
    """A workspace could not be read, written or compared."""


class StateTooLargeError(SnapshotError):
    """A tree has more files, or more bytes, than its limits allow."""


class ArchiveError(SnapshotError):
    """An archive holds something that an archive of ours never holds, or is damaged."""


class PatchError(SnapshotError):
    """No patch could be made. The changes archive is not affected by that."""
