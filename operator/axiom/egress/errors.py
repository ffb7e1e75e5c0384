"""What can go wrong in the egress proxy: one tree."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class EgressError(Exception):
    """Root of everything that this package raises on purpose."""


class SettingsError(EgressError):
    """The proxy cannot start as it was told to. The message names the setting and the cure."""


class SpentError(EgressError):
    """A task's budget is spent, or cannot be held any more. The message is for its agent."""


class TokenFault(StrEnum):
    """Why a token does not count."""

    MISSING = "missing"
    MALFORMED = "malformed"
    FORGED = "forged"
    """No current key made it, or somebody changed it."""
    EXPIRED = "expired"
    TOO_LONG = "too_long"
    """Names of the grant do not fit into a token. Raised only when minting."""


class TokenError(EgressError):
    """A token that does not count, and why."""

    def __init__(self, fault: TokenFault, message: str) -> None:
        self.fault = fault
        super().__init__(message)


class Refusal(StrEnum):
    """Why a request was refused: the `error.type` of the answer, and the label of the metric."""

    BAD_TOKEN = "axiom_bad_token"  # noqa: S105 - the name of a refusal
    TOKEN_EXPIRED = "axiom_token_expired"  # noqa: S105 - the name of a refusal
    WRONG_ADDRESS = "axiom_wrong_address"
    ATTEMPT_ENDED = "axiom_attempt_ended"
    NO_ROUTE = "axiom_no_route"
    NOT_FOUND = "axiom_not_found"
    NO_DESTINATION = "axiom_no_destination"
    BAD_HOST = "axiom_bad_host"
    TOO_MANY = "axiom_too_many"
    BAD_PATH = "axiom_bad_path"
    PATH_TOO_LONG = "axiom_path_too_long"
    BAD_METHOD = "axiom_bad_method"
    MALFORMED = "axiom_malformed"
    """Not HTTP/1.0 or 1.1, or what two readers could cut in two ways."""
    UPGRADE_UNSUPPORTED = "axiom_upgrade_unsupported"
    SLOW_REQUEST = "axiom_slow_request"
    NO_CREDENTIAL = "axiom_no_credential"
    UPSTREAM_FAILED = "axiom_upstream_failed"
    BUDGET_SPENT = "axiom_budget_spent"
    """Told to the agent in the vendor's own words, so that it does not try again."""
    BUDGET_IN_USE = "axiom_budget_in_use"
    """Calls that are open may use up the task's budget, and none of them ended in time: the agent may try again."""


_STATUS = {
    Refusal.BAD_TOKEN: 401,
    Refusal.TOKEN_EXPIRED: 401,
    Refusal.WRONG_ADDRESS: 403,
    Refusal.ATTEMPT_ENDED: 410,
    Refusal.NO_ROUTE: 403,
    Refusal.NOT_FOUND: 404,
    Refusal.NO_DESTINATION: 403,
    Refusal.BAD_HOST: 400,
    Refusal.TOO_MANY: 429,
    Refusal.BAD_PATH: 400,
    Refusal.PATH_TOO_LONG: 414,
    Refusal.BAD_METHOD: 405,
    Refusal.MALFORMED: 400,
    Refusal.UPGRADE_UNSUPPORTED: 501,
    Refusal.SLOW_REQUEST: 408,
    Refusal.NO_CREDENTIAL: 503,
    Refusal.UPSTREAM_FAILED: 502,
    Refusal.BUDGET_SPENT: 402,
    Refusal.BUDGET_IN_USE: 429,
}


class RefusedError(EgressError):
    """A request that the proxy answers itself, and the sentence that the agent gets to read."""

    def __init__(
        self, refusal: Refusal, message: str, body: dict[str, Any] | None = None, status: int | None = None
    ) -> None:
        """`body`, `status`: what is answered where that is in the vendor's form, and not ours."""
        self.refusal = refusal
        self.message = message
        self.body = body or {"error": {"type": refusal.value, "message": message}}
        self.status = status or _STATUS[refusal]
        super().__init__(message)
