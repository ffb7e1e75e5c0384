"""One table of objects that people write, good and bad.

The pydantic models (tests/axiom/api) and the API server (e2e) must accept and refuse the same ones, and say why.
"""

from tests.api_table.changes import ABSENT, changed
from tests.api_table.classes import CLASS_CASES, GOOD_CLASS
from tests.api_table.shape import Accepted, Case, Change, Refused, Update
from tests.api_table.tasks import GOOD_TASK, TASK_CASES
from tests.api_table.updates import UPDATES

__all__ = [
    "ABSENT",
    "CLASS_CASES",
    "GOOD_CLASS",
    "GOOD_TASK",
    "TASK_CASES",
    "UPDATES",
    "Accepted",
    "Case",
    "Change",
    "Refused",
    "Update",
    "changed",
]
