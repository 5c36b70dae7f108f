"""What is vendored for the pages is what the lock says, may be passed on, and asks nobody else for anything."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VENDOR = ROOT / "emtrack" / "web" / "static" / "vendor"
LOCK = json.loads((VENDOR / "LOCK.json").read_text())
PINNED = json.loads((ROOT / "tools" / "vendor" / "package-lock.json").read_text())["packages"]
LICENCES = (VENDOR / "LICENSES.txt").read_text()
STATIC = [path for path in VENDOR.parent.rglob("*") if path.suffix in {".css", ".js"}]
PERMISSIVE = {"MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Apache-2.0", "0BSD"}
FONTS = {".woff", ".woff2", ".ttf", ".otf", ".eot"}
# Addresses that are names (of a namespace, of a reference system) are no loads.
LOADS = re.compile(
    r"""\burl\((?!\s*["']?data:)[^)]*\)"""  # in a stylesheet, all but data:
    r"""|@import\b|@font-face\b"""
    r"""|\bimport\s*\(?\s*["'](?:https?:)?//[^"']*"""
    r"""|\bfrom\s*["'](?:https?:)?//[^"']*"""
    r"""|\bfetch\(\s*["'](?:https?:)?//[^"']*"""
    r"""|sourceMappingURL"""
)


def test_every_vendored_file_is_in_the_lock_with_its_hash_and_the_reverse() -> None:
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "LOCK.json"
    }
    assert found == LOCK["files"], "make vendor"


@pytest.mark.parametrize("name", LOCK["packages"])
def test_the_lock_names_the_versions_that_make_vendor_installs(name: str) -> None:
    pinned = PINNED[f"node_modules/{name}"]
    assert LOCK["packages"][name] == {
        "version": pinned["version"],
        "licence": pinned["license"],
        "integrity": pinned["integrity"],
    }
    assert pinned["integrity"].startswith("sha512-")


@pytest.mark.parametrize("name", LOCK["packages"])
def test_every_vendored_package_is_permissively_licensed_and_its_licence_is_passed_on(name: str) -> None:
    assert LOCK["packages"][name]["licence"] in PERMISSIVE
    assert f"{name}\n{'=' * len(name)}\n" in LICENCES


def test_the_documentation_names_every_vendored_package_and_its_version() -> None:
    described = (ROOT / "docs" / "dependencies.md").read_text().partition("## Vendored for the pages")[2]
    assert [n for n, p in LOCK["packages"].items() if n not in described or p["version"] not in described] == []


def test_the_lock_of_npm_names_no_registry() -> None:
    assert [name for name, package in PINNED.items() if "resolved" in package] == []


def test_no_fonts_and_nothing_that_only_the_crown_may_use() -> None:
    assert [path.name for path in VENDOR.rglob("*") if path.suffix in FONTS] == []
    for path in STATIC:
        assert re.findall(r"GDS Transport|crown|crest|royal arms", path.read_text(), re.IGNORECASE) == [], path.name


@pytest.mark.parametrize("path", STATIC, ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    assert LOADS.findall(path.read_text()) == []


@pytest.mark.parametrize(
    "load",
    [
        "a{background:url(https://example.org/a.png)}",
        "a{background:url('/assets/a.png')}",
        '@import "b.css"',
        'import a from "https://example.org/a.js"',
        'import("//example.org/a.js")',
        "@font-face{}",
        "//# sourceMappingURL=a.map",
    ],
)
def test_a_load_from_elsewhere_would_be_seen(load: str) -> None:
    assert LOADS.findall(load) != []


@pytest.mark.parametrize("path", STATIC, ids=lambda path: path.name)
def test_the_scripts_need_no_eval_and_no_worker(path: Path) -> None:
    """The policy of the pages forbids both; OpenLayers has them in parts that are not vendored."""
    assert re.findall(r"\beval\(|new Function\(|new Worker\(", path.read_text()) == []
