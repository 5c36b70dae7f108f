"""All routes of people and programs, as lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
from starlette.routing import BaseRoute

from emtrack.clock import Clock
from emtrack.metrics import Metrics
from emtrack.reading.apart import Judges
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.web.alert_work import AlertWork
from emtrack.web.api.alerts import AlertRoutes
from emtrack.web.api.findings import finding_routes
from emtrack.web.api.ledger import LedgerRoutes
from emtrack.web.api.orders import OrderRoutes
from emtrack.web.pages.alerts import AlertPages
from emtrack.web.pages.history import HistoryPages
from emtrack.web.pages.site import Site
from emtrack.web.pages.wearers import WearerPages
from emtrack.web.rendering import Pages


def web_routes(
    pool: asyncpg.Pool[Any],
    clock: Clock,
    zone_sets: ZoneSetCache,
    judges: Judges,
    metrics: Metrics,
    changed: asyncio.Condition,
    stop: asyncio.Event,
    trouble: Callable[[], str | None],
    *,
    secure: bool,
) -> list[BaseRoute]:
    """`judges`: what is judged for readers. `changed` is told of changes of alerts, and tells those who follow. `stop` ends
    streams. `trouble`: why nobody is watched now, or None. `secure`: people come by HTTPS."""
    work, pages = AlertWork(pool, clock, changed), Pages(pool, clock, zone_sets, judges, trouble)
    return [
        *finding_routes(pool, clock, judges),
        *AlertRoutes(pool, work, stop).routes(),
        *OrderRoutes(pool, clock, judges).routes(),
        *LedgerRoutes(pool, clock).routes(),
        *Site(pages, metrics, secure=secure).routes(),
        *AlertPages(pages, work).routes(),
        *WearerPages(pages).routes(),
        *HistoryPages(pages).routes(),
    ]
