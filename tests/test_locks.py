"""What is installed where: the service gets what it needs, tests get the same and more, and nothing of theirs is shipped."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHIPPED = ("alerts", "emtrack", "geofence", "ingest")
pytestmark = pytest.mark.skipif(
    not (ROOT / "requirements.lock").exists(), reason="locks stand in the repository only"
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name: str) -> dict[str, str]:
    """Versions by package; each has a hash, or pip would not take the file."""
    found = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^ \\;]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonical(package): version for package, version in found}


SERVICE, TESTS = locked("requirements.lock"), locked("requirements-dev.lock")
CLUSTER = locked("requirements-cluster.lock")
"""The same with the extra of that name."""


def test_tests_run_on_the_versions_that_the_service_gets() -> None:
    assert SERVICE.items() <= CLUSTER.items() <= TESTS.items()


def test_nothing_that_only_tests_need_is_installed_with_the_service() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ours = {canonical(re.split(r"[<>=]", line)[0]) for line in project["project"]["dependencies"]}
    theirs = {canonical(re.split(r"[<>=]", line)[0]) for line in project["dependency-groups"]["dev"]}
    assert theirs
    assert ours <= set(SERVICE)
    assert not theirs & set(SERVICE)


def imported(package: str) -> set[str]:
    """Names that any module of a package imports, also inside functions."""
    names = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - set(SHIPPED)


@pytest.mark.parametrize("package", SHIPPED)
def test_what_is_shipped_imports_only_what_is_installed_with_it(package: str) -> None:
    providers = packages_distributions()
    known = {name: {canonical(provider) for provider in providers.get(name, [name])} for name in imported(package)}
    assert {name for name, by in known.items() if not by & set(CLUSTER)} == set()


def test_only_the_stream_imports_what_its_extra_brings() -> None:
    (extra,) = set(CLUSTER) - set(SERVICE)
    assert extra == "nats-py"
    importing = [
        path
        for path in (ROOT / "emtrack").rglob("*.py")
        if re.search(r"^\s*(import|from) nats\b", path.read_text(), re.M)
    ]
    assert {path.parent.name for path in importing} == {"stream"}


def test_the_image_and_the_demo_install_no_more() -> None:
    assert "requirements-dev.lock" not in (ROOT / "deploy" / "Dockerfile").read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo: setup ", makefile, re.MULTILINE)
    assert re.search(r"^check: setup-dev ", makefile, re.MULTILINE)
