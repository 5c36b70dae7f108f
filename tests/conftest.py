"""Fixtures for all tests."""

from hypothesis import HealthCheck, settings

from tests.browser import browser, chromium, open_page
from tests.db_fixtures import (
    any_database_url,
    any_test_server,
    data_dir,
    database_url,
    embedded_test_server,
    other_test_server,
    server_15_url,
)
from tests.service_world import no_waiting, world

__all__ = [
    "any_database_url",
    "any_test_server",
    "browser",
    "chromium",
    "data_dir",
    "database_url",
    "embedded_test_server",
    "no_waiting",
    "open_page",
    "other_test_server",
    "server_15_url",
    "world",
]

# How fast examples are made and run says more of what else the machine does than of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
