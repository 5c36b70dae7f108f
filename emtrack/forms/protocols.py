"""Scripted steps as orders.json carries them: for a person, a kind of order, a zone or a kind of alert."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from alerts import PROTOCOL_KINDS, StepAction
from emtrack.forms.strict import Form

MOST_STEPS = 30


class StepForm(Form, frozen=True):
    """`wait_s`: it is due so long after the step before it was done."""

    text: Annotated[str, Meta(min_length=1, max_length=500)]
    action: StepAction = StepAction.CHECK
    wait_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None


class ProtocolForm(Form, frozen=True):
    """It is for alerts that fit everything it names. Without steps it ends."""

    steps: Annotated[list[StepForm], Meta(max_length=MOST_STEPS)]
    wearer_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    order: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """The kind of the order of a court, as `wearers[].order.kind` has it."""
    zone: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """The id of a zone set, or of a requirement."""
    kind: Annotated[str, Meta(extra_json_schema={"enum": list(PROTOCOL_KINDS)})] | None = None
    """A kind of alert."""
