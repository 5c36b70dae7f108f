"""What a delivery that failed says."""

from __future__ import annotations


class NotDelivered(Exception):
    """It did not arrive. The message says why, for who sees to it; nothing of what the other end wrote stands in it."""
