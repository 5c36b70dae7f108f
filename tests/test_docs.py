"""The documentation is under test: what it does not mention does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from emtrack.cli import app
from emtrack.forms.schemas import SCHEMAS
from emtrack.metrics import Metrics
from emtrack.settings import PREFIX, Settings
from geofence.words import EventType, Kind
from ingest import RefusalReason

ROOT = Path(__file__).parent.parent
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{PREFIX}{name.upper()}`" in OPERATIONS


def test_every_metric_is_documented_and_no_other() -> None:
    known = {f"{m.name}_total" if m.type == "counter" else m.name for m in Metrics().registry.collect()}
    assert set(re.findall(r"`(emtrack_[a-z_]+)[`{]", OPERATIONS)) == known


@pytest.mark.parametrize("event", EventType)
def test_every_event_type_is_documented(event: EventType) -> None:
    assert f"`{event}`" in OPERATIONS


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_finding_is_in_the_readme(kind: Kind) -> None:
    assert f"`{kind}`" in README


@pytest.mark.parametrize("reason", RefusalReason)
def test_every_reason_of_a_refusal_is_documented(reason: RefusalReason) -> None:
    assert f"`{reason}`" in (ROOT / "docs" / "forms.md").read_text()


def commands(group: typer.Typer = app, prefix: str = "") -> Iterator[str]:
    """All commands there are, as they are called."""
    for command in group.registered_commands:
        yield prefix + (command.name or getattr(command.callback, "__name__", ""))
    for under in group.registered_groups:
        assert under.typer_instance is not None
        yield from commands(under.typer_instance, f"{prefix}{under.name} ")


def test_every_command_is_documented() -> None:
    assert len(list(commands())) >= 20
    assert [command for command in commands() if f"`emtrack {command}" not in OPERATIONS] == []


@pytest.mark.parametrize("form", SCHEMAS)
def test_the_published_schemas_are_what_the_program_reads_and_writes(form: str) -> None:
    published = (ROOT / "docs" / "schemas" / f"{form}.schema.json").read_bytes()
    assert published == SCHEMAS[form](), "make schemas"


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda page: page.name)
def test_links_of_the_documentation_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    "target",
    ["demo", "test", "check", "fix", "bench", "test-one", "test-long", "schemas", "lock", "screenshots", "vendor"],
)
def test_every_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_what_runs_before_a_commit_is_what_make_check_runs_and_is_fetched_from_nowhere() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"repo: (.+)", hooks) == ["local"]
    recipe = (ROOT / "Makefile").read_text().split("\ncheck:")[1].split("\n\n")[0].replace("$(BIN)", ".venv/bin")
    checks = [line.strip().removesuffix(" .") for line in recipe.splitlines()[1:]]
    assert re.findall(r"entry: (.+)", hooks) == checks


@pytest.mark.parametrize("package", ["alerts", "emtrack", "geofence", "ingest"])
def test_every_folder_of_the_code_has_its_line_in_the_architecture(package: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    folders = [path.parent.relative_to(ROOT) for path in (ROOT / package).rglob("__init__.py")]
    assert [str(folder) for folder in folders if f"{folder.name}/" not in page] == []
