"""A person's decision on a task as it lies beside its evidence. Pure."""

from __future__ import annotations

import re

from pydantic import ValidationError

from axiom.api.agenttask import ReviewStatus

REVIEW = re.compile(r"tasks/(?P<namespace>[^/]+)/(?P<uid>[^/]+)/reviews/[^/]+\.json")


def encode_review(review: ReviewStatus) -> bytes:
    """The decision → the object; the same one always gives the same bytes."""
    return review.model_dump_json(by_alias=True).encode() + b"\n"


def decode_review(data: bytes) -> ReviewStatus:
    """The object → the decision. Raises ValueError: it is none."""
    try:
        return ReviewStatus.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(f"this is no decision on a task: {' '.join(str(error).split())[:300]}") from error
