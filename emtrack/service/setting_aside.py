"""A turn that failed after its reports were stored and judged: of which activations that can be a fault.

What a judgement itself raises is caught where it is made (judging.py). This is for what comes after it: recording its findings,
raising its alerts. The facts are facts all the same, so the activation is set aside as after a judgement that failed, and everybody
else goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from emtrack.service.activations import ActivationUpdate, LiveActivation, LiveActivations
from emtrack.service.answers import received_of
from ingest import Refusal, Submission, Tell


def concerned(submission: Submission, activations: LiveActivations, tell: Tell) -> list[LiveActivation]:
    """The activations that a request brings facts for."""
    found: dict[int, LiveActivation] = {}
    for received in received_of(submission):
        told = (
            received.report if isinstance(received.report, Refusal) else tell(submission.device_no, received.report)
        )
        for one in () if isinstance(told, Refusal) else told:
            live = activations.at(one.device_no, one.report.own_ms)
            if live is not None:
                found[live.number] = live
    return list(found.values())


def set_aside(lives: Iterable[LiveActivation], where: str) -> Sequence[ActivationUpdate]:
    """The updates of activations with which something went wrong at a place in the code."""
    return [ActivationUpdate(live, live.state, live.shown, [], fault=where) for live in lives]
