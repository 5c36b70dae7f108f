"""`emtrack sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emtrack.cli.saying import give, read_instant, say

app = typer.Typer()


@app.command()
def sweep(
    orders: Annotated[Path, typer.Option(help="orders.json")],
    positions: Annotated[
        list[Path], typer.Option(help="positions, .parquet, or a folder of such files; repeat it for several")
    ],
    until: Annotated[str, typer.Option(help="the now of the judgement, ISO 8601 with a zone")],
    out: Annotated[Path | None, typer.Option(help="findings.jsonl (default: standard output)")] = None,
    refusals: Annotated[Path | None, typer.Option(help="rows that could not be used, with their reasons")] = None,
    wearers_at_once: Annotated[
        int, typer.Option(min=1, help="whose positions are in memory of a process together")
    ] = 50,
    processes: Annotated[
        int, typer.Option(min=1, max=256, help="that share the work; the findings are the same")
    ] = 1,
) -> None:
    """Judge months of many wearers from Parquet: EXCLUSION, INCLUSION and CURFEW, as `evaluate` finds them without events."""
    from emtrack.cli.orders_file import read_orders_file
    from emtrack.files.bundles import files_in
    from emtrack.files.progress import progress_on_terminal
    from emtrack.files.refusals import refusals_file
    from emtrack.files.sweep import buffers_in, said_of
    from emtrack.files.sweep import sweep as judge
    from emtrack.forms.reading import refuse_unknown_sets

    until_ms = read_instant(until, "--until")
    assert until_ms is not None
    read = read_orders_file(orders, ignored=frozenset({"wearers", "protocols"}), check=refuse_unknown_sets)
    with refusals_file(refusals) as refuse, progress_on_terminal() as tell:
        lines, figures = judge(
            read, files_in(positions), until_ms, refuse, tell, at_once=wearers_at_once, processes=processes
        )
    give(b"".join(lines), out)
    for line in said_of(figures, buffers_in(read)):
        say(line)
