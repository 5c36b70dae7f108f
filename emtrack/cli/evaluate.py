"""`emtrack evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emtrack.cli.saying import give, read_instant, say

app = typer.Typer()


@app.command()
def evaluate(
    orders: Annotated[Path, typer.Option(help="orders.json")],
    positions: Annotated[Path, typer.Option(help="positions: .csv, .ndjson or .parquet, .gz allowed")],
    until: Annotated[str, typer.Option(help="the now of the judgement, ISO 8601 with a zone")],
    events: Annotated[Path | None, typer.Option(help="events, likewise")] = None,
    out: Annotated[Path | None, typer.Option(help="findings.jsonl (default: standard output)")] = None,
    refusals: Annotated[Path | None, typer.Option(help="rows that could not be used, with their reasons")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="mend invalid polygons, and write them back")] = False,
) -> None:
    """Judge files: no server, no database. The same core as the service."""
    from emtrack.cli.orders_file import read_orders_file
    from emtrack.files.evaluate import evaluate as judge
    from emtrack.files.progress import progress_on_terminal
    from emtrack.files.refusals import refusals_file
    from emtrack.forms.lines import finding_lines
    from emtrack.forms.reading import refuse_unknown_sets

    until_ms = read_instant(until, "--until")
    assert until_ms is not None
    read = read_orders_file(
        orders, repair=repair, ignored=frozenset({"wearers", "protocols"}), check=refuse_unknown_sets
    )
    with progress_on_terminal() as tell:
        evaluation = judge(read, positions, events, until_ms, tell)
    lines = b"".join(finding_lines(evaluation.findings))
    with refusals_file(refusals) as refuse:
        for row in evaluation.refused:
            refuse(row)
    if evaluation.refused:
        say(f"{len(evaluation.refused)} rows were refused" + ("" if refusals else "; --refusals FILE says why"))
    give(lines, out)
