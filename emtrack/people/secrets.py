"""Secrets that are shown once and kept as hashes: device keys, tokens, session cookies."""

from __future__ import annotations

import hashlib
import secrets

BYTES = 32


def new_secret() -> str:
    """43 characters that nobody can guess."""
    return secrets.token_urlsafe(BYTES)


def secret_hash(secret: str) -> bytes:
    """How a secret is kept: SHA-256. Secrets are random and long, so that a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).digest()
