"""`emtrack schema`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from emtrack.cli.saying import refuse

app = typer.Typer()


@app.command()
def schema(form: Annotated[str, typer.Argument(help="orders, report or finding")]) -> None:
    """JSON Schema of a form that outsiders rely on."""
    from emtrack.forms.schemas import SCHEMAS

    if form not in SCHEMAS:
        refuse(f"{form!r} is no form; expected one of {', '.join(SCHEMAS)}")
    sys.stdout.buffer.write(SCHEMAS[form]())
