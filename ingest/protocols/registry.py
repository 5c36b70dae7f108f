"""All protocols by name. A new one is a file beside this, and an entry here."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from ingest.protocols.conversation import LONGEST_IDENTIFIER, Conversation
from ingest.protocols.gt06 import Gt06Conversation
from ingest.protocols.queclink import IMEI_OR_MEID, QueclinkConversation
from ingest.protocols.teltonika import Datagram, TeltonikaConversation, read_datagram

IMEI: Final = re.compile(r"[0-9]{14,17}")
IMEI_IS: Final = "an IMEI: 14 to 17 digits"

NAME: Final = re.compile(r"[!-~]{1,64}")
NAME_IS: Final = "what the telephone calls itself: 1 to 64 letters, digits and signs without a space"


class DeviceProtocol(NamedTuple):
    """`identifier`: what a device is known by, in words `identifier_is`. `converse`: the decoder of a connection over TCP, and
    `read_datagram` of a datagram over UDP; None: it is not spoken so. Telephones speak over HTTP."""

    identifier: re.Pattern[str]
    identifier_is: str
    converse: Callable[[], Conversation] | None = None
    read_datagram: Callable[[bytes], Datagram] | None = None


def unfit_identifier(protocol: str, identifier: str) -> str | None:
    """Why no device can be known so."""
    known = PROTOCOLS.get(protocol)
    if known is None:
        return f"{protocol[:60]!r} is no protocol; expected one of {', '.join(sorted(PROTOCOLS))}"
    if known.identifier.fullmatch(identifier) is None:
        return f"{identifier[:LONGEST_IDENTIFIER]!r} is no identifier of {protocol}; expected {known.identifier_is}"
    return None


PROTOCOLS: Final = {
    "gt06": DeviceProtocol(IMEI, IMEI_IS, Gt06Conversation),
    "osmand": DeviceProtocol(NAME, NAME_IS),
    "owntracks": DeviceProtocol(NAME, NAME_IS),
    "queclink": DeviceProtocol(
        IMEI_OR_MEID, "an IMEI or MEID: 14 to 17 digits, or letters from A to F", QueclinkConversation
    ),
    "teltonika": DeviceProtocol(IMEI, IMEI_IS, TeltonikaConversation, read_datagram),
}
