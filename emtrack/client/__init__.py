"""A client of the service: its clock, and reports of devices sent until they are answered. It knows the wire only.

`ServiceClock` says what time it is at the service. `DeviceSender` sends what it is given through a `DeviceDoor`;
`Persistence` says for what and how long it goes on, `Totals` what became of it.
"""

from emtrack.client.device_door import DeviceDoor, Encoding, request_of
from emtrack.client.device_sender import MOST_WAITING, DeviceSender, NotAnswered, Rejected
from emtrack.client.persistence import Backoff, Persistence
from emtrack.client.service_clock import ServiceClock
from emtrack.client.signing import SigningKeys, new_signing_key, public_half, signature_of
from emtrack.client.totals import Totals

__all__ = [
    "MOST_WAITING",
    "Backoff",
    "DeviceDoor",
    "DeviceSender",
    "Encoding",
    "NotAnswered",
    "Persistence",
    "Rejected",
    "ServiceClock",
    "SigningKeys",
    "Totals",
    "new_signing_key",
    "public_half",
    "request_of",
    "signature_of",
]
