"""Sockets that listen, by the address that a setting names."""

from __future__ import annotations

import socket

from emtrack.settings import SettingsError

Address = tuple[str, int]


def listening_socket(host: str, port: int, setting: str) -> socket.socket:
    """Over TCP: from here on nobody is turned away, although the server answers a little later. Raises SettingsError."""
    listener = _bound(host, port, socket.SOCK_STREAM, setting)
    listener.listen(1024)
    return listener


def datagram_socket(host: str, port: int, setting: str) -> socket.socket:
    """Over UDP. Raises SettingsError."""
    return _bound(host, port, socket.SOCK_DGRAM, setting)


def told_address(listener: socket.socket) -> str:
    """Where a socket listens, as people write it."""
    host, port = listener.getsockname()[:2]
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _bound(host: str, port: int, kind: socket.SocketKind, setting: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    listener.setblocking(False)
    if kind is socket.SOCK_STREAM:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Another program may use the port; "
            f"end it, or set {setting} to another."
        ) from error
    return listener
