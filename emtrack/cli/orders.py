"""`emtrack orders`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import refuse, say, say_counts, who

if TYPE_CHECKING:
    from emtrack.forms.orders import Orders

app = typer.Typer(no_args_is_help=True, help="Orders: who is obliged to be where, and when.")


@app.command("import")
def import_orders(
    file: Annotated[Path, typer.Argument(help="orders.json")],
    keys_out: Annotated[Path | None, typer.Option(help="where to write the keys of new devices, once")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would change, and change nothing")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="mend invalid polygons, and write them back")] = False,
    reason: Annotated[
        str | None,
        typer.Option(help="why requirements that begin in the past are entered now, where they do not say"),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="enter nothing if anything is probably not meant")] = False,
) -> None:
    """Enter orders; each change is a new version with who and when."""
    from emtrack.cli.orders_file import read_orders_file
    from emtrack.orders.importing import import_orders as enter

    orders = read_orders_file(file, repair=repair, write_back=not dry_run)
    if reason is not None:
        orders = explained(orders, reason)
    if keys_out is not None:
        _refuse_unfit_file(keys_out)
    entered = run(enter(settings(), orders, who=who(), dry_run=dry_run, strict=strict))
    for caution in entered.cautions:
        say(f"warning: {caution}")
    say_counts(entered.counts.items())
    say("nothing was changed (--dry-run)" if dry_run else f"{len(entered.keys)} devices are new")
    if entered.is_being_taken_in:
        say(
            "The service is still taking this in, some people at a time; until then it judges by the orders from before."
        )
    if entered.keys and not dry_run:
        _hand_out(entered.keys, keys_out)


def explained(orders: Orders, reason: str) -> Orders:
    """With the reason at each requirement that gives none."""
    from msgspec.structs import replace

    forms = [form if form.reason is not None else replace(form, reason=reason) for form in orders.requirements]
    return replace(orders, requirements=forms)


def _refuse_unfit_file(keys_out: Path) -> None:
    if keys_out.exists():
        refuse(f"{keys_out} exists; keys are written once, so name a file that does not")
    if not os.access(keys_out.absolute().parent, os.W_OK):
        refuse(f"{keys_out}: its folder is not there or cannot be written to; the keys would be lost")


def _hand_out(keys: dict[str, str], keys_out: Path | None) -> None:
    """Keys exist in clear only here: a file that only its owner can read, or nothing at all."""
    import msgspec

    if keys_out is None:
        say("their keys were not asked for; `emtrack devices add DEVICE` makes another")
        return
    descriptor = os.open(keys_out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keys)) + b"\n")
    say(f"their keys are in {keys_out}; they are kept nowhere else")
