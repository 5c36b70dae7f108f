"""`emtrack channels`, `emtrack rota` and `emtrack deadlines`: who is told of alerts, when, and by when they must be worked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emtrack.cli.running import opened, run, run_until_signal, settings
from emtrack.cli.saying import print_table, read_instant, refuse, refuse_unfit, say, show, who
from emtrack.forms.names import unfit_account
from emtrack.people.expiry import told_expiry

if TYPE_CHECKING:
    from alerts import DeadlineRules, NewChannel
    from emtrack.db.opened import OpenedDatabase
    from emtrack.settings import Settings

channels = typer.Typer(no_args_is_help=True, help="Where messages about alerts go: e-mail addresses and webhooks.")
rota = typer.Typer(no_args_is_help=True, help="Who is on call.")
deadlines = typer.Typer(no_args_is_help=True, help="By when alerts must be worked.")

SEVERITIES = ("critical", "serious", "warning", "message")
canary = typer.Typer()


@canary.command("canary")
def run_canary(
    every: Annotated[float, typer.Option(min=5, max=3_600, help="seconds from beat to beat")] = 60.0,
    within: Annotated[float, typer.Option(min=1, max=300, help="seconds in which the alert must arrive")] = 30.0,
    alarm_to: Annotated[str | None, typer.Option(help="an e-mail address that is told when it does not")] = None,
    alarm_command: Annotated[str | None, typer.Option(help="a command that is told, on its standard input")] = None,
    beats: Annotated[
        int | None, typer.Option(min=1, help="end after so many; exit 1 if one failed (default: never)")
    ] = None,
) -> None:
    """Prove each minute that an alert goes from the device door to a delivery, and tell somebody when it does not. It runs beside the
    service, as a process of its own."""
    import shlex

    from emtrack.canary.singing import Alarm, Beat, Canary
    from emtrack.delivery.mail import mail_server_of

    chosen = settings()
    alarm = Alarm(mail_server_of(chosen), alarm_to, tuple(shlex.split(alarm_command or "")))
    if alarm_to is not None and alarm.server is None:
        refuse("--alarm-to needs a mail server: set EMTRACK_SMTP and EMTRACK_MAIL_FROM")
    failed = []

    async def sing(stop: Any) -> None:
        found = Canary(chosen, alarm, who(), every_s=every, within_s=within)

        def on_beat(beat: Beat) -> None:
            said = "arrived" if beat.trouble is None else beat.trouble
            say(f"{beat.sent_at:%Y-%m-%d %H:%M:%S} UTC  {beat.took_s:6.2f} s  {said}")
            failed.extend([beat] if beat.trouble else [])
            if found.beats == beats:
                stop.set()

        await found.run(stop, on_beat)

    run_until_signal(sing)
    if beats is not None and failed:
        raise typer.Exit(1)


NameArgument = Annotated[str, typer.Argument(help="a short name of your choice")]


@channels.command("add")
def add_channel(
    name: NameArgument,
    email: Annotated[str | None, typer.Option(help="an address such as duty@centre.example")] = None,
    webhook: Annotated[str | None, typer.Option(help="an address such as https://hooks.example/alerts")] = None,
    account: Annotated[str | None, typer.Option(help="whose it is: told of missed deadlines while on call")] = None,
    new_from: Annotated[
        str | None, typer.Option(help=f"told of each new alert so grave or graver: {', '.join(SEVERITIES)}")
    ] = None,
    outside: Annotated[
        bool, typer.Option("--outside", help="of people who are not in the centre: not told of possible entries")
    ] = False,
    for_wearers: Annotated[
        bool,
        typer.Option(
            "--for-wearers", help="a webhook that brings messages to wearers: gets the device id and the text"
        ),
    ] = False,
    fallback: Annotated[
        bool, typer.Option("--when-nobody", help="told of missed deadlines when nobody is on call")
    ] = False,
) -> None:
    """Enter where messages go. `--for-wearers` brings messages to those who wear tags, and nothing else.

    What the messages of a webhook are signed with is shown once."""
    from alerts import ChannelKind, NewChannel

    refuse_unfit(name, "the name", unfit_account)
    if (email is None) == (webhook is None):
        refuse("say where messages go: --email or --webhook")
    if new_from is not None and new_from not in SEVERITIES:
        refuse(f"--new-from is {new_from[:60]!r}; expected {', '.join(SEVERITIES)}")
    if for_wearers and (webhook is None or account or new_from or fallback):
        refuse("--for-wearers goes with --webhook, and with nothing else")
    kind, target = (ChannelKind.EMAIL, email) if email else (ChannelKind.WEBHOOK, webhook or "")
    severity_from = None if new_from is None else 1 + SEVERITIES.index(new_from)
    new = NewChannel(
        name,
        kind,
        target,
        account,
        severity_from,
        is_outside=outside,
        is_fallback=fallback,
        is_for_wearers=for_wearers,
    )
    secret = run(added(settings(), new, who()))
    say(f"{name} is entered; `emtrack channels test {name}` sends a message there")
    if secret is not None:
        typer.echo(secret)


async def added(chosen: Settings, new: NewChannel, by: str) -> str | None:
    """Raises UnfitChannel."""
    from alerts import add_channel as add

    async with _entering(chosen, "channels add") as (connection, clock):
        return await add(connection, new, by, clock.now_ms())


@channels.command("list")
def list_channels() -> None:
    """Those in use; never what is secret of them."""
    print_table(
        ("name", "by", "to", "account", "new from", "outside", "when nobody", "for wearers"), run(listed(settings()))
    )


async def listed(chosen: Settings) -> list[tuple[str, ...]]:
    from alerts import listed_channels

    async with _entering(chosen, "channels list") as (connection, _):
        return [_line(row) for row in await listed_channels(connection)]


def _line(row: Any) -> tuple[str, ...]:
    severity = row["severity_from"]
    marks = ("yes" if row[mark] else "" for mark in ("is_outside", "is_fallback", "is_for_wearers"))
    new_from = "" if severity is None else SEVERITIES[severity - 1]
    return (row["name"], row["kind"], row["target"], row["account"] or "", new_from, *marks)


@channels.command("end")
def end_channel(name: NameArgument) -> None:
    """Nothing goes there any more."""
    if not run(ended(settings(), name, who())):
        refuse(f"there is no channel {name[:60]!r}; `emtrack channels list` shows those there are")


async def ended(chosen: Settings, name: str, by: str) -> bool:
    from alerts import end_channel as end

    async with _entering(chosen, "channels end") as (connection, clock):
        return await end(connection, name, by, clock.now_ms())


@channels.command("test")
def test_channel(name: NameArgument) -> None:
    """Send a message there by the running service. What did not arrive after a minute stands on the page `Messages`."""
    if not run(tested(settings(), name, who())):
        refuse(f"there is no channel {name[:60]!r}; `emtrack channels list` shows those there are")
    say("The message is in the outbox; the service brings it there.")


async def tested(chosen: Settings, name: str, by: str) -> bool:
    from alerts import NewMessage, channels_now, post

    async with _entering(chosen, "channels test") as (connection, clock):
        now_ms = clock.now_ms()
        found = next((c for c in await channels_now(connection) if c.name == name), None)
        if found is None:
            return False
        fields = {"topic": "test", "subject": "a test message", "lines": [f"Sent by {by}."], "since_ms": now_ms}
        await post(connection, [NewMessage(found.channel_no, f"test {now_ms}", fields)], now_ms)
        return True


@rota.command("add")
def add_shift(
    account: Annotated[str, typer.Argument(help="who is on call")],
    begins: Annotated[str, typer.Option("--from", help="an instant such as 2026-03-01T18:00:00Z")],
    ends: Annotated[str, typer.Option("--to", help="an instant")],
    level: Annotated[int, typer.Option(min=1, max=2, help="1: told first; 2: told when that did not help")] = 1,
) -> None:
    """Enter a shift on call."""
    begin_ms, end_ms = read_instant(begins, "--from"), read_instant(ends, "--to")
    assert begin_ms is not None, "the option is required"
    assert end_ms is not None, "the option is required"
    show(str(run(shift_added(settings(), account, level, begin_ms, end_ms, who()))))


async def shift_added(chosen: Settings, account: str, level: int, begin_ms: int, end_ms: int, by: str) -> int:
    """Raises UnfitShift."""
    from alerts import add_shift as add

    async with _entering(chosen, "rota add") as (connection, clock):
        return await add(connection, account, level, begin_ms, end_ms, who=by, now_ms=clock.now_ms())


@rota.command("list")
def list_rota() -> None:
    """Shifts of now and to come."""
    print_table(("shift", "account", "level", "from", "to", "entered by"), run(shifts_listed(settings())))


async def shifts_listed(chosen: Settings) -> list[tuple[object, ...]]:
    from alerts import shifts_from

    async with _entering(chosen, "rota list") as (connection, clock):
        found = await shifts_from(connection, clock.now_ms())
    return [
        (s.shift_no, s.account, s.level, told_expiry(s.begins_at), told_expiry(s.ends_at), s.entered_by)
        for s in found
    ]


@rota.command("end")
def end_shift(shift: Annotated[int, typer.Argument(help="its number")]) -> None:
    """Take a shift back."""
    if not run(shift_ended(settings(), shift, who())):
        refuse(f"there is no shift {shift}, or it was taken back before")


async def shift_ended(chosen: Settings, shift_no: int, by: str) -> bool:
    from alerts import end_shift as end

    async with _entering(chosen, "rota end") as (connection, clock):
        return await end(connection, shift_no, by, clock.now_ms())


@deadlines.command("show")
def show_deadlines() -> None:
    """The rules in force, as `set` takes them: minutes by severity."""
    import msgspec

    show(msgspec.json.format(msgspec.json.encode(run(rules_shown(settings()))), indent=2).decode())


async def rules_shown(chosen: Settings) -> DeadlineRules:
    from alerts import rules_in_force

    async with _entering(chosen, "deadlines show") as (connection, _):
        return (await rules_in_force(connection)).rules


@deadlines.command("set")
def set_deadlines(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="JSON; what it leaves out is the default")
    ],
) -> None:
    """Enter other rules. What is open gets its deadlines by them within a second; what happened before stays."""
    from alerts import read_rules

    run(rules_entered(settings(), read_rules(file.read_bytes()), who()))


async def rules_entered(chosen: Settings, rules: DeadlineRules, by: str) -> None:
    from alerts import enter_rules

    async with _entering(chosen, "deadlines set") as (connection, clock):
        await enter_rules(connection, rules, by, clock.now_ms())


@asynccontextmanager
async def _entering(chosen: Settings, program: str) -> AsyncIterator[OpenedDatabase]:
    """In a transaction. What cannot be entered ends the command."""
    from alerts import UnfitChannel, UnfitRules, UnfitShift

    async with opened(chosen, program) as found:
        try:
            yield found
        except (UnfitChannel, UnfitRules, UnfitShift) as error:
            refuse(str(error))
