"""`emtrack doctor`."""

from __future__ import annotations

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import print_table

app = typer.Typer()


@app.command()
def doctor() -> None:
    """Look whether this machine and its database are fit: clock, disk, open files, versions, roles. Changes nothing. Exit code 1 if
    anything is bad."""
    from emtrack.service.examination import examine, worst

    looks = run(examine(settings()))
    print_table(("what", "how", "found"), looks)
    raise typer.Exit(worst(looks))
