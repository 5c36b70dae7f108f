"""Pages speak as docs/glossary.md says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
WEB = ROOT / "emtrack" / "web"


def words_not_to_say() -> list[str]:
    rows = [line.split("|") for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line.startswith("| ")]
    return [word.strip() for row in rows[1:] for word in row[2].split(", ")]


def texts() -> Iterator[tuple[Path, str]]:
    for path in [*WEB.rglob("*.html"), *WEB.rglob("*.py"), *WEB.rglob("*.js"), ROOT / "emtrack/people/accounts.py"]:
        if "vendor" not in path.parts:
            yield path.relative_to(ROOT), path.read_text()


def test_no_page_says_what_the_glossary_replaced() -> None:
    banned = words_not_to_say()
    assert len(banned) > 20
    said = [f"{path}: {word}" for path, text in texts() for word in banned if word in text]
    assert said == []
