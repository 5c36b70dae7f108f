"""Breaches as officers work them: begun from a finding, each step with its time, to the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from emtrack.errors import MendableError
from emtrack.iom.breaches import BREACH, Breach
from emtrack.iom.entries import Author, Draft, Entry, enter, following, take_turn, versions_of_item

if TYPE_CHECKING:
    from emtrack.db.connect import Connection


class UnfitBreach(MendableError, ValueError):
    """A step that cannot be taken so."""

    exit_code = 2


class BreachStep(NamedTuple):
    """`words`: why no action is taken, what the pack is, or the outcome. `due_ms`: of the next deadline; None: there is none."""

    state: str
    words: str | None = None
    due_ms: int | None = None


async def begin_breach(
    connection: Connection, author: Author, wearer_no: int, finding_no: int | None, why: str, due_ms: int, now_ms: int
) -> Entry:
    """To be decided by `due_ms`. Inside the caller's transaction. Raises UnfitBreach."""
    if not why:
        raise UnfitBreach("say what was breached")
    content = Breach(findings=[] if finding_no is None else [finding_no], why=why, steps={"TO_DECIDE": now_ms})
    draft = Draft(BREACH, wearer_no, content, "TO_DECIDE", occurred_ms=now_ms, due_ms=due_ms)
    return (await enter(connection, author, [draft], now_ms))[0]


async def step_breach(connection: Connection, author: Author, item_no: int, step: BreachStep, now_ms: int) -> Entry:
    """Inside the caller's transaction. Raises UnfitBreach, NoTransition or UnfitEntry."""
    await take_turn(connection)
    versions = await versions_of_item(connection, item_no)
    entry = versions[-1] if versions else None
    if entry is None or not isinstance(entry.content, Breach):
        raise UnfitBreach(f"there is no breach {item_no}")
    if step.state == entry.state:
        raise UnfitBreach("this step was taken already")
    content = msgspec.structs.replace(entry.content, **_said(entry.content, author, step, now_ms))
    return (
        await enter(
            connection, author, [following(entry, state=step.state, content=content, due_ms=step.due_ms)], now_ms
        )
    )[0]


def _said(before: Breach, author: Author, step: BreachStep, now_ms: int) -> dict[str, object]:
    said: dict[str, object] = {"steps": before.steps | {step.state: now_ms}}
    if before.decided_by is None:
        said |= {"decided_by": author.name}
    match step.state:
        case "NO_ACTION":
            said |= {"why": step.words}
        case "PACK_IN_PREPARATION" | "PACK_SENT":
            said |= {"pack": step.words or before.pack}
        case "RECALL_REQUESTED":
            said |= {"recall": True}
        case "CLOSED":
            said |= {"outcome": step.words}
    return said
