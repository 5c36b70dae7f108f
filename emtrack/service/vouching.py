"""What a network says for the devices in it: the private one of a carrier, into which nothing but our trackers comes."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from ingest.protocols import Source


class Vouching:
    """`networks`: as the settings name them."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def source(self, here: str, there: str) -> Source:
        """Both ends lie in such a network: an address can be forged, and a listener that the world reaches hears forged ones."""
        if self.is_private(here) and self.is_private(there):
            return Source.PRIVATE_NETWORK
        return Source.UNAUTHENTICATED

    def is_private(self, host: str) -> bool:
        """It lies in one of the networks."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
