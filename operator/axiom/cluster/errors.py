"""What the API server may say no with."""

from __future__ import annotations


class ApiError(Exception):
    """Root of the errors of a call to the API server. The message is the server's own."""


class NotFoundError(ApiError):
    """There is no such object (any more)."""


class ConflictError(ApiError):
    """The object is not what the caller thought: another version, or another UID. Observe again."""


class AlreadyExistsError(ApiError):
    """An object of this name is there already."""


class RefusedError(ApiError):
    """The server understood and refuses: validation, admission, quota, permissions. Repeating alone does not help."""


class UnavailableError(ApiError):
    """The server is away, too busy, or does not accept our credentials now. Try again later."""


class LoginError(ApiError):
    """No API server is configured, or its credentials cannot be read."""


def error_of(status: int, reason: str, message: str) -> ApiError:
    """The error for an answer: its HTTP status, and `reason` and `message` of the Status object in it."""
    text = message or reason or f"the API server answered {status}"
    match status:
        case 404:
            return NotFoundError(text)
        case 409 if reason == "AlreadyExists":
            return AlreadyExistsError(text)
        case 409:
            return ConflictError(text)
        case 400 | 403 | 405 | 413 | 422:
            return RefusedError(text)
        case _:
            return UnavailableError(f"{status} {text}")
