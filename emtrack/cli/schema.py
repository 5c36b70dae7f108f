"""`emtrack schema`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from emtrack.cli.saying import refuse

app = typer.Typer()


@app.command()
def schema(form: Annotated[str, typer.Argument(help="orders, report, finding or api")]) -> None:
    """JSON Schema of a form that outsiders rely on; `api`: the OpenAPI description of the service."""
    from emtrack.forms.schemas import SCHEMAS
    from emtrack.web.api.description import description

    known = SCHEMAS | {"api": description}
    if form not in known:
        refuse(f"{form!r} is no form; expected one of {', '.join(known)}")
    sys.stdout.buffer.write(known[form]())
