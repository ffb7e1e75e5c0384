"""A task that is suspended, or whose agent's vendor does not answer, stands still, and so does its deadline. Pure.

What is in flight while a vendor is away is not touched: an agent that runs goes on, its calls are let out, and it tries again by
its own rules. A suspended task waits for no vendor: no second counts twice.
"""

from __future__ import annotations

from axiom.api.agenttask import Suspension, VendorPause
from axiom.api.conditions import ConditionType, Reason
from axiom.planning.actions import Action, WriteStatus
from axiom.planning.briefing import MOST_PAUSE_SECONDS
from axiom.planning.observed import SandboxView, VendorDown
from axiom.planning.present import Present
from axiom.planning.statuses import has_reason, is_true, rfc3339, with_condition
from axiom.planning.steps import send
from axiom_sandbox.protocol.channel import SetVendor


def stand_still(present: Present) -> tuple[Action, ...]:
    """Writes that the deadline begins, or ceases, to stand; nothing where that is written already."""
    return _for_a_person(present) or _for_a_vendor(present)


def _for_a_person(present: Present) -> tuple[Action, ...]:
    known, wanted = present.status.suspension or Suspension(), present.spec.suspend
    if wanted is (known.since is not None):
        return ()
    if wanted:
        begun = known.model_copy(update={"since": rfc3339(present.now), "times": known.times + 1})
        return (WriteStatus(present.status.model_copy(update={"suspension": begun})),)
    return (WriteStatus(present.status.model_copy(update={"suspension": suspension_so_far(present)})),)


def _for_a_vendor(present: Present) -> tuple[Action, ...]:
    vendor, known = present.observed.vendor, present.status.vendor_pause or VendorPause()
    if present.spec.suspend:
        vendor = None
    if vendor is not None and known.since is None and known.seconds < MOST_PAUSE_SECONDS:
        pause = VendorPause(
            host=vendor.host, since=rfc3339(present.now), seconds=known.seconds, times=known.times + 1
        )
        status = present.status.model_copy(update={"vendor_pause": pause})
        if is_true(status, ConditionType.RUNNING):
            status = with_condition(
                status, present.now, ConditionType.RUNNING, True, Reason.WAITING_FOR_VENDOR, why(vendor)
            )
        else:
            status = (
                with_condition(
                    status,
                    present.now,
                    ConditionType.SANDBOX_READY,
                    False,
                    Reason.WAITING_FOR_VENDOR,
                    why(vendor),
                )
                if not present.had_sandbox
                else status
            )
        return (WriteStatus(status),)
    if known.since is not None and (vendor is None or present.seconds_of_pause >= MOST_PAUSE_SECONDS):
        seconds = min(round(present.seconds_of_pause), MOST_PAUSE_SECONDS)
        pause = known.model_copy(update={"since": None, "seconds": seconds})
        status = present.status.model_copy(update={"vendor_pause": pause})
        if has_reason(status, ConditionType.RUNNING, Reason.WAITING_FOR_VENDOR):
            status = with_condition(
                status,
                present.now,
                ConditionType.RUNNING,
                True,
                Reason.AGENT_RUNNING,
                f"round {status.round}",
            )
        if has_reason(status, ConditionType.SANDBOX_READY, Reason.WAITING_FOR_VENDOR):
            status = with_condition(
                status,
                present.now,
                ConditionType.SANDBOX_READY,
                False,
                Reason.CREATING,
                "creating the sandbox",
            )
        return (WriteStatus(status),)
    return ()


def pause_so_far(present: Present) -> VendorPause | None:
    """What a task that ends has waited; it does not any more."""
    known = present.status.vendor_pause
    if known is None or known.since is None:
        return known
    return known.model_copy(update={"since": None, "seconds": round(present.seconds_of_pause)})


def suspension_so_far(present: Present) -> Suspension | None:
    """For how long a task that ends, or is resumed, was suspended; it is not any more."""
    known = present.status.suspension
    if known is None or known.since is None:
        return known
    return known.model_copy(update={"since": None, "seconds": round(present.seconds_of_suspension)})


def why(vendor: VendorDown) -> str:
    """For a person. It changes, and is written, once for each try."""
    return (
        f"{vendor.host} has not answered since {rfc3339(vendor.since)}; one task tries next at {rfc3339(vendor.next_try)}."
        f" limits.deadline stands until it answers, for at most {MOST_PAUSE_SECONDS // 3600} h"
    )


def tell_vendor(present: Present, agent: SandboxView) -> tuple[Action, ...]:
    """An agent that was started is told whether one that dies is to be started again now."""
    pause, state = present.status.vendor_pause, agent.state
    if pause is None or state is None or state.vendor_down is None or agent.over:
        return ()
    wanted = pause.host if pause.since else ""
    if state.vendor_down == wanted:
        return ()
    return (send(agent, f"vendor-{present.pause_name}", SetVendor(down=wanted)),)
