"""`emtrack subject`: the file of a person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import refuse, say, say_counts, who

app = typer.Typer(no_args_is_help=True, help="What is held about a person.")


@app.callback()
def _group() -> None:
    """A group, though it has one command."""


@app.command("export")
def export(
    wearer: Annotated[str, typer.Argument(help="the id of the person")],
    out: Annotated[Path, typer.Option(help="the folder to write, new or empty")],
    withhold: Annotated[list[str] | None, typer.Option(help="a part to leave out, as often as needed")] = None,
    reason: Annotated[list[str] | None, typer.Option(help="why, for each part in order; the person is told")] = None,
) -> None:
    """Write all that is held about a person, and who looked, for a subject access request. Who asks is put on record first. Read what
    people wrote by hand before you hand it over."""
    from emtrack.files.subject import export_subject

    parts, reasons = withhold or [], reason or []
    if len(parts) != len(reasons):
        refuse("each --withhold needs its own --reason, in the same order")
    index = run(export_subject(settings(), wearer, out, who(), dict(zip(parts, reasons, strict=True))))
    say_counts([(table.file, table.rows) for table in index.tables], width=9)
    for one in index.withheld:
        say(f"withheld: {one.what}: {one.reason}")
