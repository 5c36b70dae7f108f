"""What messages say: fields of the outbox as JSON for programs and as lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from alerts import REASONS, Occasion
from geofence import format_instant

Fields = Mapping[str, Any]


def shown_fields(fields: Fields, base_url: str) -> dict[str, Any]:
    """For a program: times as texts, and where it is looked at."""
    shown = {key: value for key, value in fields.items() if key != "since_ms"}
    if "since_ms" in fields:
        shown["since"] = format_instant(fields["since_ms"])
    if "alert" in fields:
        shown["url"] = f"{base_url}/alerts/{fields['alert']}"
    if "task" in fields:
        shown["url"] = f"{base_url}/iom/tasks/{fields['task']}"
    return shown


def subject_of(messages: Sequence[Fields]) -> str:
    """ "emtrack: 3 alerts (1 critical, 2 serious)"."""
    alerts = [fields for fields in messages if fields.get("topic") == "alert"]
    if len(alerts) < len(messages) or not alerts:
        others = [fields for fields in messages if fields.get("topic") != "alert"]
        return f"emtrack: {others[0]['subject']}" if len(messages) == 1 else f"emtrack: {len(messages)} messages"
    if len(alerts) == 1:
        return f"emtrack: {alerts[0]['severity']} alert {alerts[0]['alert']}, {alerts[0]['what']}"
    counts = Counter(fields["severity"] for fields in alerts)
    by_severity = ", ".join(
        f"{counts[name]} {name}" for name in ("critical", "serious", "warning", "message") if counts[name]
    )
    return f"emtrack: {len(alerts)} alerts ({by_severity})"


def text_of(messages: Sequence[Fields], base_url: str) -> str:
    """A paragraph for each, and where to see to it. Who it is about is said to who logs in, and nowhere else."""
    parts = [_paragraph(fields, base_url) for fields in messages]
    return (
        "\n\n".join([*parts, f"All alerts: {base_url}/alerts", "Names and places are shown after you log in."]) + "\n"
    )


def _paragraph(fields: Fields, base_url: str) -> str:
    if fields.get("topic") != "alert":
        where = [f"{base_url}/iom/tasks/{fields['task']}"] if "task" in fields else []
        return "\n".join([str(fields["subject"]), *map(str, fields.get("lines", [])), *where])
    return (
        f"Alert {fields['alert']} ({fields['severity']}): {REASONS[Occasion(fields['what'])]}\n"
        f"Since {format_instant(fields['since_ms'])}\n{base_url}/alerts/{fields['alert']}"
    )
