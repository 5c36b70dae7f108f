"""Who is on record: a list, a search, one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emtrack.errors import MendableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import asyncpg

    from emtrack.db.connect import Connection

LISTED = """
SELECT w.wearer_no, w.wearer_id, w.name, i.cohort, i.mappa_level, i.lead_officer, i.lead_agency, g.grade AS rag,
       (SELECT count(*) FROM alerts a WHERE a.wearer_no = w.wearer_no AND a.closed_at IS NULL) AS open_alerts
FROM people w LEFT JOIN iom_versions i ON i.wearer_no = w.wearer_no AND upper_inf(i.recorded)
LEFT JOIN LATERAL (SELECT grade FROM rag_grades WHERE wearer_no = w.wearer_no ORDER BY since DESC LIMIT 1) g ON true
WHERE ($1::text IS NULL OR w.wearer_id > $1) AND ($2::text IS NULL OR w.wearer_id ILIKE $2 OR w.name ILIKE $2
       OR i.pnc ILIKE $2 OR i.crn ILIKE $2 OR i.nomis ILIKE $2 OR i.ecins ILIKE $2)
ORDER BY w.wearer_id LIMIT $3
"""
NUMBER = "SELECT wearer_no FROM wearers WHERE wearer_id = $1"
PERSON = "SELECT wearer_no, wearer_id, name, is_closed FROM people WHERE wearer_no = $1"

NAMES = "SELECT wearer_no, wearer_id, name FROM people WHERE wearer_no = ANY($1::bigint[]) ORDER BY name, wearer_id"


async def list_people(connection: Connection, after: str | None, sought: str, most: int) -> list[asyncpg.Record]:
    """Everybody after a wearer id, or those whom a search finds, by wearer id; at most so many."""
    pattern = f"%{_literal(sought)}%" if sought else None
    return list(await connection.fetch(LISTED, after, pattern, most))


def _literal(text: str) -> str:
    """The text for ILIKE, with nothing in it that stands for something else."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def wearer_no_of(connection: Connection, wearer_id: str) -> int | None:
    """The number of a wearer; None if nobody is called so."""
    number: int | None = await connection.fetchval(NUMBER, wearer_id)
    return number


class NoWearer(MendableError):
    """Nobody is called so."""


async def wearer_no_or_refusal(connection: Connection, wearer_id: str) -> int:
    """The number of a wearer. Raises NoWearer."""
    number = await wearer_no_of(connection, wearer_id)
    if number is None:
        raise NoWearer(f"there is no wearer {wearer_id!r}")
    return number


async def person_of(connection: Connection, wearer_no: int) -> asyncpg.Record | None:
    """Number, id and name; None if there is nobody."""
    return await connection.fetchrow(PERSON, wearer_no)


async def names_of(connection: Connection, wearer_nos: Iterable[int]) -> list[asyncpg.Record]:
    """Number, id and name of some people, by name; without those whom the session may not see."""
    return list(await connection.fetch(NAMES, list(wearer_nos)))
