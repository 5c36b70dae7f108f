"""All routes of people and programs, as lists."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from starlette.routing import BaseRoute

from emtrack.basemap import Basemap
from emtrack.clock import Clock
from emtrack.metrics import Metrics
from emtrack.people.guesses import Guesses
from emtrack.people.sealed_secrets import SecretBox
from emtrack.reading.apart import Judges
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.settings import Settings
from emtrack.web.alert_work import AlertWork
from emtrack.web.api.alerts import AlertRoutes
from emtrack.web.api.description import description_route
from emtrack.web.api.devices import device_routes
from emtrack.web.api.evidence import report_routes
from emtrack.web.api.exports import export_routes
from emtrack.web.api.findings import finding_routes
from emtrack.web.api.iom import IomRoutes
from emtrack.web.api.ledger import LedgerRoutes
from emtrack.web.api.near import near_routes
from emtrack.web.api.orders import OrderRoutes
from emtrack.web.api.what_if import WhatIfRoutes
from emtrack.web.basemap import BasemapRoutes
from emtrack.web.draft_runs import DraftRuns
from emtrack.web.guard import CredentialState
from emtrack.web.guide import read_guide
from emtrack.web.pages.account import AccountPages
from emtrack.web.pages.alert_case import CasePages
from emtrack.web.pages.alert_replay import AlertReplayPages
from emtrack.web.pages.alerts import AlertPages
from emtrack.web.pages.centre import CentrePages
from emtrack.web.pages.curfews import CurfewPages
from emtrack.web.pages.exports import ExportPages
from emtrack.web.pages.guide import GuidePages
from emtrack.web.pages.history import HistoryPages
from emtrack.web.pages.history_known import HistoryKnownPages
from emtrack.web.pages.iom import IomPages
from emtrack.web.pages.iom_handed import HandedPages
from emtrack.web.pages.iom_meetings import MeetingPages
from emtrack.web.pages.iom_notes import NotePages
from emtrack.web.pages.iom_tasks import TaskPages
from emtrack.web.pages.iom_transitions import TransitionPages
from emtrack.web.pages.looks import LookPages
from emtrack.web.pages.maintenance import MaintenancePages
from emtrack.web.pages.near import NearPages
from emtrack.web.pages.performance import PerformancePages
from emtrack.web.pages.provider_login import ProviderPages
from emtrack.web.pages.reports import ReportPages
from emtrack.web.pages.requests import RequestPages
from emtrack.web.pages.saved_views import SavedViewPages
from emtrack.web.pages.sessions import SessionPages
from emtrack.web.pages.shift import ShiftPages
from emtrack.web.pages.site import Site
from emtrack.web.pages.visits import VisitPages
from emtrack.web.pages.wall import WallPages
from emtrack.web.pages.wearers import WearerPages
from emtrack.web.pages.what_if import WhatIfPages
from emtrack.web.rendering import Pages
from emtrack.web.watched import Watched


def web_routes(
    pool: asyncpg.Pool[Any],
    clock: Clock,
    zone_sets: ZoneSetCache,
    judges: Judges,
    metrics: Metrics,
    changed: asyncio.Condition,
    stop: asyncio.Event,
    watched: Watched,
    credentials: CredentialState,
    guesses: Guesses,
    settings: Settings,
    basemap: Basemap,
) -> list[BaseRoute]:
    """`guesses`: those of all who give a password. `judges`: what is judged for readers. `changed` is told of changes of alerts
    and of credentials, and tells those who follow. `stop` ends streams. `watched`: whether the service watches."""
    guide = read_guide(settings.guide)
    work = AlertWork(pool, clock, changed)
    pages = Pages(
        pool,
        clock,
        zone_sets,
        judges,
        watched,
        guided=guide is not None,
        history_gap_ms=settings.history_gap_s * 1000,
    )
    box = SecretBox(settings.data_dir)
    site = Site(pages, metrics, settings, guesses, box)
    drafts = DraftRuns(pool, judges, clock.now_ms, stop, basemap.path)
    return [
        description_route(),
        *finding_routes(pool, clock, judges),
        *AlertRoutes(pool, work, clock, stop, credentials).routes(),
        *OrderRoutes(pool, clock, judges).routes(),
        *device_routes(pool, clock),
        *LedgerRoutes(pool, clock).routes(),
        *IomRoutes(pool, clock, pages.seldom).routes(),
        *near_routes(pool, clock, judges),
        *export_routes(pool, clock, judges),
        *report_routes(pool, clock, judges, basemap.path),
        *WhatIfRoutes(pool, clock, drafts).routes(),
        *site.routes(),
        *BasemapRoutes(pool, basemap).routes(),
        *ProviderPages(pages, site, settings).routes(),
        *AccountPages(pages, guesses, box).routes(),
        *SessionPages(pages).routes(),
        *AlertPages(pages, work).routes(),
        *CasePages(pages, work).routes(),
        *AlertReplayPages(pages).routes(),
        *SavedViewPages(pages).routes(),
        *WallPages(pages, work).routes(),
        *WearerPages(pages).routes(),
        *HistoryPages(pages).routes(),
        *ExportPages(pages).routes(),
        *ReportPages(pages, basemap.path).routes(),
        *HistoryKnownPages(pages).routes(),
        *CurfewPages(pages).routes(),
        *NearPages(pages).routes(),
        *WhatIfPages(pages, drafts).routes(),
        *MaintenancePages(pages).routes(),
        *RequestPages(pages).routes(),
        *VisitPages(pages).routes(),
        *LookPages(pages).routes(),
        *CentrePages(pages).routes(),
        *GuidePages(pages, guide).routes(),
        *ShiftPages(pages).routes(),
        *IomPages(pages).routes(),
        *HandedPages(pages).routes(),
        *NotePages(pages).routes(),
        *PerformancePages(pages).routes(),
        *TaskPages(pages).routes(),
        *MeetingPages(pages).routes(),
        *TransitionPages(pages).routes(),
    ]
