"""OsmAnd and Traccar Client over HTTP: a place in the query of an address, in a form, or as JSON.

    GET  ?id=…&lat=…&lon=…&timestamp=…&accuracy=…&hdop=…&bearing=…      and the same as a form
    POST {"device_id": …, "location": {"timestamp": …, "coords": {"latitude": …, "longitude": …, "accuracy": …}}}

`token` beside `id` is the key of the device, for apps that can be told an address and nothing else. Speed is left out: one app counts
knots, another metres a second. Source: osmand.net, "Online tracking"; traccar.org, "OsmAnd protocol".
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from ingest.protocols.check_in import Asked, CheckIn, NotACheckIn, kept, place
from ingest.protocols.conversation import LONGEST_IDENTIFIER, Reading
from ingest.strict import UnreadableText, read_json

MOST_FIELDS = 40


def identify(asked: Asked) -> CheckIn:
    """Raises NotACheckIn."""
    fields = _pairs(asked.query)
    if asked.body.lstrip()[:1] == b"{":
        fields |= _of_json(asked.body)
    elif asked.body:
        fields |= _pairs(asked.body.decode("latin-1"))
    named, token = fields.pop("id", None) or fields.pop("deviceid", None), fields.pop("token", "")
    if not isinstance(named, str | int) or not 0 < len(str(named)) <= LONGEST_IDENTIFIER:
        raise NotACheckIn("the telephone does not say who it is; set its device identifier")
    return CheckIn(str(named), asked.key or str(token), fields)


def read(check_in: CheckIn) -> Reading:
    """Never raises."""
    said = check_in.fields
    lat, lon = said.get("lat"), said.get("lon")
    if lat is None and isinstance(said.get("location"), str):
        lat, _, lon = said["location"].partition(",")
    bearing = said.get("bearing", said.get("heading"))
    report = place(
        said.get("timestamp"), lat, lon, said.get("accuracy"), hdop=said.get("hdop"), direction_deg=bearing
    )
    return kept("osmand", said, report)


def _pairs(text: str) -> dict[str, Any]:
    try:
        return dict(parse_qsl(text, max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise NotACheckIn(f"more than {MOST_FIELDS} fields") from error


def _of_json(body: bytes) -> dict[str, Any]:
    """The fields of the newer form under the names of the older."""
    try:
        sent = read_json(body)
    except UnreadableText as error:
        raise NotACheckIn(f"the body cannot be read as JSON: {error}") from error
    location = sent.get("location")
    location = location if isinstance(location, dict) else {}
    coords = location.get("coords")
    coords = coords if isinstance(coords, dict) else {}
    found = {
        "id": sent.get("device_id"), "timestamp": location.get("timestamp"), "lat": coords.get("latitude"),
        "lon": coords.get("longitude"), "accuracy": coords.get("accuracy"), "heading": coords.get("heading"),
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}
