"""Every statement of the program is one that PostgreSQL understands: also those that a test would have to wait for."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import alerts
import emtrack
import ingest
from emtrack.db.connect import connect

VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s")


def statements() -> Iterator[tuple[str, str]]:
    """Where each constant stands that is a statement, and its text."""
    for package in (alerts, emtrack, ingest):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                for name, value in vars(importlib.import_module(module.name)).items():
                    if name.isupper() and isinstance(value, str) and VERB.match(value):
                        yield f"{module.name}.{name}", value


def test_the_statements_are_found() -> None:
    assert len(dict(statements())) > 100


async def test_every_statement_can_be_prepared(any_database_url: str) -> None:
    connection = await connect(any_database_url)
    refused = []
    try:
        for where, statement in statements():
            try:
                await connection.prepare(statement)
            except Exception as error:
                refused.append(f"{where}: {error}")
    finally:
        await connection.close()
    assert refused == []
