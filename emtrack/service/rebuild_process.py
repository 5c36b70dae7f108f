"""The process that judges again what costs too much for a turn: orders come in, judgements go out, until nothing comes any more."""

from __future__ import annotations

import os

import asyncpg
import structlog

from emtrack.db.connect import connect
from emtrack.logs import origin_of
from emtrack.processes import answer_questions
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.service.rebuilder import Failed, Order, Unreachable
from emtrack.service.rebuilding import Rebuilt, rebuilt
from geofence.judgement import ActivationJudge

log = structlog.get_logger()
NICER = 5
"""What is live goes first."""


def main() -> None:
    os.nice(NICER)
    caches: dict[object, ZoneSetCache] = {}

    async def answer(order: Order) -> Rebuilt | Failed | Unreachable:
        return await _done(order, caches.setdefault(order.sets_dir, ZoneSetCache(order.sets_dir)))

    answer_questions(answer)


async def _done(order: Order, sets: ZoneSetCache) -> Rebuilt | Failed | Unreachable:
    try:
        connection = await connect(order.dsn)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await _judged(connection, order, sets)
        finally:
            await connection.close(timeout=5)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        return Unreachable(type(error).__name__)
    except Exception as error:
        return Failed(f"{type(error).__name__} at {origin_of(error).line}")


async def _judged(connection: asyncpg.Connection[asyncpg.Record], order: Order, sets: ZoneSetCache) -> Rebuilt:
    rebuild = order.rebuild
    plan = rebuild.assignment.plan
    judge = ActivationJudge(plan, await sets.sets_of(connection, plan.requirements))
    before = None
    if rebuild.before is not None:
        old = rebuild.before.plan
        before = ActivationJudge(old, await sets.sets_of(connection, old.requirements))
        before.with_outages(plan.outages)
    return await rebuilt(connection, rebuild, judge, before)


if __name__ == "__main__":
    main()
