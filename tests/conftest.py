"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.browser import browser, chromium, open_page
from tests.db_fixtures import (
    any_database_url,
    any_test_server,
    data_dir,
    database_url,
    embedded_test_server,
    other_test_server,
    second_database_url,
    server_15_url,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.office import Office
    from tests.service_world import World
    from tests.visitor import Visitor

__all__ = [
    "any_database_url",
    "any_test_server",
    "browser",
    "chromium",
    "data_dir",
    "database_url",
    "embedded_test_server",
    "open_page",
    "other_test_server",
    "second_database_url",
    "server_15_url",
]

# How fast examples are made and run says more of what else the machine does than of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """Two wearers with a device and a curfew each; at the end, every report is accounted for."""
    from tests.service_world import assert_conserved, deployed, orders  # a second, which most files need not wait

    async with deployed(database_url, orders(1, 2)) as world:
        yield world
        await assert_conserved(world.connection)


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    """The service with the orders of `tests.office`. A file whose people are others has its own."""
    from tests.office import open_office

    async with open_office(database_url, data_dir) as office:
        yield office


@pytest.fixture
async def visitor(office: Office) -> AsyncIterator[Visitor]:
    """Somebody who has not logged in."""
    from tests.visitor import Visitor

    visitor = Visitor(office)
    yield visitor
    await visitor.http.close()
