"""`emtrack audit`: shows whether the record was touched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.looking import PurposeOption, looker_here
from emtrack.cli.running import run, settings
from emtrack.cli.saying import give, refuse, say, who

if TYPE_CHECKING:
    from emtrack.people.looks import Looker
    from emtrack.sealing.notes import Head
    from emtrack.sealing.proofs import Proof
    from emtrack.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The log that shows whether the record was touched.")

KeyFile = Annotated[Path, typer.Option("--key", help="the public key of the log: the file log.pub")]
HeadFile = Annotated[Path | None, typer.Option("--head", help="a head from elsewhere, such as of the witness")]


@app.command("prove")
def prove(
    what: Annotated[
        str, typer.Argument(help="fact, finding, action, look, disclosure, order, activation, requirement or removal")
    ] = "",
    number: Annotated[int, typer.Argument(help="its number")] = 0,
    consistency: Annotated[
        tuple[int, int] | None,
        typer.Option(help="the sizes OLD and NEW of two heads: prove that the one log grew out of the other"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the file to write; standard output without it")] = None,
    purpose: PurposeOption = "SERVICE",
) -> None:
    """Prove that rows are in the log, as they are, in a file that anybody can check. Who asks is put on record first."""
    from emtrack.sealing.proofs import written
    from emtrack.sealing.proving import PROVABLE

    if consistency is not None:
        give(written([run(growth(settings(), *consistency))]), out)
        return
    if what not in PROVABLE:
        refuse(f"{what[:60]!r}: expected one of {', '.join(PROVABLE)}, or --consistency OLD NEW")
    looker = looker_here(purpose, f"proof of {what} {number}")
    give(written(run(proofs_of(settings(), looker, what, number))), out)


@app.command("verify")
def verify_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="what `emtrack audit prove` wrote; or a report: its zip, or the folder it was unpacked into"
        ),
    ],
    key: KeyFile,
    head: HeadFile = None,
    disclosure: Annotated[
        Path | None,
        typer.Option(
            help="of a report: what `emtrack audit prove disclosure` wrote, to prove that this file was given"
        ),
    ] = None,
) -> None:
    """Check a file of proofs, or a report, with the public key alone: no database, no service. Exit code 1 where it does not hold."""
    from emtrack.sealing.bundles import is_bundle, verify_bundle
    from emtrack.sealing.proofs import read_proofs, read_small_file, verify

    trusted = None if head is None else read_small_file(head).decode(errors="replace")
    if is_bundle(file):
        for line in verify_bundle(file, read_small_file(key).decode(errors="replace"), trusted, disclosure):
            typer.echo(line)
        return
    for proof in read_proofs(read_small_file(file)):
        typer.echo(verify(proof, read_small_file(key).decode(errors="replace"), trusted))


@app.command("check")
def check(
    key: Annotated[Path | None, typer.Option("--key", help="the public key of that head")] = None,
    head: HeadFile = None,
) -> None:
    """Compare every row with its leaf, and the leaves with the signed heads. Names each row that does not fit; exit code 1 then."""
    seen = [] if head is None or key is None else [head_in(head, key)]
    if (head is None) != (key is None):
        refuse("--head and --key belong together: a head is read with the key that signed it")
    if not run(checked(settings(), seen)):
        raise typer.Exit(1)


@app.command("rotate-key")
def rotate_key() -> None:
    """Sign heads with a new key from now on. The old key names it, in the log; a running service takes it within a second."""
    say(f"the new key of the log: {run(rotated(settings()))}")


def head_in(head: Path, key: Path) -> Head:
    """Raises UnfitHead."""
    from emtrack.sealing.notes import read_key, read_note
    from emtrack.sealing.proofs import read_small_file

    name, public = read_key(read_small_file(key).decode(errors="replace"))
    return read_note(read_small_file(head).decode(errors="replace"), name, public)


async def proofs_of(chosen: Settings, looker: Looker, what: str, number: int) -> list[Proof]:
    """Raises NothingToProve."""
    from emtrack.db.opened import opened_database
    from emtrack.people.looks import What, record_look
    from emtrack.sealing.proving import prove_rows

    async with opened_database(chosen, "audit prove") as (connection, clock):
        await record_look(connection, looker, What.EXPORT, None, now_ms=clock.now_ms())
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return list(await prove_rows(connection, what, number))


async def growth(chosen: Settings, old: int, new: int) -> Proof:
    """Raises NothingToProve."""
    from emtrack.db.opened import opened_database
    from emtrack.sealing.proving import prove_growth

    async with opened_database(chosen, "audit prove") as (connection, _):
        return await prove_growth(connection, old, new)


async def checked(chosen: Settings, seen: list[Head]) -> bool:
    """Whether everything fits. Tells what does not."""
    from collections import Counter

    from alerts import misplaced_alerts
    from emtrack.db.opened import opened_database
    from emtrack.sealing.check import PLAIN_TEXT, check_tree, kinds, misfits_of

    deleted: Counter[int] = Counter()
    unfit = 0
    async with (
        opened_database(chosen, "audit check") as (connection, _),
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute(PLAIN_TEXT)
        for kind in await kinds(connection):
            async for row, run_no in misfits_of(connection, kind):
                if run_no is not None:
                    deleted[run_no] += 1
                    continue
                unfit += 1
                typer.echo(f"{row.kind} {row.key}{f'/{row.part}' if row.part else ''} {row.what}")
        async for alert in misplaced_alerts(connection):
            unfit += 1
            typer.echo(f"alert {alert.alert_no} does not stand where its actions left it: {', '.join(alert.columns)}")
        tree = await check_tree(connection, seen)
    for trouble in tree.troubles:
        typer.echo(trouble)
    for run_no, rows in sorted(deleted.items()):
        say(f"{rows:,} rows: deleted by retention run {run_no}")
    say(f"{tree.leaves:,} leaves under {tree.heads:,} heads; {tree.waiting:,} wait for the service to seal them")
    say(f"{unfit:,} rows and {len(tree.troubles):,} places of the log do not fit")
    return not unfit and not tree.troubles


async def rotated(chosen: Settings) -> str:
    """The line of the new public key."""
    from emtrack.clock import machine_ms
    from emtrack.db.opened import opened_database
    from emtrack.sealing.heads import enter_key
    from emtrack.sealing.keys import read_or_make_key, replace_key
    from emtrack.sealing.notes import public_bytes, told_key

    async with opened_database(chosen, "audit rotate-key") as (connection, _), connection.transaction():
        before = read_or_make_key(chosen.data_dir)
        await enter_key(connection, before, who(), machine_ms())
        key = replace_key(chosen.data_dir)
        return told_key(await enter_key(connection, key, who(), machine_ms(), before), public_bytes(key))
