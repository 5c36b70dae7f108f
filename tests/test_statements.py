"""Every statement of the program is one that PostgreSQL understands: also those that a test would have to wait for. All of them are
constants of modules, so that they are found."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import alerts
import emtrack
import ingest
from emtrack.db.connect import connect

ROOT = Path(__file__).parent.parent
PACKAGES = (alerts, emtrack, ingest)
PREPARED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s")
LIKE_SQL = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|ALTER|DROP|TRUNCATE|SET|DO|COPY|LOCK|ANALYZE|VACUUM|SAVEPOINT)\s"
)


def statements() -> Iterator[tuple[str, str]]:
    """Where each constant stands that is a statement, and its text."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                for name, value in vars(importlib.import_module(module.name)).items():
                    if name.isupper() and isinstance(value, str) and PREPARED.match(value):
                        yield f"{module.name}.{name}", value


def test_the_statements_are_found() -> None:
    assert len(dict(statements())) > 150


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
    # The table of migrations is made by the program that migrates, and is there; these are the statements of it.
    assert refused == []


def hidden_statements(source: str) -> Iterator[int]:
    """Lines of texts that look like SQL and are no constants of the module."""
    tree = ast.parse(source)
    constants = {
        id(node)
        for statement in tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for node in ast.walk(statement)
    }
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and LIKE_SQL.match(node.value) and id(node) not in constants | docstrings:
            yield node.lineno


def test_no_statement_hides_from_the_test_of_all() -> None:
    hidden = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in ("alerts", "emtrack", "ingest", "geofence")
        for path in (ROOT / package).rglob("*.py")
        for line in hidden_statements(path.read_text())
    ]
    assert hidden == []


def test_a_statement_in_a_function_or_a_class_is_told() -> None:
    source = 'GOOD = "SELECT 1"\nclass A:\n    BAD = "SELECT 2"\ndef f(t):\n    return f"DELETE FROM {t}"\n'
    assert list(hidden_statements(source)) == [3, 5]


def test_pages_and_routes_hold_no_statements() -> None:
    assert [where for where, _ in statements() if where.startswith("emtrack.web")] == []
