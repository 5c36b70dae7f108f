"""Whether the stream that a deployment names may be used: what devices send goes over nobody's network as it is."""

from __future__ import annotations

import ipaddress

from emtrack.service.vouching import Vouching
from emtrack.settings import Settings, SettingsError, StreamSetting


def usable_stream(settings: Settings) -> StreamSetting:
    """Raises SettingsError."""
    setting = settings.stream
    if setting is None:
        raise SettingsError(
            "EMTRACK_STREAM is not set, and gateways and workers meet in it. Name the NATS servers, such as "
            "nats://emtrack@10.0.0.1:4222,10.0.0.2:4222,10.0.0.3:4222, or run `emtrack serve`, which needs none."
        )
    if settings.database_url is None:
        raise SettingsError(
            "EMTRACK_DATABASE_URL is not set: gateways and workers share a PostgreSQL server that all can reach."
        )
    vouching = Vouching(settings.private_networks)
    for host in () if setting.is_tls else setting.hosts:
        if not _is_loopback(host) and not vouching.is_private(host):
            raise SettingsError(
                f"EMTRACK_STREAM has nats://{host}, and what devices send would go there as it is. Name tls://, or an address in "
                "EMTRACK_PRIVATE_NETWORKS."
            )
    is_named = all((setting.user, setting.password, setting.system_password))
    if not is_named and not all(map(_is_loopback, setting.hosts)):
        raise SettingsError(
            "EMTRACK_STREAM leaves this machine without a user or a password: whoever reaches the servers could read what devices "
            "send. Name USER@ there, and set EMTRACK_STREAM_PASSWORD_FILE and EMTRACK_STREAM_SYSTEM_PASSWORD_FILE."
        )
    return setting


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
