"""Signatures of requests, as a tag makes them (docs/forms.md, "Signed requests")."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SigningKeys = Mapping[str, Ed25519PrivateKey]
"""Device -> the key that it signs with."""


def signature_of(key: Ed25519PrivateKey, device_id: str, boot: int, reports: bytes) -> str:
    """In base64. `reports`: exactly as they stand in the request."""
    return base64.b64encode(key.sign(b"%b\n%d\n%b" % (device_id.encode(), boot, reports))).decode()


def public_half(key: Ed25519PrivateKey) -> str:
    """In base64, as `emtrack devices keys add` takes it."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def new_signing_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()
