"""The door of devices as programs are told of it. What it does stands in `ingest/http.py`."""

from __future__ import annotations

from emtrack.forms.schemas import ReportsAnswer, RequestForm
from emtrack.web.api.operation import DEVICE_KEY, Body, Content, IdInAddress, Operation, Parameter

MEDIA_TYPES = ("application/json", "application/msgpack")

REPORTS = Operation(
    "sendReports", "POST", "/v1/devices/{device_id}/reports",
    "Reports of a tag or home unit, at most 1 MiB. The answer comes after the commit; a device deletes what `ack` names and nothing "
    "else. A body that cannot be read is kept as one refusal. `signature` is not checked where no key to sign with is registered.",
    {200: Content(ReportsAnswer, "Committed: what `ack` names. What was refused is kept, too.", MEDIA_TYPES)},
    parameters=(Parameter("device_id", IdInAddress, "Id of the tag or home unit that sends", "path"),),
    body=Body(RequestForm, media_types=MEDIA_TYPES),
    refusals=(422, 429),
    credential=DEVICE_KEY,
)  # fmt: skip
