"""Structured logs, one JSON object a line. They carry numbers of rows, never names, identifiers of people or places."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import NamedTuple

import structlog


def configure_logs(level: str) -> None:
    """Log to standard error from `level` on."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


class Origin(NamedTuple):
    """Where an error was raised: the function, and "file:line". Nothing of what it was about: that may name people."""

    function: str
    line: str


def origin_of(error: Exception) -> Origin:
    """Of an error that was caught."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return Origin(frame.name, f"{frame.filename.rpartition('/')[2]}:{frame.lineno}")
