"""What `emtrack doctor` says of the copies of the database: whether what was acknowledged survives the loss of a machine."""

from __future__ import annotations

from typing import NamedTuple

from emtrack.db.replication import Copier, Replication
from emtrack.service.health import Health

GRANT = "GRANT pg_read_all_stats TO the user of EMTRACK_DATABASE_URL"


class Said(NamedTuple):
    """How it is, and in words."""

    health: Health
    words: str


def said_of_copies(found: Replication) -> Said:
    """For who reads it at night. What to do is in docs/scale.md, in steps."""
    if found.is_standby:
        return Said(
            Health.BAD,
            "this server is a standby and cannot be written; name the primary, or both with a comma between them",
        )
    if found.needed and not found.may_see:
        words = f"commits wait for {found.needed} of {found.wished}; whether it is there cannot be seen: {GRANT}"
        return Said(Health.NOTE, words)
    if not found.copiers:
        return _without_any(found)
    if not found.needed:
        names = ", ".join(map(_named, found.copiers))
        words = (
            f"the loss of this machine can lose the last reports that were acknowledged: {names}, and commits do not wait for it. "
            "Name it in synchronous_standby_names (docs/scale.md)"
        )
        return Said(Health.NOTE, words)
    if len(found.waited_for) < found.needed:
        return _too_few(found)
    names = ", ".join(map(_named, found.waited_for))
    words = (
        f"an acknowledged report survives the loss of this machine: commits wait until it is on the disk of {found.needed} more. "
        f"{names}"
    )
    return Said(Health.GOOD, words)


def _without_any(found: Replication) -> Said:
    if found.needed:
        return _too_few(found)
    words = (
        "there is none: the loss of this machine loses what was acknowledged since the last backup. docs/scale.md says how to add a "
        "standby"
    )
    return Said(Health.NOTE, words)


def _too_few(found: Replication) -> Said:
    words = (
        f"commits wait for {found.needed} of {found.wished}, and {len(found.waited_for)} is there: nothing is acknowledged until it "
        "is back. Start it; if its machine is lost for good, first take it out of synchronous_standby_names, and know that this is "
        "then the only copy (docs/scale.md)"
    )
    return Said(Health.BAD, words)


def _named(copier: Copier) -> str:
    if not copier.behind_bytes:
        return f"{copier.name or 'a standby'} follows and has all"
    seconds = "" if copier.behind_s is None else f" and {copier.behind_s:.1f} s"
    return f"{copier.name or 'a standby'} follows; its readers are {copier.behind_bytes:,} bytes{seconds} behind"
