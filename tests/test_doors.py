"""Libraries are used through their doors: what is not named there may change."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOORS = (
    "alerts",
    "alerts.copied_rows",
    "geofence",
    "geofence.dwelling",
    "geofence.judgement",
    "geofence.nearness",
    "geofence.shapes",
    "geofence.sweep",
    "ingest",
    "ingest.protocols",
)
USERS = {"emtrack": ("alerts", "geofence", "ingest"), "alerts": ("geofence",), "ingest": ("geofence",)}


def imports_of(package: str) -> Iterator[tuple[str, str]]:
    """Where each import stands, and which module it is of."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.module


@pytest.mark.parametrize("user", USERS)
def test_a_library_is_imported_from_its_doors_only(user: str) -> None:
    libraries = USERS[user]
    past = [where for where, module in imports_of(user) if module.split(".")[0] in libraries and module not in DOORS]
    assert past == []


@pytest.mark.parametrize("door", DOORS)
def test_a_door_names_all_that_it_has_and_says_what_it_is_for(door: str) -> None:
    module = importlib.import_module(door)
    assert module.__doc__
    assert len(module.__all__) == len(set(module.__all__))
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("library", ["alerts", "emtrack", "geofence", "ingest"])
def test_libraries_say_that_they_are_typed(library: str) -> None:
    assert (ROOT / library / "py.typed").exists()
