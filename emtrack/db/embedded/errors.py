"""What can go wrong with a database that a person has to put right."""

from __future__ import annotations

from emtrack.errors import MendableError


class DatabaseError(MendableError):
    """Something about the database that a person has to put right; the text tells them what."""

    exit_code = 1


class EmbeddedServerError(DatabaseError):
    """The embedded server cannot be made, started or reached."""


class DataDirectoryInUse(EmbeddedServerError):
    """Another long-running program holds the data directory."""


class StillRecovering(EmbeddedServerError):
    """The server has not come to answer within our patience. It was left running, to be adopted later."""
