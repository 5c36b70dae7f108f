"""OwnTracks over HTTP: JSON, one message a request. A telephone is known as user/device.

    {"_type": "location", "lat": …, "lon": …, "tst": …, "acc": …, "vel": …, "cog": …}

Who it is stands in X-Limit-U and X-Limit-D, else in the user of its Authorization, else in its topic; the password is the key of the
device. All other types are taken and say nothing. Source: owntracks.org/booklet, "JSON" and "HTTP".
"""

from __future__ import annotations

from ingest.protocols.check_in import Asked, CheckIn, NotACheckIn, kept, place
from ingest.protocols.conversation import LONGEST_IDENTIFIER, Reading
from ingest.strict import UnreadableText, read_json

NOTHING_TO_SAY = b"[]"
"""What the app is answered: there is nothing for it."""
_TOPIC = "owntracks/"


def identify(asked: Asked) -> CheckIn:
    """Raises NotACheckIn."""
    try:
        sent = read_json(asked.body)
    except UnreadableText as error:
        raise NotACheckIn(f"the body cannot be read as JSON: {error}") from error
    if not isinstance(sent, dict):
        raise NotACheckIn("the body is not an object")
    user, device = asked.headers.get("x-limit-u", ""), asked.headers.get("x-limit-d", "")
    topic = sent.get("topic")
    if user and device:
        named = f"{user}/{device}"
    elif isinstance(topic, str) and topic.startswith(_TOPIC):
        named = topic.removeprefix(_TOPIC)
    else:
        named = asked.user
    if not 0 < len(named) <= LONGEST_IDENTIFIER:
        raise NotACheckIn("the telephone does not say who it is; set user and device in its settings")
    return CheckIn(named, asked.key, sent)


def read(check_in: CheckIn) -> Reading:
    """Never raises."""
    said = check_in.fields
    if said.get("_type") != "location":
        return Reading(())
    report = place(
        said.get("tst"),
        said.get("lat"),
        said.get("lon"),
        said.get("acc"),
        speed_kmh=said.get("vel"),
        direction_deg=said.get("cog"),
    )
    return kept("owntracks", said, report)
