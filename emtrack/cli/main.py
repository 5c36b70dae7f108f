"""All commands, and the entry point."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from emtrack.cli import (
    access,
    audit,
    centre,
    curfews,
    database,
    devices,
    doctor,
    emulation,
    evaluate,
    exporting,
    findings,
    iom,
    near,
    orders,
    quarantine,
    rejudging,
    retention,
    schema,
    service,
    subject,
    sweep,
    tokens,
    users,
    what_if,
    zones,
)
from emtrack.cli.saying import say, write_whole
from emtrack.errors import MendableError
from geofence import NotAnInstant

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Judges electronic-monitoring data against orders, and serves it.",
)
app.registered_commands += centre.canary.registered_commands
for module in (
    evaluate,
    sweep,
    service,
    doctor,
    findings,
    exporting,
    near,
    what_if,
    curfews,
    rejudging,
    emulation,
    schema,
):
    app.registered_commands += module.app.registered_commands
for name, module in (
    ("orders", orders),
    ("devices", devices),
    ("tokens", tokens),
    ("users", users),
    ("access", access),
    ("zones", zones),
    ("quarantine", quarantine),
    ("db", database),
    ("audit", audit),
    ("retention", retention),
    ("subject", subject),
    ("iom", iom),
):
    app.add_typer(module.app, name=name)
for name, group in (("channels", centre.channels), ("rota", centre.rota), ("deadlines", centre.deadlines)):
    app.add_typer(group, name=name)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"emtrack {version('emtrack')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="say which version this is")
    ] = False,
) -> None:
    pass


def main() -> None:
    """The entry point: errors that a person can mend become one line and an exit code."""
    write_whole()
    try:
        app()
    except MendableError as error:
        say(f"emtrack: {error}")
        sys.exit(error.exit_code)
    except NotAnInstant as error:
        say(f"emtrack: {error}")
        sys.exit(2)
    except OSError as error:
        say(f"emtrack: {error.filename or 'input or output'}: {error.strerror or error}")
        sys.exit(2 if error.filename else 1)
